"""What a client's task gives, and the update that is made of it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qiskit_fedqml.backends.job import Usage
from qiskit_fedqml.errors import BackendError, JobError
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State, States, Status
from qiskit_fedqml.model.qnn import BroadcastEstimatorQNN


@dataclass
class Outcome:
    """What a task gives, filled in as far as the client gets.

    Args:
        num_examples: Examples that the client holds.
        network: What evaluates the circuit; None without one, or where the backend could not be opened.
        usage: What was asked of the backend.
        status: What came of the task.
        reason: Why there is nothing to aggregate.
        loss: Training loss, or that of the client's test.
        accuracy: That of the client's test.
        state: The trained tensors.
        client_states: What the client keeps.
    """

    num_examples: int = 0
    network: BroadcastEstimatorQNN | None = None
    usage: Usage = field(default_factory=Usage)
    status: Status = Status.OK
    reason: str = ""
    loss: float = float("nan")
    accuracy: float | None = None
    state: State | None = None
    client_states: States = field(default_factory=dict)

    def update(self, task: ClientTask, seconds: float) -> ClientUpdate:
        """Return the update; one that is not finite is refused.

        Args:
            task: The task.
            seconds: Time that it took.
        """
        if self.status is Status.OK and not self._is_finite():
            self.status, self.reason = Status.REFUSED, "the update is not finite"
        is_ok, network = self.status is Status.OK, self.network
        return ClientUpdate(
            client_id=task.client_id,
            backend=task.backend,
            simulator=network.simulator if network else "none",
            num_examples=self.num_examples,
            train_loss=self.loss if np.isfinite(self.loss) else None,
            seconds=seconds,
            usage=self.usage,
            status=self.status,
            reason=self.reason,
            state=self.state if is_ok else None,
            client_states=self.client_states if is_ok else {},
            accuracy=self.accuracy,
            calibration=network.calibration() if network else None,
            success_probability=network.success_probability() if network else None,
        )

    def _is_finite(self) -> bool:
        state: dict[str, Any] = self.state or {}
        return bool(np.isfinite(self.loss)) and all(bool(tensor.isfinite().all()) for tensor in state.values())


def placed(error: BackendError, task: ClientTask) -> BackendError:
    """Return a backend's error as one that says whose task it was."""
    if isinstance(error, JobError):  # it says where already
        return error
    return BackendError(f"Round {task.server_step}, client {task.client_id}, backend {task.backend!r}: {error}")
