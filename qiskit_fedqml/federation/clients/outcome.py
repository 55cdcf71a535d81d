"""What a client's task gives, and the update that is made of it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qiskit_fedqml.backends.job import Usage
from qiskit_fedqml.errors import FedQMLError, JobError
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State, States, Status
from qiskit_fedqml.model.qnn import BroadcastEstimatorQNN


@dataclass(frozen=True)
class Machine:
    """What a client's update says of its machine.

    Args:
        simulator: What computed its circuits.
        calibration: Of its device, or None.
        success_probability: Estimated chance that no gate and no readout of the circuit errs, or None.
    """

    simulator: str = "none"
    calibration: dict[str, Any] | None = None
    success_probability: float | None = None

    @classmethod
    def of(cls, network: BroadcastEstimatorQNN | None) -> "Machine":
        """Return what the network that evaluated the circuit knows; None stands for no circuit, or no machine."""
        if network is None:
            return cls()
        return cls(network.simulator, network.calibration(), network.success_probability())


@dataclass
class Outcome:
    """What a task gives, filled in as far as the client gets.

    Args:
        num_examples: Examples that the client holds.
        usage: What was asked of the backend.
        status: What came of the task.
        reason: Why there is nothing to aggregate.
        loss: Training loss, or that of the client's test; None where it is withheld.
        accuracy: That of the client's test.
        state: The trained tensors.
        client_states: What the client keeps.
    """

    num_examples: int = 0
    usage: Usage = field(default_factory=Usage)
    status: Status = Status.OK
    reason: str = ""
    loss: float | None = float("nan")
    accuracy: float | None = None
    state: State | None = None
    client_states: States = field(default_factory=dict)

    def withhold(self) -> None:
        """Leave out what would say something of the examples: their number, losses, accuracy, and circuits.

        Jobs on devices stay, because their charges are settled by them.
        """
        self.num_examples, self.loss, self.accuracy = 0, None, None
        self.usage = Usage(jobs=len(self.usage.receipts), receipts=self.usage.receipts)

    def update(self, task: ClientTask, machine: Machine, seconds: float, *, is_finite: bool) -> ClientUpdate:
        """Return the update; one that is not finite is refused.

        Args:
            task: The task.
            machine: The machine on which it trained.
            seconds: Time that it took.
            is_finite: Whether all of the trained tensors are finite.
        """
        loss = None if self.loss is None or not np.isfinite(self.loss) else self.loss
        is_finite = is_finite and (loss is not None or self.loss is None)
        if self.status is Status.OK and not is_finite:
            self.status, self.reason = Status.REFUSED, "the update is not finite"
        is_ok = self.status is Status.OK
        return ClientUpdate(
            client_id=task.client_id,
            backend=task.backend,
            simulator=machine.simulator,
            num_examples=self.num_examples,
            train_loss=loss,
            seconds=seconds,
            usage=self.usage,
            status=self.status,
            reason=self.reason,
            state=self.state if is_ok else None,
            client_states=self.client_states if is_ok else {},
            accuracy=self.accuracy,
            calibration=machine.calibration,
            success_probability=machine.success_probability,
        )


def placed(error: FedQMLError, task: ClientTask) -> FedQMLError:
    """Return an error as one of its kind that says whose task it was."""
    if isinstance(error, JobError):  # it says where already
        return error
    return type(error)(f"Round {task.server_step}, client {task.client_id}, backend {task.backend!r}: {error}")
