"""The geometric median, as in RFA (Pillutla, Kakade and Harchaoui, 2022, arXiv:1912.13445, Algorithm 2)."""

import math
from dataclasses import dataclass

from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.federation.rules.collected import Collected, normalized
from qiskit_fedqml.federation.states import difference, squared_norm

SMOOTHING = 1e-6
"""ν: distances below it count as it, so that no weight is infinite (the paper's value)."""
TOLERANCE = 1e-10
"""Iterations end when the sum of the distances falls by less than this part of itself."""
MOST_ITERATIONS = 1000
"""They end after so many, too."""


@dataclass
class GeometricMedian(Collected):
    """The point with the least weighted sum of Euclidean distances to the updates, by smoothed Weiszfeld iterations.

    v ← Σ β_i w_i / Σ β_i with β_i = α_i / max(ν, ‖v − w_i‖), where α_i is the weight of update w_i; v begins at the
    weighted mean. The paper stops after few iterations; these go on until the sum hardly falls.
    """

    takes_weights = True

    def finish(self) -> State:
        """Return the median, computed in float64."""
        states, before = self.states, math.inf
        factors = self.weights
        for _ in range(MOST_ITERATIONS):
            self.factors = normalized(factors)
            centre = _mean(states, self.factors)
            distances = [math.sqrt(squared_norm(difference(state, centre))) for state in states]
            total = sum(weight * distance for weight, distance in zip(self.weights, distances, strict=True))
            if total >= before * (1 - TOLERANCE):
                break
            before = total
            factors = [w / max(SMOOTHING, distance) for w, distance in zip(self.weights, distances, strict=True)]
        return {name: tensor.to(self.model[name].dtype) for name, tensor in centre.items()}

    def parts(self) -> list[float]:
        """Return the updates' parts of the last mean."""
        return self.factors


def _mean(states: list[State], parts: list[float]) -> State:
    return {
        name: sum((part * state[name].double() for part, state in zip(parts, states, strict=True)), start=0 * tensor)
        for name, tensor in states[0].items()
    }
