"""What the server and the nodes of a deployment say to each other: plain values, checked on arrival.

Tensors travel next to these values (:mod:`~qiskit_fedqml.flower.records`).
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from qiskit_fedqml.backends.job import JobReceipt, Usage
from qiskit_fedqml.config.backends import BackendEntry, Name
from qiskit_fedqml.config.data import FeaturesConfig
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.model import ModelConfig
from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.config.strict import Integer, NaturalNumber, Number, PositiveInteger, PositiveNumber, StrictModel
from qiskit_fedqml.federation.messages import ClientUpdate, Status

SUMS, MODEL, SCALING = "sums", "model", "scaling"
"""Names of the states that travel; what a client keeps is ``kept/NAME``."""

RunId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
"""Of a run; it also names a node's journal."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Slot = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
"""A name of what a client keeps, such as ``"exp_avg"``."""
Words = Annotated[str, Field(max_length=2000)]
Duration = Annotated[Number, Field(ge=0.0, le=1e9)]
Count = Annotated[NaturalNumber, Field(le=10**15)]
Chance = Annotated[Number, Field(ge=0.0, le=1.0)]


class Question(StrictModel):
    """What the server asks each node before a run.

    Args:
        protocol: The version of these values; server and nodes must have the same.
        features: How images become features.
        classes: Names of the classes; a label is an index into them.
        is_private: Whether nodes must not say how many examples they have, nor anything that follows from them.
    """

    protocol: Literal[1] = 1
    features: FeaturesConfig
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    is_private: bool = False


class Introduction(StrictModel):
    """What a node says of itself; the sums of its features travel next to it, if the scaling needs them.

    Args:
        client: The client that it is.
        backend: Name of its backend.
        entry: The backend's entry, without the account.
        calibration: The text of the calibration file that the entry names; None where it names none.
        examples: Examples that it holds; 0 where the run is private.
        num_features: Number of features of an example.
        digest: SHA-256 of its examples; None where the run is private.
        versions: Versions of the packages that compute.
    """

    client: NaturalNumber
    backend: Name
    entry: BackendEntry
    calibration: Annotated[str, Field(max_length=16_000_000)] | None = None
    examples: Annotated[NaturalNumber, Field(le=10**12)]
    num_features: Annotated[PositiveInteger, Field(le=10**9)]
    digest: Digest | None
    versions: dict[str, str | None]


class SecureTerms(StrictModel):
    """How an update is to be hidden from the server.

    Args:
        clipping_range: The most by which it may change a number.
        is_uniform: Whether each update counts the same; otherwise it counts by its client's examples.
    """

    clipping_range: PositiveNumber
    is_uniform: bool


class Work(StrictModel):
    """A task with all that a node needs for it but its own data and backend.

    Args:
        run: The run's id.
        server_step: The server step.
        client: The client.
        trains: Whether it trains.
        kept: Names of what the client keeps.
        seed: The run's seed.
        classes: Names of the classes.
        features: How images become features.
        model: The `model` section.
        federation: The `federation` section.
        secure: How the update is to be hidden; None shows it to the server.
        privacy: The `privacy` section, or None.
    """

    run: RunId
    server_step: PositiveInteger
    client: NaturalNumber
    trains: bool
    kept: tuple[Slot, ...]
    seed: Integer
    classes: tuple[str, ...]
    features: FeaturesConfig
    model: ModelConfig
    federation: FederationConfig
    secure: SecureTerms | None = None
    privacy: PrivacyConfig | None = None


class Receipt(StrictModel):
    """A job that a device ran."""

    job_id: Annotated[str, Field(max_length=200)]
    planned_seconds: Duration | None
    reported_seconds: Duration | None


class Costs(StrictModel):
    """What a client asked of its backend."""

    jobs: Count
    circuits: Count
    executions: Count
    receipts: Annotated[tuple[Receipt, ...], Field(max_length=1_000_000)]

    def usage(self) -> Usage:
        """Return the same as the package's own value."""
        return Usage(
            self.jobs, self.circuits, self.executions, tuple(JobReceipt(**dict(receipt)) for receipt in self.receipts)
        )


class Answer(StrictModel):
    """What came of a task; the fields are those of :class:`~qiskit_fedqml.federation.messages.ClientUpdate`."""

    server_step: PositiveInteger
    client: NaturalNumber
    status: Status
    reason: Words
    simulator: Annotated[str, Field(max_length=100)]
    examples: NaturalNumber
    train_loss: Number | None
    accuracy: Chance | None
    seconds: Duration
    usage: Costs
    calibration: dict[str, Any] | None
    success_probability: Chance | None
    has_state: bool
    kept: Annotated[tuple[Slot, ...], Field(max_length=1000)]

    @classmethod
    def of(cls, update: ClientUpdate, server_step: int) -> "Answer":
        """Return what a node answers."""
        usage = update.usage
        receipts = tuple(Receipt(**vars(receipt)) for receipt in usage.receipts)
        return cls(
            server_step=server_step,
            client=update.client_id,
            status=update.status,
            reason=update.reason[:2000],
            simulator=update.simulator,
            examples=update.num_examples,
            train_loss=update.train_loss,
            accuracy=update.accuracy,
            seconds=update.seconds,
            usage=Costs(jobs=usage.jobs, circuits=usage.circuits, executions=usage.executions, receipts=receipts),
            calibration=update.calibration,
            success_probability=update.success_probability,
            has_state=update.state is not None,
            kept=tuple(update.client_states),
        )


class Failure(StrictModel):
    """What a node answers if something of this package's went wrong: the error's kind and its text."""

    kind: Annotated[str, Field(max_length=100)]
    text: Words
