"""What travels between the processes of a federation: large states in shared memory, small ones in the message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray

from qiskit_fedqml.config.backends import BackendsFile
from qiskit_fedqml.config.experiment import FederationConfig
from qiskit_fedqml.federation.executors.shared_data import SharedData
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State, States
from qiskit_fedqml.model.building import Blueprint
from qiskit_fedqml.workers.memory import Memory, Place

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
    """

    blueprint: Blueprint
    backends: BackendsFile
    assignment: tuple[str, ...]
    data: SharedData
    config: FederationConfig
    seed: int


@dataclass(frozen=True)
class Parcel:
    """Tasks or updates on their way, without their states.

    Args:
        content: The tasks or updates.
        states: Their states; those that are one object travel once.
        places: For each of them which state is its own; None where it has none.
        kept: For each of them what the client keeps.
    """

    content: tuple[Any, ...]
    states: tuple[Sent, ...]
    places: tuple[int | None, ...]
    kept: tuple[Mapping[str, Sent], ...]


class Packer:
    """Packs for one memory; a state that lies there from the time before is not copied again.

    Args:
        memory: Where large states go.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._first: tuple[State, Sent, int] | None = None
        self._end = 0

    def pack(self, of: Sequence[ClientTask] | Sequence[ClientUpdate]) -> Parcel:
        """Pack tasks or updates; what was packed before must have been opened."""
        states: dict[int, State] = {id(each.state): each.state for each in of if each.state is not None}
        order = list(states)
        return Parcel(
            content=tuple(replace(each, state={}, client_states={}) for each in of),
            states=self._packed(list(states.values())),
            places=tuple(None if each.state is None else order.index(id(each.state)) for each in of),
            kept=tuple({name: self._put(state) for name, state in each.client_states.items()} for each in of),
        )

    def _packed(self, states: Sequence[State]) -> tuple[Sent, ...]:
        if not states:
            self._first, self._end = None, 0
            return ()
        if self._first is not None and self._first[0] is states[0]:
            self._end = self._first[2]
        else:
            self._end = 0
            self._first = (states[0], self._put(states[0]), self._end)
        return (self._first[1], *map(self._put, states[1:]))

    def _put(self, state: State) -> Sent:
        """Return a state as it is sent; tensors of a large one go into the memory, behind what is there."""
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
        if sum(array.nbytes for array in arrays.values()) < _SHARED_BYTES:
            return arrays
        places, self._end = self._memory.put(list(arrays.values()), self._end)
        return dict(zip(arrays, places, strict=True))


def unpacked(parcel: Parcel, memory: Memory, *, copies: bool) -> list[Any]:
    """Return tasks or updates as they were packed.

    Args:
        parcel: What was sent.
        memory: Where large states lie.
        copies: Whether these are copied, so that the memory can be written again.
    """

    def opened(sent: Sent) -> State:
        return {
            name: _tensor(memory.array(of), copies=copies) if isinstance(of, Place) else torch.from_numpy(of)
            for name, of in sent.items()
        }

    states = [opened(sent) for sent in parcel.states]
    found = []
    for each, place, kept in zip(parcel.content, parcel.places, parcel.kept, strict=True):
        client_states: States = {name: opened(sent) for name, sent in kept.items()}
        found.append(replace(each, state=None if place is None else states[place], client_states=client_states))
    return found


def _tensor(array: NDArray[Any], *, copies: bool) -> torch.Tensor:
    return torch.from_numpy(array.copy() if copies else array)
