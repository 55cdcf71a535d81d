"""What travels between the processes of a federation: large tensors in shared memory, small ones in the message."""

import logging
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.multiprocessing  # registers how tensors are pickled: as handles of shared memory
from numpy.typing import NDArray

from qiskit_fedqml import errors
from qiskit_fedqml.config.backends import BackendsFile
from qiskit_fedqml.config.experiment import FederationConfig
from qiskit_fedqml.data.examples import ClientData
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State
from qiskit_fedqml.model.building import Blueprint

_SHARED_BYTES = 1 << 18
"""States below this size travel in the message, which takes less time than to open shared memory."""

# Files of shared memory, which a manager of torch's deletes when the last process lets go of them, or dies.
torch.multiprocessing.set_sharing_strategy("file_system")

Sent = State | dict[str, NDArray[Any]]
"""A state on its way."""


@dataclass(frozen=True)
class Kit:
    """All that a worker process is made of.

    Args:
        blueprint: What the model is built from.
        backends: The checked content of the backends file; devices in it are never opened here.
        assignment: The name of each client's backend.
        data: How clients open their examples.
        config: The `federation` section.
        seed: The run's seed.
    """

    blueprint: Blueprint
    backends: BackendsFile
    assignment: tuple[str, ...]
    data: ClientData
    config: FederationConfig
    seed: int


@dataclass(frozen=True)
class Order:
    """A task on its way to a worker.

    Args:
        task: The task without its states.
        state: The global model.
        client_states: What the client keeps.
    """

    task: ClientTask
    state: Sent
    client_states: dict[str, Sent]

    @classmethod
    def of(cls, task: ClientTask) -> "Order":
        """Pack a task."""
        kept = {name: packed(state) for name, state in task.client_states.items()}
        return cls(replace(task, state={}, client_states={}), packed(task.state), kept)

    def open(self) -> ClientTask:
        """Return the task."""
        kept = {name: unpacked(state) for name, state in self.client_states.items()}
        return replace(self.task, state=unpacked(self.state), client_states=kept)


@dataclass(frozen=True)
class Delivery:
    """What became of a task, on its way back.

    Args:
        update: The update without its states.
        state: The trained tensors.
        client_states: What the client keeps.
        error: What was raised in the place of an update: its kind's name, and its text.
        logged: What was logged meanwhile.
    """

    update: ClientUpdate | None = None
    state: Sent | None = None
    client_states: dict[str, Sent] = field(default_factory=dict)
    error: tuple[str, str] | None = None
    logged: tuple[logging.LogRecord, ...] = ()

    @classmethod
    def of(cls, update: ClientUpdate, logged: tuple[logging.LogRecord, ...]) -> "Delivery":
        """Pack an update."""
        state = None if update.state is None else packed(update.state)
        kept = {name: packed(state) for name, state in update.client_states.items()}
        return cls(replace(update, state=None, client_states={}), state, kept, logged=logged)

    @classmethod
    def of_error(cls, error: Exception, logged: tuple[logging.LogRecord, ...]) -> "Delivery":
        """Pack an error."""
        return cls(error=(type(error).__name__, str(error)), logged=logged)

    def open(self) -> ClientUpdate:
        """Return the update.

        Raises:
            FedQMLError: What was raised in its place; foreign errors are a TrainingError.
        """
        if self.error is not None:
            name, text = self.error
            kind = getattr(errors, name, None)
            raise kind(text) if kind is not None else errors.TrainingError(f"{name}: {text}")
        assert self.update is not None
        state = None if self.state is None else unpacked(self.state)
        kept = {name: unpacked(of) for name, of in self.client_states.items()}
        return replace(self.update, state=state, client_states=kept)


def packed(state: State) -> Sent:
    """Return a state as it is sent; tensors that are large enough go through shared memory."""
    if sum(tensor.nbytes for tensor in state.values()) >= _SHARED_BYTES:
        return {name: tensor.detach().cpu() for name, tensor in state.items()}
    return {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}


def unpacked(sent: Sent) -> State:
    """Return a state that was sent."""
    return {name: value if isinstance(value, torch.Tensor) else torch.from_numpy(value) for name, value in sent.items()}
