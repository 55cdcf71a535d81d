"""Bulyan (El Mhamdi, Guerraoui and Rouault, 2018, arXiv:1802.07927, Sec. 4), over Krum."""

from dataclasses import dataclass

import torch

from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.federation.rules.collected import Collected, by_coordinate, squared_distances
from qiskit_fedqml.federation.rules.coordinate_median import median
from qiskit_fedqml.federation.rules.krum import krum_scores


@dataclass
class Bulyan(Collected):
    """Krum chooses θ = n − 2 f of n updates, one after another; each number is then a mean around their median.

    The mean is that of the θ − 2 f numbers that are nearest to the median of the θ.

    Args:
        byzantine: f, from 1, the number of clients whose updates may be anything; n must be at least 4 f + 3.
    """

    byzantine: int

    def finish(self) -> State:
        """Return the mean around the median."""
        states = self.states
        chosen = self._chosen(states)
        num_kept = max(1, len(chosen) - 2 * self.byzantine)

        def around_median(values: torch.Tensor) -> torch.Tensor:
            nearest = (values - median(values)).abs().argsort(dim=0, stable=True)[:num_kept]
            return values.gather(0, nearest).mean(dim=0)

        return by_coordinate([states[i] for i in chosen], around_median)

    def _chosen(self, states: list[State]) -> list[int]:
        distances, left, chosen = squared_distances(states), list(range(len(states))), list[int]()
        while len(chosen) < max(1, len(states) - 2 * self.byzantine):
            best = int(krum_scores(distances[left][:, left], self.byzantine).argmin())
            chosen.append(left.pop(best))
        return sorted(chosen)
