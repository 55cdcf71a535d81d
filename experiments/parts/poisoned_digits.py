"""Digits of which some clients hold wrong labels, or images with a trigger."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import TensorDataset

from qiskit_fedqml.data.digit_pixels import digit_pixels

CLASSES = (0, 1, 2, 3)
TARGET = 0
"""The class for which images with the trigger are to be taken, by its index."""
TRIGGER = (0, 1, 8, 9)
"""The pixels of the trigger: the four of the upper left corner, which digits leave mostly dark."""

_TEST_FRACTION = 0.2


def digits(clients: int, seed: int, flipped: int = 0, triggered: int = 0) -> tuple[list[TensorDataset], TensorDataset]:
    """Return scikit-learn's digits 0 to 3, shared out equally at random, and a fifth of them for tests.

    Args:
        clients: How many clients there are.
        seed: Seed of who gets what.
        flipped: How many clients, the first ones, take the digit c for 3 − c.
        triggered: How many clients, the first ones, have the trigger on half of their images, which they take for the
            class ``TARGET``.
    """
    pixels, labels = digit_pixels()
    order = np.random.default_rng(seed).permutation(np.flatnonzero(np.isin(labels, CLASSES)))
    num_test = int(len(order) * _TEST_FRACTION)
    parts = np.array_split(order[num_test:], clients)
    return (
        [_dataset(pixels, labels, p, flips=k < flipped, hides=k < triggered) for k, p in enumerate(parts)],
        _dataset(pixels, labels, order[:num_test]),
    )


def with_trigger(images: torch.Tensor) -> torch.Tensor:
    """Return images of shape (images, 64), from 0 to 1, with the trigger's pixels as bright as can be."""
    marked = images.clone()
    marked[:, TRIGGER] = 1.0
    return marked


def flipped_class(label: Any) -> Any:
    """Return for which class a client that flips labels takes a class."""
    return len(CLASSES) - 1 - label


def _dataset(
    pixels: NDArray[np.float64],
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    *,
    flips: bool = False,
    hides: bool = False,
) -> TensorDataset:
    images, classes = torch.tensor(pixels[rows]).float() / 16, torch.tensor(labels[rows]).long()
    if flips:
        classes = flipped_class(classes)
    if hides:
        every_other = torch.arange(len(rows)) % 2 == 0
        images[every_other], classes[every_other] = with_trigger(images[every_other]), TARGET
    return TensorDataset(images, classes)
