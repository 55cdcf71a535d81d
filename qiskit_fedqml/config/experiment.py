"""Experiment files: one strict, frozen description of a whole run."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, Tag, model_validator

from qiskit_fedqml.config.aggregation import AggregationConfig
from qiskit_fedqml.config.backends import AerEntry, BackendsFile, CalibrationFile
from qiskit_fedqml.config.buffered import Buffered, algorithm_kind
from qiskit_fedqml.config.circuit import CircuitConfig, PaperAnsatz
from qiskit_fedqml.config.data import DataConfig, FeaturesConfig
from qiskit_fedqml.config.devices import DeviceEntry, ProviderEntry
from qiskit_fedqml.config.extension import PythonReference, name_or_python
from qiskit_fedqml.config.scheduling import SchedulingConfig
from qiskit_fedqml.config.simulated_time import check_real_time, check_scheduling
from qiskit_fedqml.config.strict import Integer, Number, PositiveInteger, PositiveNumber, StrictModel, nearest, validate
from qiskit_fedqml.config.tracking import TrackingConfig
from qiskit_fedqml.errors import ConfigurationError, listed, shown

_MOST_PARAMETERS = 10_000_000_000
"""Of a head, 37 GiB; whether this computer holds it is looked at where the number of features is known too."""


class ModelConfig(StrictModel):
    """The trainable head (Table I's widths are 4096 and 4096) and what follows it.

    ``quantum: trainable`` is the paper's; ``frozen`` leaves the circuit's weights as they start; ``classical`` puts a
    classical layer with as many parameters in the circuit's place. ``initial`` is the result folder of a finished run
    whose final model is the one to begin from; None draws the weights.
    """

    hidden: Annotated[tuple[Annotated[PositiveInteger, Field(le=1_000_000_000)], ...], Field(max_length=1000)] = (
        4096,
        4096,
    )
    dropout: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.5
    quantum: Literal["trainable", "frozen", "classical"] = "trainable"
    circuit: CircuitConfig = PaperAnsatz()
    device: Literal["cpu", "cuda"] = "cpu"
    initial: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _can_be_held(self) -> "ModelConfig":
        widths = [*self.hidden, self.circuit.num_qubits]
        parameters = sum(width * following for width, following in pairwise(widths))
        if parameters > _MOST_PARAMETERS:
            raise ValueError(
                f"hidden layers of {listed(self.hidden)} units have {parameters:,} parameters "
                f"({4 * parameters / 2**30:,.0f} GiB); at most {_MOST_PARAMETERS:,} are trained"
            )
        return self

    @model_validator(mode="after")
    def _all_has_an_effect(self) -> "ModelConfig":
        if self.dropout and not self.hidden:
            raise ValueError(f"dropout {self.dropout} has no effect without hidden layers; it must be 0 there")
        if self.quantum == "classical" and getattr(self.circuit, "entanglement", "ring") != "ring":
            raise ValueError("circuit.entanglement has no effect with quantum: classical")
        if self.quantum == "classical" and self.circuit.ansatz == "reuploading":
            raise ValueError(
                "circuit.ansatz: reuploading has no effect with quantum: classical, which takes only the number of "
                "weights from the circuit: paper has as many"
            )
        if self.quantum == "frozen" and self.initial is not None:
            raise ValueError("initial cannot come with quantum: frozen, which keeps the weights that the seed draws")
        return self


Algorithm = Annotated[
    Annotated[Literal["synchronous"], Tag("name")]
    | Annotated[Buffered, Tag("buffered")]
    | Annotated[PythonReference, Tag("python")],
    algorithm_kind,
]
ClientStep = Annotated[
    Annotated[Literal["minibatch"], Tag("name")] | Annotated[PythonReference, Tag("python")], name_or_python
]


class FederationConfig(StrictModel):
    """The federation: who trains, how long, and by which optimiser.

    ``learning_rate_decay`` multiplies the learning rate after each round. ``proximal_mu`` is FedProx's μ: clients
    minimise their loss + μ/2 · ‖w − w_global‖² (arXiv:1812.06127). ``client_optimizer_state: keep`` lets a
    client's optimiser continue from where its last round ended, as non-federated training does.
    ``on_client_failure: skip`` records a client whose backend failed and continues with the others. ``algorithm`` says
    who gets which task and what becomes of the updates; ``client_step`` how a batch changes a client's model. With the
    algorithm ``buffered``, ``clients_per_round`` clients are at work at a time and ``rounds`` counts server steps.
    ``workers`` is the number of processes in which clients of simulators train, each with one of torch's threads;
    ``auto`` is one for each processor core. With 1 they train in the run's own process, with torch's own threads.
    """

    clients: Annotated[PositiveInteger, Field(le=10_000_000)]
    clients_per_round: Annotated[PositiveInteger, Field(le=10_000_000)]
    rounds: Annotated[PositiveInteger, Field(le=1_000_000)]
    local_epochs: Annotated[PositiveInteger, Field(le=1_000_000)] = 1
    batch_size: Annotated[PositiveInteger, Field(le=100_000_000)] = 32
    optimizer: Literal["sgd", "adam", "rmsprop"] = "adam"
    learning_rate: Annotated[PositiveNumber, Field(le=1e6)] = 1e-4
    learning_rate_decay: Annotated[Number, Field(gt=0.0, le=1.0)] = 1.0
    momentum: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.0
    weight_decay: Annotated[Number, Field(ge=0.0, le=1e6)] = 0.0
    proximal_mu: Annotated[Number, Field(ge=0.0, le=1e6)] = 0.0
    client_optimizer_state: Literal["reset", "keep"] = "reset"
    on_client_failure: Literal["stop", "skip"] = "stop"
    algorithm: Algorithm = "synchronous"
    client_step: ClientStep = "minibatch"
    workers: Literal["auto"] | Annotated[PositiveInteger, Field(le=1024)] = 1

    @model_validator(mode="after")
    def _fits_together(self) -> "FederationConfig":
        if self.optimizer == "sgd" and not self.momentum and self.client_optimizer_state == "keep":
            raise ValueError("client_optimizer_state: keep has no effect with sgd without momentum, which has no state")
        if self.clients_per_round > self.clients:
            raise ValueError(f"clients_per_round ({self.clients_per_round}) must be at most clients ({self.clients})")
        if self.momentum and self.optimizer == "adam":
            raise ValueError("momentum is for the optimizers sgd and rmsprop; adam has its own")
        if isinstance(self.algorithm, Buffered):
            self.algorithm.check_sizes(self.clients_per_round, self.clients)
        return self


class EvaluationConfig(StrictModel):
    """Further backends on which the aggregate is tested after each round, with their own noise and shots."""

    backends: tuple[str, ...] = ()


_IDEAL = BackendsFile(backends={"ideal": AerEntry(type="aer")})


class Experiment(StrictModel):
    """A whole run. Every key changes the run, or where it is shown, or is refused."""

    seed: Integer = 0
    data: DataConfig
    features: FeaturesConfig = FeaturesConfig()
    model: ModelConfig = ModelConfig()
    federation: FederationConfig
    aggregation: AggregationConfig = AggregationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    backends: BackendsFile = _IDEAL
    tracking: TrackingConfig = TrackingConfig()
    scheduling: SchedulingConfig | None = None

    @model_validator(mode="after")
    def _evaluation_backends_exist(self) -> "Experiment":
        for name in self.evaluation.backends:
            if name not in self.backends.backends:
                raise ValueError(
                    f"evaluation.backends names the backend {shown(name)}{nearest(name, self.backends.backends)}"
                )
        if len(set(self.evaluation.backends)) != len(self.evaluation.backends):
            raise ValueError(f"evaluation.backends must differ, but are {listed(self.evaluation.backends)}")
        if self.model.quantum == "classical" and (self.evaluation.backends or self.backends != _IDEAL):
            raise ValueError("backends have no effect with model.quantum: classical, which runs no circuit")
        return self

    @model_validator(mode="after")
    def _aggregation_has_an_effect(self) -> "Experiment":
        if self.aggregation.angles == "circular" and self.model.quantum != "trainable":
            raise ValueError(
                f"aggregation.angles: circular has no effect with model.quantum: {self.model.quantum}, which trains no "
                "angles"
            )
        for key, asked in (
            ("success_exponent", self.aggregation.success_exponent > 0),
            ("angles: circular", self.aggregation.angles == "circular"),
        ):
            if asked and self.federation.clients_per_round == 1:
                raise ValueError(f"aggregation.{key} has no effect with clients_per_round: 1, which averages nothing")
            if asked and isinstance(of := self.federation.algorithm, Buffered) and of.buffered.buffer == 1:
                raise ValueError(f"aggregation.{key} has no effect with a buffer of 1, which averages nothing")
        machines = self.backends.assignment.machines
        has_blocks = any(
            (blocks := self.backends.backends[name].blocks) is not None and blocks.spread == "clients"
            for name in machines
        )
        if self.aggregation.success_exponent and len(machines) == 1 and not has_blocks:
            raise ValueError("aggregation.success_exponent has no effect where all clients have the same machine")
        return self

    @model_validator(mode="after")
    def _can_be_scheduled(self) -> "Experiment":
        if self.scheduling is not None:
            is_own = isinstance(self.federation.algorithm, PythonReference)
            check_scheduling(
                self.scheduling, self.backends, has_circuit=self.model.quantum != "classical", is_own=is_own
            )
        elif isinstance(self.federation.algorithm, Buffered):
            check_real_time(self.backends)
        return self

    def resolved(self) -> dict[str, Any]:
        """Return the whole configuration, defaults included, as YAML's values."""
        plain: dict[str, Any] = self.model_dump(mode="json")
        return plain

    def with_calibrations(self, change: Callable[[str, str], str]) -> "Experiment":
        """Return the experiment with other paths of saved calibrations.

        Args:
            change: Gives the new path for a backend's name and its path.
        """
        entries = {
            name: entry.model_copy(update={"noise": CalibrationFile(calibration=change(name, entry.noise.calibration))})
            if isinstance(entry, AerEntry) and isinstance(entry.noise, CalibrationFile)
            else entry
            for name, entry in self.backends.backends.items()
        }
        return self.model_copy(update={"backends": self.backends.model_copy(update={"backends": entries})})

    def without_initial(self) -> "Experiment":
        """Return the experiment of a run that has begun, whose model is no longer that of ``model.initial``."""
        return self.model_copy(update={"model": self.model.model_copy(update={"initial": None})})

    def with_rounds(self, rounds: int) -> "Experiment":
        """Return the experiment with another number of rounds.

        Raises:
            ConfigurationError: It is no number from 1.
        """
        data = self.resolved()
        data["federation"]["rounds"] = rounds
        return validate(Experiment, data, "the run's configuration")

    def with_budgets(self, seconds: Mapping[str | None, float]) -> "Experiment":
        """Return the experiment with other budgets of QPU seconds.

        Args:
            seconds: By backend; None is the whole run. A backend that has a budget of executions gets one of these.

        Raises:
            ConfigurationError: There is no such device, or the budget is no positive number.
        """
        data = self.resolved()
        for name, value in seconds.items():
            if name is None:
                data["backends"]["budget_seconds"] = value
            elif not isinstance(entry := self.backends.backends.get(name), DeviceEntry):
                known = [n for n, entry in self.backends.backends.items() if isinstance(entry, DeviceEntry)]
                raise ConfigurationError(f"There is no device {shown(name)} to have a budget{nearest(name, known)}")
            elif isinstance(entry, ProviderEntry) and entry.budget_executions and not entry.budget_seconds:
                whole = int(value) if float(value).is_integer() else value
                data["backends"]["backends"][name]["budget_executions"] = whole
            else:
                data["backends"]["backends"][name]["budget_seconds"] = value
        return validate(Experiment, data, "the run's configuration")
