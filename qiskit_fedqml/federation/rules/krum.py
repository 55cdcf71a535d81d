"""Krum (Blanchard et al., 2017, "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", Sec. 4)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.federation.rules.collected import Collected, squared_distances


@dataclass
class Krum(Collected):
    """The update with the lowest score, the first one of equals.

    Args:
        byzantine: f, the number of clients whose updates may be anything; n updates must be at least 2 f + 3.
    """

    byzantine: int

    def finish(self) -> State:
        """Return the chosen update."""
        self.chosen = int(krum_scores(squared_distances(self.states), self.byzantine).argmin())
        return self.states[self.chosen]

    def parts(self) -> list[float]:
        """Return 1 for the chosen update, and 0 for the others."""
        return [float(i == self.chosen) for i in range(len(self.updates))]


def krum_scores(distances: NDArray[np.float64], byzantine: int) -> NDArray[np.float64]:
    """Return each update's score: the sum of its squared distances to the n − f − 2 nearest others.

    Args:
        distances: Squared distances of n updates, shape (n, n).
        byzantine: f. Where n − f − 2 is less than 1, as at the end of Bulyan's selection, the nearest other one counts.
    """
    others = distances + np.diag(np.full(len(distances), np.inf))
    nearest = np.sort(others, axis=1)[:, : max(1, len(distances) - byzantine - 2)]
    return np.asarray(nearest.sum(axis=1))
