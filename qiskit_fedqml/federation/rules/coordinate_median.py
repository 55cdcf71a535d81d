"""The coordinate-wise median (Yin et al., 2018, arXiv:1803.01498, Definition 1)."""

from dataclasses import dataclass

import torch

from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.federation.rules.collected import Collected, by_coordinate


@dataclass
class CoordinateMedian(Collected):
    """Each number is the median of the clients', the mean of the two middle ones where their number is even."""

    def finish(self) -> State:
        """Return the median."""
        return by_coordinate(self.states, median)


def median(values: torch.Tensor) -> torch.Tensor:
    """Return the median along the first axis."""
    ordered = values.sort(dim=0).values
    return ordered[(len(values) - 1) // 2].lerp(ordered[len(values) // 2], 0.5)
