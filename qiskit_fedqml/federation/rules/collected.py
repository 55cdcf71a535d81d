"""What rules have in common that need all updates of a server step at once, one state in memory for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from qiskit_fedqml.federation.messages import ClientUpdate, State
from qiskit_fedqml.federation.rules.fedavg import FedAvg
from qiskit_fedqml.federation.states import difference, squared_norm


@dataclass
class Collected:
    """Keeps the updates of a server step; who inherits says what is made of them.

    Args:
        model: The global model at which the step began.
        updates: The updates, in the order of the tasks.
        weights: Theirs.
    """

    takes_weights = False
    model: State = field(default_factory=dict, init=False, repr=False)
    updates: list[ClientUpdate] = field(default_factory=list, init=False, repr=False)
    weights: list[float] = field(default_factory=list, init=False, repr=False)

    def start(self, model: State) -> None:
        """Forget the last server step."""
        self.model, self.updates, self.weights = model, [], []

    def add(self, update: ClientUpdate, weight: float) -> None:
        """Keep an update, whose state is not None."""
        self.updates.append(update)
        self.weights.append(weight)

    @property
    def states(self) -> list[State]:
        """The updates' states."""
        return [update.state for update in self.updates if update.state is not None]


def by_coordinate(states: Sequence[State], combined: Callable[[torch.Tensor], torch.Tensor]) -> State:
    """Return one state of several, tensor by tensor.

    Args:
        states: The states.
        combined: Makes one tensor of a stack of them, along its first axis; computed in float64.
    """
    return {
        name: combined(torch.stack([state[name] for state in states]).double()).to(tensor.dtype)
        for name, tensor in states[0].items()
    }


def squared_distances(states: Sequence[State]) -> NDArray[np.float64]:
    """Return the squared Euclidean distances between states, shape (states, states)."""
    distances = np.zeros((len(states), len(states)))
    for i, one in enumerate(states):
        for j in range(i):
            distances[i, j] = distances[j, i] = squared_norm(difference(one, states[j]))
    return distances


def mean_of(states: Sequence[State], weights: Sequence[float]) -> State:
    """Return the weighted mean of states, as FedAvg streams it; at least one weight is above 0, and none below."""
    mean = FedAvg()
    for state, weight in zip(states, weights, strict=True):
        if weight > 0:
            mean.take(state, weight)
    return mean.finish()


def normalized(weights: Sequence[float]) -> list[float]:
    """Return weights, not all of which are 0, divided by their sum."""
    total = sum(weights)
    return [weight / total for weight in weights]
