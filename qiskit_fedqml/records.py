"""What is recorded of each round and of each client in it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class ClientRecord:
    """A client in a round.

    Args:
        id: The client, from 0.
        backend: Name of its backend.
        simulator: What computed its circuits.
        examples: Examples that it holds.
        train_loss: Its training loss; None if it failed.
        seconds: Time that it took.
        status: ``"ok"``, or why its update was not aggregated.
    """

    id: int
    backend: str
    simulator: str
    examples: int
    train_loss: float | None
    seconds: float
    status: str


@dataclass(frozen=True)
class RoundRecord:
    """A round.

    Args:
        round: From 1.
        train_loss: Mean over the clients that were aggregated, each with equal weight; None if there was none.
        test_loss: Of the aggregate on the server's backend.
        test_accuracy: Of the aggregate on the server's backend, from 0 to 1.
        validation_loss: The same on the tuning set; None without one.
        validation_accuracy: The same on the tuning set; None without one.
        evaluations: ``test_loss`` and ``test_accuracy`` on further backends, by name.
        examples: Examples processed in training, each as often as it was used.
        circuits: Bound circuits that the clients' training ran.
        executions: Their shots; a circuit evaluated exactly counts once.
        bytes_up: Bytes of trained tensors that clients sent.
        bytes_down: Bytes of trained tensors that clients received.
        seconds: Time of the round.
        evaluation_seconds: Time of it that tests of the aggregate took.
        peak_memory_bytes: Most memory that the process has held so far; None where the system doesn't tell.
        clients: The clients.
    """

    round: int
    train_loss: float | None
    test_loss: float
    test_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    evaluations: dict[str, dict[str, float]]
    examples: int
    circuits: int
    executions: int
    bytes_up: int
    bytes_down: int
    seconds: float
    evaluation_seconds: float
    peak_memory_bytes: int | None
    clients: tuple[ClientRecord, ...]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "RoundRecord":
        """Read a record from a line's values."""
        return cls(**{**values, "clients": tuple(ClientRecord(**client) for client in values["clients"])})

    def without_times(self) -> "RoundRecord":
        """Return the record without times and memory: what a rerun must repeat to the bit."""
        clients = tuple(replace(client, seconds=0.0) for client in self.clients)
        return replace(self, seconds=0.0, evaluation_seconds=0.0, peak_memory_bytes=None, clients=clients)
