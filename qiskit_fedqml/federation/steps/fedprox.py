"""FedProx: clients are kept near the global model (Li et al., 2020, arXiv:1812.06127)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.federation.steps.step import BatchLosses, ClientStep, DrawingStep, StackedStep


@dataclass(frozen=True)
class FedProx:
    """Adds the gradient of μ/2 · ‖w − w_global‖² over the trained tensors (Eq. 2) to another step's.

    Args:
        inner: The other step.
        mu: μ, above 0.
    """

    inner: ClientStep
    mu: float

    def for_task(self, seed: int, server_step: int, client: int) -> "FedProx":
        """Return this with the other step as it is for one task."""
        if not isinstance(self.inner, DrawingStep):
            return self
        return replace(self, inner=self.inner.for_task(seed, server_step, client))

    def batches(self, num_examples: int, batch_size: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
        """Return the other step's batches."""
        return self.inner.batches(num_examples, batch_size, rng)

    def add_gradients(self, model: nn.Module, start: State, features: torch.Tensor, labels: torch.Tensor) -> float:
        """Leave the other step's gradients plus μ (w − w_global); return its loss, without the term."""
        loss = self.inner.add_gradients(model, start, features, labels)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.grad is not None:
                    parameter.grad.add_(parameter - start[name], alpha=self.mu)
        return loss

    def add_stacked_gradients(
        self, losses: BatchLosses, values: torch.Tensor, start: torch.Tensor, gradients: torch.Tensor
    ) -> torch.Tensor:
        """Leave the other step's gradients plus μ (w − w_global) of each client; return its losses."""
        assert isinstance(self.inner, StackedStep)
        found = self.inner.add_stacked_gradients(losses, values, start, gradients)
        gradients.add_(values - start, alpha=self.mu)
        return found
