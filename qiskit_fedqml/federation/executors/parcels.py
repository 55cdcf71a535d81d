"""What travels between the processes of a federation: large states in shared memory, small ones in the message."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray

from qiskit_fedqml.config.backends import BackendsFile
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.federation.executors.shared_data import SharedData
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State
from qiskit_fedqml.model.building import Blueprint
from qiskit_fedqml.workers.memory import Memory, Place, Rooms
from qiskit_fedqml.workers.messages import Memories

_SHARED_BYTES = 1 << 18
"""States below this size travel in the message, which takes no longer."""

Sent = Mapping[str, NDArray[Any] | Place]
"""A state on its way."""


@dataclass(frozen=True)
class Kit:
    """All that a worker process is made of.

    Args:
        blueprint: What the model is built from.
        backends: The checked content of the backends file; devices in it are never opened here.
        assignment: The name of each client's backend.
        data: Where the clients' examples lie.
        config: The `federation` section.
        seed: The run's seed.
        privacy: The `privacy` section, or None.
    """

    blueprint: Blueprint
    backends: BackendsFile
    assignment: tuple[str, ...]
    data: SharedData
    config: FederationConfig
    seed: int
    privacy: PrivacyConfig | None = None


@dataclass(frozen=True)
class OutgoingTasks:
    """Tasks on their way to a worker.

    Args:
        tasks: The tasks without their states.
        model: The state of all of them, if they have one in common; large tensors lie in the common memory.
        states: Their own states otherwise.
        kept: What each client keeps.
    """

    tasks: tuple[ClientTask, ...]
    model: Sent | None
    states: tuple[Sent, ...]
    kept: tuple[Mapping[str, Sent], ...]

    @classmethod
    def of(cls, tasks: Sequence[ClientTask], model: Sent | None, inbox: Memory) -> "OutgoingTasks":
        """Pack tasks; large states of their own go into the inbox.

        Args:
            tasks: The tasks.
            model: The state that all of them have in common, as it is sent, or None.
            inbox: The worker's inbox.
        """
        own = [] if model is not None else [task.state for task in tasks]
        kept = [state for task in tasks for state in task.client_states.values()]
        sent = iter(packed([*own, *kept], lambda arrays: inbox.put(arrays)[0]))
        return cls(
            tasks=tuple(replace(task, state={}, client_states={}) for task in tasks),
            model=model,
            states=tuple(next(sent) for _ in own),
            kept=tuple({name: next(sent) for name in task.client_states} for task in tasks),
        )

    def open(self, common: Memory, inbox: Memory) -> list[ClientTask]:
        """Return the tasks; their states are not copied."""
        model = None if self.model is None else unpacked([self.model], common.arrays)[0]
        kept_sent = [sent for kept in self.kept for sent in kept.values()]
        opened = iter(unpacked([*self.states, *kept_sent], inbox.arrays))
        states = [model if model is not None else next(opened) for _ in self.tasks]
        return [
            replace(task, state=state, client_states={name: next(opened) for name in kept})
            for task, state, kept in zip(self.tasks, states, self.kept, strict=True)
        ]


@dataclass(frozen=True)
class IncomingUpdates:
    """The updates of clients that have finished together, on their way from a worker.

    Args:
        updates: The updates without their states.
        states: The trained tensors of each, or None.
        kept: What each client keeps.
    """

    updates: tuple[ClientUpdate, ...]
    states: tuple[Sent | None, ...]
    kept: tuple[Mapping[str, Sent], ...]

    @classmethod
    def of(cls, updates: Sequence[ClientUpdate], memories: Memories) -> "IncomingUpdates":
        """Pack updates; large states go into the outbox."""
        own = [update.state for update in updates if update.state is not None]
        kept = [state for update in updates for state in update.client_states.values()]
        sent = iter(packed([*own, *kept], lambda arrays: memories.outbox.put_in(memories.room, arrays)))
        return cls(
            updates=tuple(replace(update, state=None, client_states={}) for update in updates),
            states=tuple(None if update.state is None else next(sent) for update in updates),
            kept=tuple({name: next(sent) for name in update.client_states} for update in updates),
        )

    def __len__(self) -> int:
        return len(self.updates)

    def open(self, rooms: Rooms) -> list[ClientUpdate]:
        """Return the updates, whose tensors are their own."""
        own = [sent for sent in self.states if sent is not None]
        opened = iter(unpacked([*own, *(sent for kept in self.kept for sent in kept.values())], rooms.arrays))
        states = [None if sent is None else next(opened) for sent in self.states]  # these come first
        return [
            replace(
                update,
                state=state,
                client_states={  # copied, because they are kept for many rounds
                    name: {key: tensor.clone() for key, tensor in next(opened).items()} for name in kept
                },
            )
            for update, state, kept in zip(self.updates, states, self.kept, strict=True)
        ]


def packed(states: Sequence[State], put: Callable[[list[NDArray[Any]]], list[Place]]) -> list[Sent]:
    """Return states as they are sent.

    Args:
        states: The states.
        put: Copies the tensors of all that are large into shared memory, at once.
    """
    arrays = [{name: tensor.detach().cpu().numpy() for name, tensor in state.items()} for state in states]
    is_large = [sum(array.nbytes for array in of.values()) >= _SHARED_BYTES for of in arrays]
    large = [array for of, is_one in zip(arrays, is_large, strict=True) if is_one for array in of.values()]
    places = iter(put(large) if large else [])
    return [{name: next(places) for name in of} if is_one else of for of, is_one in zip(arrays, is_large, strict=True)]


def unpacked(sent: Sequence[Sent], arrays: Callable[[list[Place]], list[NDArray[Any]]]) -> list[State]:
    """Return states that were sent.

    Args:
        sent: What was sent.
        arrays: Returns all arrays that lie in shared memory, at once.
    """
    found = iter(arrays([value for of in sent for value in of.values() if isinstance(value, Place)]))
    return [
        {name: torch.from_numpy(next(found) if isinstance(value, Place) else value) for name, value in of.items()}
        for of in sent
    ]
