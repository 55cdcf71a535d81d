"""Plain minibatches: the mean loss's gradient, as in federated averaging (arXiv:1602.05629, Algorithm 1)."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.federation.steps.step import BatchLosses


class Minibatch:
    """Each local epoch goes once through the client's examples in a new order; the last batch may be smaller."""

    def batches(self, num_examples: int, batch_size: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
        """Return the batches of one local epoch."""
        order = rng.permutation(num_examples)
        for start in range(0, num_examples, batch_size):
            yield order[start : start + batch_size]

    def add_gradients(self, model: nn.Module, start: State, features: torch.Tensor, labels: torch.Tensor) -> float:
        """Leave the gradients of the batch's mean loss, which is the model's; return that."""
        loss: torch.Tensor = getattr(model, "loss", cross_entropy)(model(features), labels)
        loss.backward()
        return float(loss.detach())

    def add_stacked_gradients(
        self, losses: BatchLosses, values: torch.Tensor, start: torch.Tensor, gradients: torch.Tensor
    ) -> torch.Tensor:
        """Leave the gradients of each client's mean loss; return these."""
        found = losses()
        found.sum().backward()
        return found.detach()
