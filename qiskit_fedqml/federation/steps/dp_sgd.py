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
from qiskit_fedqml.federation.steps.example_gradients import ExampleGradients, Watched
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
        with self.gradients.of(model) as watched:
            total, parts = watched.zeros()
            loss = self._add(watched, features, labels, parts)
            noise = torch.from_numpy(self._drawing.normal(len(total))).to(total.device)
            total.add_(noise, alpha=options.noise_multiplier * options.max_norm).div_(self.batch_size)
            rounded = total.to(watched.trained[0].dtype).split(watched.sizes)
            for parameter, part in zip(watched.trained, rounded, strict=True):
                parameter.grad = part.view(parameter.shape)
        return loss

    def shortened_sum(self, model: nn.Module, features: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
        """Return the sum of the examples' shortened gradients, before there is noise.

        An example whose gradient is not finite adds nothing.

        Args:
            model: The model in training mode.
            features: float32 of shape (batch, features); an empty batch gives zeros.
            labels: Class indices, shape (batch,).

        Returns:
            float64, in the order of the model's trained parameters.
        """
        with self.gradients.of(model) as watched:
            parts = watched.zeros()[1]
            self._add(watched, features, labels, parts)
        return parts

    def _add(self, watched: Watched, features: torch.Tensor, labels: torch.Tensor, parts: list[torch.Tensor]) -> float:
        """Put the sum into ``parts``, which are zeros; return the mean loss."""
        try:
            return self._add_at_once(watched, features, labels, parts) if len(labels) else 0.0
        except TrainingError:  # inputs or angles of the circuit are not finite
            watched.reset()
        if len(labels) > 1:  # the others must count as they do without the one that is at fault
            for row in range(len(labels)):
                alone = watched.zeros()[1]
                self._add(watched, features[row : row + 1], labels[row : row + 1], alone)
                for part, one in zip(parts, alone, strict=True):
                    part.add_(one)
        return 0.0

    def _add_at_once(
        self, watched: Watched, features: torch.Tensor, labels: torch.Tensor, parts: list[torch.Tensor]
    ) -> float:
        assert self.config.examples is not None
        most = self.config.examples.max_norm * (1 - _HAIR)
        loss = cross_entropy(watched.model(features), labels, reduction="sum")
        samples = watched.samples(loss)
        norms = torch.linalg.vector_norm(torch.stack([sample.norms() for sample in samples]), dim=0)
        weights = (most / norms).clamp_(max=1.0)
        is_finite = norms.isfinite()
        if not bool(is_finite.all()):
            weights[~is_finite] = 0.0
            samples = [sample.without(~is_finite) for sample in samples]
        for sample, part in zip(samples, parts, strict=True):
            sample.add_up(weights, part)
        mean = loss.item() / len(labels)
        return mean if math.isfinite(mean) else 0.0

    @property
    def _drawing(self) -> Randomness:
        if self.randomness is None:
            raise RuntimeError("A private step draws for one task: take that of `for_task`.")
        return self.randomness
