"""The `aggregation` section of an experiment file."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.rules import WEIGHTLESS, LimitedRule, Rule
from qiskit_fedqml.config.secure import SecureConfig
from qiskit_fedqml.config.strict import Number, PositiveNumber, StrictModel


class FedAvgMConfig(StrictModel):
    """FedAvgM (arXiv:1909.06335): momentum at the server; momentum 0 and learning rate 1 is FedAvg."""

    method: Literal["fedavgm"]
    """FedAvgM: momentum at the server."""
    momentum: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.9
    """How much of the last step at the server goes on in the next."""
    learning_rate: Annotated[PositiveNumber, Field(le=1e6)] = 1.0
    """The server's step towards the aggregate; 1 is all of it."""

    @model_validator(mode="after")
    def _is_not_fedavg(self) -> "FedAvgMConfig":
        if not self.momentum and self.learning_rate == 1.0:
            raise ValueError("momentum 0 and learning_rate 1 have no effect: that is FedAvg")
        return self


class FedAdamConfig(StrictModel):
    """FedAdam (arXiv:2003.00295): Adam at the server; a small ``tau`` adapts more."""

    method: Literal["fedadam"]
    """FedAdam: Adam at the server."""
    learning_rate: Annotated[PositiveNumber, Field(le=1e6)] = 1e-2
    """The server's learning rate."""
    beta_1: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.9
    """Decay of the mean of steps."""
    beta_2: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.99
    """Decay of the mean of squared steps."""
    tau: Annotated[PositiveNumber, Field(le=1e6)] = 1e-3
    """Added to the root of the squares; a small one adapts more."""


ServerOptimizer = Annotated[FedAvgMConfig | FedAdamConfig, Field(discriminator="method")]


class AggregationConfig(StrictModel):
    """How the server makes one model of the clients'; by default, federated averaging.

    ``rule`` makes one state of the clients'. ``weights: uniform`` lets each update count the same, whatever number of
    examples its client states. ``norm_bound`` shortens updates before the rule gets them (arXiv:1911.07963), and
    ``norm_ratio`` refuses those that are longer than the others of a round. ``success_exponent`` is γ: an update counts
    by its examples times the γ-th power of its machine's estimated success probability (Q-RAIL, arXiv:2605.25783).
    ``angles: circular`` averages the circuit's weights as directions (FEDCOMPASS, arXiv:2602.03052).
    ``server_optimizer`` steps towards the aggregate. ``secure`` hides each client's update from the server of a
    deployment, which then learns their mean only.
    """

    rule: Rule = "fedavg"
    """What makes one state of the clients' states: `fedavg`, a rule that bad updates cannot break, or your own."""
    weights: Literal["examples", "uniform"] = "examples"
    """Whether an update counts by its client's examples, or each the same."""
    norm_bound: Annotated[PositiveNumber, Field(le=1e9)] | None = None
    """The largest norm of an update, which is the difference from the global model; longer ones are shortened."""
    norm_ratio: Annotated[Number, Field(gt=1.0, le=1e9)] | None = None
    """An update whose norm is more than so many times the median of a round's is refused; none compares none."""
    success_exponent: Annotated[Number, Field(ge=0.0, le=20.0)] = 0.0
    """The exponent γ of a machine's success probability in a client's weight; 0 weighs by examples alone."""
    angles: Literal["arithmetic", "circular"] = "arithmetic"
    """How the circuit's weights are averaged: as numbers, or as directions."""
    server_optimizer: ServerOptimizer | None = None
    """Steps from the global model towards the aggregate; without one, the aggregate is the next model."""
    secure: SecureConfig | None = None
    """Lets the server of a deployment learn the sum of a round's updates only; none shows it each of them."""

    @model_validator(mode="after")
    def _parts_fit(self) -> "AggregationConfig":
        name = self.rule_name
        if self.rule == "coordinate_median" or isinstance(self.rule, WEIGHTLESS):
            for key, asked in (("success_exponent", self.success_exponent), ("weights: uniform", self.is_uniform)):
                if asked:
                    raise ValueError(f"{key} has no effect with the rule {name}, which takes no weights")
        if self.angles == "circular" and not (self.rule == "fedavg" or isinstance(self.rule, PythonReference)):
            raise ValueError(
                f"angles: circular averages the angles of all clients, bad ones too; with the rule {name} it must be "
                "arithmetic"
            )
        return self

    @model_validator(mode="after")
    def _single_updates_are_not_needed(self) -> "AggregationConfig":
        if self.secure is None:
            return self
        for key, asked in (
            (f"the rule {self.rule_name}", self.rule != "fedavg"),
            ("angles: circular", self.angles == "circular"),
            ("success_exponent", self.success_exponent > 0),
            ("norm_bound", self.norm_bound is not None),
            ("norm_ratio", self.norm_ratio is not None),
        ):
            if asked:
                raise ValueError(
                    f"{key} needs the single updates, which secure aggregation hides from the server: with `secure`, "
                    "updates are averaged as numbers (the rule fedavg)"
                )
        return self

    @property
    def is_uniform(self) -> bool:
        """Whether each update counts the same."""
        return self.weights == "uniform"

    @property
    def rule_name(self) -> str:
        """The rule, as a configuration calls it."""
        if isinstance(self.rule, str):
            return self.rule
        return "python" if isinstance(self.rule, PythonReference) else next(iter(type(self.rule).model_fields))

    @property
    def least_updates(self) -> int:
        """How many updates a server step needs at least, or the global model is in the hands of few; 0 for any."""
        if self.secure is not None:
            return self.secure.threshold
        return self.rule.least_updates if isinstance(self.rule, LimitedRule) else 0

    @property
    def what_needs_them(self) -> str:
        """What needs so many updates, in words."""
        return "secure aggregation" if self.secure is not None else f"the rule {self.rule_name}"
