"""Audits by membership: who was trained on is guessed, and right guesses bound ε from below.

Many examples at once are in the training data by a coin each, so one training is enough (Steinke, Nasr and Jagielski,
2023, arXiv:2305.08846).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binom
from torch import nn
from torch.nn.functional import cross_entropy

from qiskit_fedqml.federation.messages import ClientUpdate, State
from qiskit_fedqml.federation.rules.fedavg import FedAvg


@dataclass(frozen=True)
class Canaries:
    """Examples that were trained on or not.

    Args:
        features: float32 of shape (canaries, features).
        labels: Shape (canaries,).
        own: The feature that each has alone.
        owners: The client that each was given to, if it was trained on.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    own: NDArray[np.int64]
    owners: NDArray[np.int64]

    def each(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, int, int]]:
        """Give features, label, own feature and client of each."""
        inputs, labels = torch.from_numpy(self.features), torch.from_numpy(self.labels)
        yield from zip(inputs, labels, self.own.tolist(), self.owners.tolist(), strict=True)


@dataclass
class Watched(FedAvg):
    """Federated averaging by a server that keeps all that it sees, which is what the guesses are made from."""

    seen: list[tuple[State, list[ClientUpdate]]] = field(default_factory=list, init=False)

    def start(self, model: State) -> None:
        """Keep the model of a round, and begin it."""
        self.seen.append((model, []))
        super().start(model)

    def add(self, update: ClientUpdate, weight: float) -> None:
        """Keep an update, and take it."""
        self.seen[-1][1].append(update)
        super().add(update, weight)


WATCHED: list[Watched] = []
"""The rules of the runs of this process."""


def watched() -> Watched:
    """Make a rule that is looked at afterwards."""
    WATCHED.append(Watched())
    return WATCHED[-1]


def scores(rule: Watched, model: nn.Module, canaries: Canaries) -> NDArray[np.float64]:
    """Return how much each canary looks like one that was trained on: Σ over rounds ⟨w − w', g⟩ / ‖g‖.

    w is the model of a round, w' what the canary's client made of it, and g the gradient of the canary's loss at w, of
    the weights of its own feature alone: whoever chose the canaries knows these.

    Args:
        rule: What the server saw.
        model: A model of the run's architecture, whose first layer is linear.
        canaries: The canaries.
    """
    found = np.zeros(len(canaries.labels))
    parameters = dict(model.named_parameters())
    for start, updates in rule.seen:
        first = next(name for name, tensor in start.items() if tensor.ndim == 2)
        with torch.no_grad():
            for name, tensor in start.items():
                parameters[name].copy_(tensor)
        steps = {update.client_id: start[first] - update.state[first] for update in updates if update.state is not None}
        for position, (x, y, column, owner) in enumerate(canaries.each()):
            if owner not in steps:
                continue
            model.zero_grad()
            cross_entropy(model(x[None]), y[None]).backward()
            gradient = parameters[first].grad
            assert gradient is not None
            mine = gradient[:, column] / gradient[:, column].norm().clamp_min(1e-12)
            found[position] += float(mine @ steps[owner][:, column])
    return found


@dataclass(frozen=True)
class Guesses:
    """What came of the guesses.

    Args:
        candidates: Examples that were in the training data or not.
        guesses: How many of them were guessed about.
        right: How many guesses were right.
    """

    candidates: int
    guesses: int
    right: int

    def epsilon(self, delta: float, confidence: float = 0.95) -> float:
        """Return the ε that the mechanism has at least, with this confidence; 0 where nothing is shown.

        Args:
            delta: The mechanism's δ.
            confidence: Of the bound.
        """
        low, high = 0.0, 50.0
        if self._chance(low, delta) > 1 - confidence:
            return 0.0
        while high - low > 1e-4:
            middle = (low + high) / 2
            low, high = (middle, high) if self._chance(middle, delta) <= 1 - confidence else (low, middle)
        return low

    def _chance(self, epsilon: float, delta: float) -> float:
        """Bound the chance of so many right guesses under (ε, δ) (arXiv:2305.08846, Theorem 5.2)."""
        right = 1 / (1 + np.exp(-epsilon))
        beta = binom.sf(self.right - 1, self.guesses, right)
        below = np.cumsum(binom.pmf(self.right - np.arange(1, self.right + 1), self.guesses, right))
        alpha = float(np.max(below / np.arange(1, self.right + 1), initial=0.0))
        return float(min(1.0, beta + 2 * self.candidates * alpha * delta))


def guessed(found: NDArray[np.float64], is_member: NDArray[np.bool_], each: int) -> Guesses:
    """Guess that those with the highest scores are members, and those with the lowest are not.

    Args:
        found: The scores.
        is_member: Who was trained on.
        each: How many of either.
    """
    order = np.argsort(found)
    right = int(is_member[order[-each:]].sum() + (~is_member[order[:each]]).sum())
    return Guesses(len(found), 2 * each, right)
