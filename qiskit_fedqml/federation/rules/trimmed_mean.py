"""The coordinate-wise trimmed mean (Yin et al., 2018, arXiv:1803.01498, Definition 2)."""

from dataclasses import dataclass

from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.federation.rules.collected import Collected, by_coordinate


@dataclass
class TrimmedMean(Collected):
    """Each number is the mean of the clients' without the ⌊β n⌋ smallest and the ⌊β n⌋ largest of n.

    Args:
        fraction: β, from 0 and below 1/2.
    """

    fraction: float

    def finish(self) -> State:
        """Return the mean of what is left."""
        num_updates = len(self.updates)
        num_cut = int(self.fraction * num_updates)
        return by_coordinate(
            self.states, lambda values: values.sort(dim=0).values[num_cut : num_updates - num_cut].mean(dim=0)
        )
