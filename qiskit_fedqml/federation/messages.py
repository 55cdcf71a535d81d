"""What the server and its clients send each other. Nothing here reaches Qiskit or the network."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from qiskit_fedqml.backends.job import Usage

if TYPE_CHECKING:
    import torch

State = dict[str, "torch.Tensor"]
"""Tensors by name; a model's are those that are trained."""

States = dict[str, State]
"""Several states by name, such as the moments of an optimiser."""


class Status(StrEnum):
    """What came of a client's task."""

    OK = "ok"
    """It trained, and its update can be aggregated."""
    TESTED = "tested"
    """It tested the global model on its data, as its backend's entry says, and trained nothing."""
    FAILED = "failed"
    """Its backend failed."""
    REFUSED = "refused"
    """It trained, but its update must not be aggregated, such as one that is not finite."""


@dataclass(frozen=True)
class Flight:
    """A task on its way; all times are of the simulated clock, in seconds since the run began, and else 0.

    Args:
        client_id: The client.
        machine: The machine that serves it.
        backend: The entry that stands for the machine, with the calibration that is in force when the task starts.
        model_version: Server steps that were done when it was dispatched: it starts from that model.
        dispatched_seconds: When it was dispatched.
        started_seconds: When it had waited for the machine's queue and for earlier tasks there.
        arrives_seconds: When its update arrives at the server.
    """

    client_id: int
    machine: str
    backend: str
    model_version: int
    dispatched_seconds: float = 0.0
    started_seconds: float = 0.0
    arrives_seconds: float = 0.0


@dataclass(frozen=True)
class ClientTask:
    """One client's work in one server step.

    Args:
        server_step: The server step, from 1, that the model comes before; in synchronous federations the round. Seeds
            and jobs are named by it, so no client has two tasks of one.
        client_id: The client, from 0.
        backend: Name of the client's backend.
        state: The global model from which the client starts; clients do not change it.
        trains: Whether it trains; otherwise it tests the global model on its data.
        client_states: What the client itself keeps from task to task, such as its optimiser's moments; so any worker
            can train any client.
    """

    server_step: int
    client_id: int
    backend: str
    state: State
    trains: bool = True
    client_states: States = field(default_factory=dict)


@dataclass(frozen=True)
class ClientUpdate:
    """What a client returns; its tensors are its own, so updates can be kept.

    Args:
        client_id: The client.
        backend: Name of its backend.
        simulator: What computed its circuits; ``"none"`` without a quantum layer.
        num_examples: Examples that it holds: its weight in the average.
        train_loss: Mean loss over the examples of the last local epoch, dropout on; of a client that only tests, the
            global model's loss on its data. None if it failed.
        seconds: Time that it took.
        usage: What it asked of its backend.
        status: What came of its task.
        reason: Why there is nothing to aggregate, in words; empty otherwise.
        state: Its trained tensors, or None where there is nothing to aggregate.
        client_states: What the client keeps for its next task.
        accuracy: The global model's on its data, if it only tests.
        calibration: Of its device: name, date, and the figures of the qubits used; None without one.
        waited_seconds: Time from the hand-out of the server step's tasks to its start, negative where it began in an
            earlier step; the executor fills it in.
        success_probability: Estimated chance that no gate and no readout of the circuit errs on its backend; None
            without a circuit, or where the backend could not be opened.
        share: Its part of the aggregate, from 0 to 1; the algorithm fills it in.
        flight: The task on its way; the algorithm fills it in where tasks are not of the step that aggregates them, or
            time is simulated.
    """

    client_id: int
    backend: str
    simulator: str
    num_examples: int
    train_loss: float | None
    seconds: float
    usage: Usage
    status: Status
    reason: str = ""
    state: State | None = None
    client_states: States = field(default_factory=dict)
    accuracy: float | None = None
    calibration: dict[str, Any] | None = None
    waited_seconds: float = 0.0
    success_probability: float | None = None
    share: float = 0.0
    flight: Flight | None = None

    @classmethod
    def without_model(
        cls, task: ClientTask, num_examples: int, status: Status, reason: str, seconds: float
    ) -> "ClientUpdate":
        """Return the update of a client of which nothing can be aggregated, and no more is known.

        Args:
            task: The task.
            num_examples: Examples that the client holds.
            status: What came of the task.
            reason: Why there is nothing to aggregate, in words.
            seconds: Time since the client began, or since the task was sent to it.
        """
        return cls(task.client_id, task.backend, "none", num_examples, None, seconds, Usage(), status, reason)

    @property
    def outcome(self) -> str:
        """Status and reason in words, such as ``"failed: the device is offline"``."""
        return f"{self.status}: {self.reason}" if self.reason else str(self.status)


def by_step(tasks: Iterable[ClientTask]) -> dict[int, list[tuple[int, str]]]:
    """Return the clients of tasks with their backends, by the server step that their jobs are named by."""
    found: dict[int, list[tuple[int, str]]] = {}
    for task in tasks:
        found.setdefault(task.server_step, []).append((task.client_id, task.backend))
    return found
