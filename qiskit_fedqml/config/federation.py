"""The `federation` section of an experiment file."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, Tag, model_validator

from qiskit_fedqml.config.alternatives import NAME, one_of, tag_of
from qiskit_fedqml.config.buffered import Buffered
from qiskit_fedqml.config.extension import PYTHON, PythonReference, name_or_python
from qiskit_fedqml.config.gossip import Gossip
from qiskit_fedqml.config.stopping import Metric, StopConfig
from qiskit_fedqml.config.strict import Integer, Number, PositiveInteger, PositiveNumber, StrictModel

Algorithm = Annotated[
    Annotated[Literal["synchronous"], Tag(NAME)]
    | Annotated[Buffered, Tag(tag_of("buffered"))]
    | Annotated[Gossip, Tag(tag_of("gossip"))]
    | Annotated[PythonReference, Tag(PYTHON)],
    one_of(
        "must be synchronous, {buffered: {buffer: K}}, {gossip: {graph: ring}} or "
        "{python: 'module:name', arguments: {…}}",
        {"buffered": Buffered, "gossip": Gossip, "python": PythonReference},
        ["synchronous"],
    ),
]
ClientStep = Annotated[
    Annotated[Literal["minibatch"], Tag(NAME)] | Annotated[PythonReference, Tag(PYTHON)], name_or_python("minibatch")
]


class FederationConfig(StrictModel):
    """The federation: who trains, how long, and by which optimiser.

    ``learning_rate_decay`` multiplies the learning rate after each round. ``proximal_mu`` is FedProx's μ: clients
    minimise their loss + μ/2 · ‖w − w_global‖² (arXiv:1812.06127). ``client_optimizer_state: keep`` lets a
    client's optimiser continue from where its last round ended, as non-federated training does.
    ``on_client_failure: skip`` records a client that failed and continues with the others; a client of a simulator that
    trains for longer than ``client_seconds`` has failed. Where fewer than ``min_clients`` return, the run stops, or
    with ``on_too_few: repeat`` draws the round's clients again, twice at most. ``algorithm`` says who gets which task
    and what becomes of the updates; ``client_step`` how a batch changes a client's model. With the algorithm
    ``buffered``, ``clients_per_round`` clients are at work at a time and ``rounds`` counts server steps; with
    ``gossip`` there is no server: clients are the nodes of a graph, and in each round all that are there train and mix.
    ``workers`` is the number of processes in which clients of simulators train, each with one of torch's threads;
    ``auto`` is one for each processor core. With 1 they train in the run's own process, with torch's own threads.
    ``lockstep`` is the number of clients of one simulated backend that train together, at most: their models are
    stacked, and each step of all of them is one call of the simulator. ``auto`` says it by the size of the head.
    ``stop`` ends a run before its last round. ``keep_best`` makes the model of the best round the final one, by loss or
    accuracy, on the validation data where there are some; ``true`` takes what ``stop`` looks at, or the loss.
    """

    clients: Annotated[PositiveInteger, Field(le=10_000_000)]
    """How many clients there are."""
    clients_per_round: Annotated[PositiveInteger, Field(le=10_000_000)]
    """How many of them train in a round."""
    rounds: Annotated[PositiveInteger, Field(le=1_000_000)]
    """How many rounds there are."""
    local_epochs: Annotated[PositiveInteger, Field(le=1_000_000)] = 1
    """How often a client goes through its data in a round."""
    batch_size: Annotated[PositiveInteger, Field(le=100_000_000)] = 32
    """Examples of a training step."""
    optimizer: Literal["sgd", "adam", "rmsprop"] = "adam"
    """The clients' optimiser, of torch: Adam with its own betas, or SGD or RMSprop."""
    learning_rate: Annotated[PositiveNumber, Field(le=1e6)] = 1e-4
    """The clients' learning rate."""
    learning_rate_decay: Annotated[Number, Field(gt=0.0, le=1.0)] = 1.0
    """Multiplies the learning rate after each round."""
    momentum: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.0
    """Of the optimisers sgd and rmsprop; adam takes none."""
    weight_decay: Annotated[Number, Field(ge=0.0, le=1e6)] = 0.0
    """The optimiser's weight decay, which is added to the gradient (L2), not decoupled."""
    proximal_mu: Annotated[Number, Field(ge=0.0, le=1e6)] = 0.0
    """FedProx's μ: how strongly clients are held to the global model; 0 is not at all."""
    client_optimizer_state: Literal["reset", "keep"] = "reset"
    """Whether a client's optimiser begins again each round, or continues from its last one."""
    on_client_failure: Literal["stop", "skip"] = "stop"
    """Whether a client that fails stops the run, or is recorded and left out."""
    algorithm: Algorithm = "synchronous"
    """Who gets which task and what becomes of the updates: synchronous, `{buffered: …}`, `{gossip: …}` or your own."""
    client_step: ClientStep = "minibatch"
    """How a batch changes a client's model: minibatch or your own."""
    client_seconds: Annotated[PositiveNumber, Field(le=1e9)] | None = None
    """The longest that a client of a simulator may train; none is for ever."""
    min_clients: Annotated[Integer, Field(ge=0, le=10_000_000)] = 0
    """How many clients must return in a round."""
    on_too_few: Literal["stop", "repeat"] = "stop"
    """Whether too few stop the run, or the round's clients are drawn again."""
    workers: Literal["auto"] | Annotated[PositiveInteger, Field(le=1024)] = 1
    """Processes in which clients of simulators train; auto is one for each core."""
    lockstep: Literal["auto"] | Annotated[PositiveInteger, Field(le=10_000)] = 1
    """The most clients of one simulator that train together, each step in one call."""
    stop: StopConfig | None = None
    """When a run that no longer improves ends early; none is never."""
    keep_best: Metric | None = None
    """Whether the final model is that of the best round, by loss or accuracy, and not of the last."""

    @model_validator(mode="before")
    @classmethod
    def _best_by_what_stops(cls, section: Any) -> Any:
        """Name the metric where ``keep_best`` is true or false."""
        if not isinstance(section, Mapping) or not isinstance(section.get("keep_best"), bool):
            return section
        stop = section.get("stop")
        metric = stop.get("metric", "loss") if isinstance(stop, Mapping) else getattr(stop, "metric", "loss")
        return {**section, "keep_best": metric if section["keep_best"] else None}

    @model_validator(mode="after")
    def _stop_has_an_effect(self) -> "FederationConfig":
        if self.stop is not None and self.stop.patience >= self.rounds - 1:
            raise ValueError(
                f"stop.patience ({self.stop.patience}) has no effect with {self.rounds} rounds: after the first round "
                "and so many more nothing is left"
            )
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> "FederationConfig":
        if self.optimizer == "sgd" and not self.momentum and self.client_optimizer_state == "keep":
            raise ValueError("client_optimizer_state: keep has no effect with sgd without momentum, which has no state")
        if self.clients_per_round > self.clients:
            raise ValueError(f"clients_per_round ({self.clients_per_round}) must be at most clients ({self.clients})")
        if self.min_clients > self.clients_per_round:
            raise ValueError(
                f"min_clients ({self.min_clients}) must be at most clients_per_round ({self.clients_per_round})"
            )
        if self.on_too_few == "repeat" and not self.min_clients:
            raise ValueError("on_too_few: repeat has no effect with min_clients: 0, which any round has")
        if self.on_too_few == "repeat" and isinstance(self.algorithm, Buffered):
            raise ValueError("on_too_few: repeat cannot come with algorithm: buffered, in which clients are drawn once")
        if self.momentum and self.optimizer == "adam":
            raise ValueError("momentum is for the optimizers sgd and rmsprop; adam has its own")
        if isinstance(self.algorithm, Buffered):
            self.algorithm.check_sizes(self.clients_per_round, self.clients, self.min_clients)
        if isinstance(self.algorithm, Gossip):
            self.algorithm.check_fits(self)
        return self

    @model_validator(mode="after")
    def _lockstep_has_an_effect(self) -> "FederationConfig":
        if self.lockstep in (1, "auto"):
            return self
        if not isinstance(self.client_step, str):
            raise ValueError("lockstep has no effect with a client_step of your own, which trains one client's model")
        if self.clients_per_round == 1:
            raise ValueError("lockstep has no effect with clients_per_round: 1, which leaves each client alone")
        return self
