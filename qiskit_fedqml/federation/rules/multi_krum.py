"""Multi-Krum (Blanchard et al., 2017, "Machine Learning with Adversaries", Sec. 6)."""

from dataclasses import dataclass

import numpy as np

from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.federation.rules.collected import Collected, mean_of, normalized, squared_distances
from qiskit_fedqml.federation.rules.krum import krum_scores


@dataclass
class MultiKrum(Collected):
    """The weighted mean of the updates with the lowest scores of Krum. The paper's mean has equal weights.

    Args:
        byzantine: f, the number of clients whose updates may be anything; n updates must be at least 2 f + 3.
        keep: How many updates are averaged, from 1; None takes n − f.
    """

    takes_weights = True
    byzantine: int
    keep: int | None = None

    def finish(self) -> State:
        """Return the mean of the chosen updates."""
        scores = krum_scores(squared_distances(self.states), self.byzantine)
        num_kept = self.keep if self.keep is not None else len(scores) - self.byzantine
        chosen = set(np.argsort(scores, kind="stable")[:num_kept].tolist())
        self.counted = [weight if i in chosen else 0.0 for i, weight in enumerate(self.weights)]
        return mean_of(self.states, self.counted)

    def parts(self) -> list[float]:
        """Return the updates' parts of the mean."""
        return normalized(self.counted)
