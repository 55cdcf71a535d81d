"""DP-SGD: noise hides each single example (Abadi et al., 2016, arXiv:1607.00133, Algorithm 1)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.errors import TrainingError
from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.federation.steps.example_gradients import ExampleGradients
from qiskit_fedqml.privacy.randomness import Randomness, open_randomness

_HAIR = 1e-6
"""Gradients are shortened to a little less than the norm, so that no rounding leaves them longer."""


@dataclass(frozen=True)
class DpSgd:
    """Takes each example with one probability, shortens its gradient, and adds Gaussian noise to their sum.

    Batches follow Poisson's scheme, so they differ in size and may be empty; the noise is the same for all. Sums and
    noise are float64; what is rounded afterwards was released already.

    Args:
        config: The `privacy` section, which has ``examples``.
        batch_size: Divides the noisy sum: a public number, never that of the examples at hand.
        randomness: Of one task; None in the step of which :meth:`for_task` makes them.
    """

    config: PrivacyConfig
    batch_size: int
    randomness: Randomness | None = None
    gradients: ExampleGradients = field(default_factory=ExampleGradients)

    def for_task(self, seed: int, server_step: int, client: int) -> "DpSgd":
        """Return the step of one task, with randomness of its own."""
        return replace(self, randomness=open_randomness(self.config, seed, "examples", server_step, client))

    def batches(self, num_examples: int, batch_size: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
        """Return the batches of one local epoch, some of which may be empty; the order of examples stays."""
        options = self.config.examples
        assert options is not None
        for _ in range(options.steps_per_epoch):
            yield np.flatnonzero(self._drawing.uniform(num_examples) < options.sampling_rate)

    def add_gradients(self, model: nn.Module, start: State, features: torch.Tensor, labels: torch.Tensor) -> float:
        """Leave the noisy sum of shortened gradients by the batch size; return the loss, which stays at the client."""
        options = self.config.examples
        assert options is not None
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        sums, loss = self.shortened_sum(model, features, labels)
        deviation = options.noise_multiplier * options.max_norm
        for parameter, summed in zip(trained, sums, strict=True):
            noise = torch.from_numpy(self._drawing.normal(parameter.numel())).to(summed.device)
            noisy = summed.flatten().add_(noise, alpha=deviation).div_(self.batch_size)
            parameter.grad = noisy.reshape(parameter.shape).to(parameter.dtype)
        return loss

    def shortened_sum(
        self, model: nn.Module, features: torch.Tensor, labels: torch.Tensor
    ) -> tuple[list[torch.Tensor], float]:
        """Return the sum of the examples' shortened gradients, before there is noise, and their mean loss.

        An example whose gradient is not finite adds nothing.

        Args:
            model: The model in training mode.
            features: float32 of shape (batch, features); an empty batch gives zeros.
            labels: Class indices, shape (batch,).

        Returns:
            float64, in the order of the model's trained parameters.
        """
        assert self.config.examples is not None
        most = self.config.examples.max_norm * (1 - _HAIR)
        total = [
            torch.zeros(parameter.shape, dtype=torch.float64, device=parameter.device)
            for parameter in model.parameters()
            if parameter.requires_grad
        ]
        try:
            return self._added(total, model, features, labels, most)
        except TrainingError:  # inputs or angles of the circuit are not finite
            if len(labels) == 1:
                return total, 0.0
        for row in range(len(labels)):  # the others must count as they do without the one that is at fault
            alone, _ = self.shortened_sum(model, features[row : row + 1], labels[row : row + 1])
            for summed, one in zip(total, alone, strict=True):
                summed.add_(one)
        return total, 0.0

    def _added(
        self, total: list[torch.Tensor], model: nn.Module, features: torch.Tensor, labels: torch.Tensor, most: float
    ) -> tuple[list[torch.Tensor], float]:
        if not len(labels):
            return total, 0.0
        with self.gradients.of(model) as wrapped:
            loss = cross_entropy(wrapped(features), labels, reduction="sum")
            loss.backward()
            samples = wrapped.samples()
        squares = torch.stack([sample.squared_norms() for sample in samples]).sum(dim=0)
        is_finite = squares.isfinite()
        weights = torch.where(is_finite, (most / squares.sqrt()).clamp(max=1.0), 0.0)
        if not bool(is_finite.all()):
            for sample in samples:
                sample.forget(~is_finite)
        mean = float(loss.detach()) / len(labels)
        return [sample.weighted_sum(weights) for sample in samples], mean if math.isfinite(mean) else 0.0

    @property
    def _drawing(self) -> Randomness:
        if self.randomness is None:
            raise RuntimeError("A private step draws for one task: take that of `for_task`.")
        return self.randomness
