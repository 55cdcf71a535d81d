"""Feature scaling from what clients may reveal: the sums n, Σx and Σx² of each shard, added up by the server."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROWS = 256
_CONSTANT = 1e-6
"""A deviation below this share of the root mean square is rounding: float32 values differ by 1e-7, and Σx² − (Σx)²/n
cancels to some 1e-8."""


@dataclass(frozen=True)
class FeatureSums:
    """A client's sums.

    Args:
        count: Number of examples.
        total: Σx of each feature, float64 of shape (features,).
        total_squared: Σx² of each feature, float64 of shape (features,).
    """

    count: int
    total: NDArray[np.float64]
    total_squared: NDArray[np.float64]

    def __add__(self, other: "FeatureSums") -> "FeatureSums":
        return FeatureSums(self.count + other.count, self.total + other.total, self.total_squared + other.total_squared)


def feature_sums(features: NDArray[np.float32], indices: NDArray[np.intp]) -> FeatureSums:
    """Return the sums of the examples at ``indices``, read a few rows at a time."""
    sums = FeatureSums(0, np.zeros(features.shape[1]), np.zeros(features.shape[1]))
    for start in range(0, len(indices), _ROWS):
        rows = np.asarray(features[indices[start : start + _ROWS]], dtype=np.float64)
        sums = sums + FeatureSums(len(rows), rows.sum(axis=0), np.square(rows).sum(axis=0))
    return sums


def mean_and_deviation(
    client_sums: Iterable[FeatureSums], per_feature: bool, *, center: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation over all clients' examples.

    Args:
        client_sums: Each client's sums, in the order of client ids.
        per_feature: Whether each feature has its own two numbers, or all share them.
        center: Whether the mean is given; otherwise zeros are.

    Returns:
        Two arrays of shape (features,) or (1,). The deviation of a feature that never changes, but for
        rounding (a millionth of its root mean square), is given as 1.
    """
    sums = iter(client_sums)
    total = next(sums)
    for other in sums:
        total = total + other
    count, first, second = float(total.count), total.total, total.total_squared
    if not per_feature:
        count, first, second = count * len(first), first.sum(keepdims=True), second.sum(keepdims=True)
    mean = first / count
    deviation = np.sqrt(np.maximum(second / count - mean**2, 0.0))
    return mean if center else np.zeros_like(mean), np.where(
        deviation > _CONSTANT * np.sqrt(second / count), deviation, 1.0
    )
