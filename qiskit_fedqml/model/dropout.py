"""Dropout that is a client's own."""

import torch
from torch import nn


class SeededDropout(nn.Module):
    """Dropout that draws from a generator of its own, so that a client's draws are its own.

    Args:
        probability: Chance of each value to be set to 0 while training.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.generator: torch.Generator | None = None

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values, some of them 0 and the others scaled up, while training.

        Raises:
            RuntimeError: It trains without a generator.
        """
        if not self.training or not self.probability:
            return values
        if self.generator is None:
            raise RuntimeError(
                "Set `generator` before training, so that dropout does not draw from torch's global one."
            )
        keep = 1 - self.probability
        return values * torch.empty_like(values).bernoulli_(keep, generator=self.generator).div_(keep)
