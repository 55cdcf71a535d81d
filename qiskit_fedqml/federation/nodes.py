"""The nodes of a federation without a server, each with a model of its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.federation.states import difference, squared_norm


@dataclass(frozen=True)
class Nodes:
    """The nodes after a server step.

    Args:
        models: Each node's trained tensors, by node; also of nodes that are not there.
        left: Nodes that have left by chance and are not back, in order.
        messages: Models that were sent along the graph's edges in the step, each direction by itself.
    """

    models: tuple[State, ...]
    left: tuple[int, ...] = ()
    messages: int = 0

    def mean(self) -> State:
        """Return the mean of all nodes' models, added up in float64 in the order of the nodes; no node holds it."""
        weights = dict.fromkeys(range(len(self.models)), 1.0 / len(self.models))
        return weighted_sum(self.models, weights)

    def consensus_distance(self) -> float:
        """Return how far the nodes are from each other: √(1/n · Σ_i ‖x_i − x̄‖²), with x̄ the mean of the n models x_i.

        Norms are over all trained tensors together.
        """
        mean = self.mean()
        return math.sqrt(sum(squared_norm(difference(model, mean)) for model in self.models) / len(self.models))


def weighted_sum(models: Sequence[State], weights: dict[int, float]) -> State:
    """Return Σ_j w_j x_j, added up in float64 in the order of ``weights``, as the models' own types.

    Number by number, so the bits do not depend on how many threads torch has.

    Args:
        models: The models x_j.
        weights: The weights w_j by the models' places.
    """
    summed: State = {}
    for name, tensor in models[next(iter(weights))].items():
        total = tensor.new_zeros(tensor.shape, dtype=torch.float64)
        for place, weight in weights.items():
            total.add_(models[place][name], alpha=weight)
        summed[name] = total.to(tensor.dtype)
    return summed
