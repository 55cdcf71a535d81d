"""How many examples of each class clients hold."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.data.partition import Shards

MOST_GROUPS = 100
"""Clients that are written down one by one; more of them in so many groups of like size."""


def count_classes(labels: NDArray[np.int64], shards: Shards, num_classes: int) -> NDArray[np.int64]:
    """Return how many examples of each class each client holds, shape (clients, classes).

    Args:
        labels: Class indices of the training data, shape (examples,).
        shards: Each client's rows of the training data.
        num_classes: The number of classes.
    """
    clients = np.repeat(np.arange(len(shards)), shards.sizes)
    cells = np.bincount(clients * num_classes + labels[shards.rows], minlength=len(shards) * num_classes)
    return cells.reshape(len(shards), num_classes).astype(np.int64)


def summary(counts: NDArray[np.int64], most: int = MOST_GROUPS) -> dict[str, Any]:
    """Return counts as a run's description keeps them.

    Args:
        counts: Shape (clients, classes).
        most: As many clients are kept one by one. More are sorted by size, the largest first, and put into so many
            groups of equally many clients, as nearly as possible.

    Returns:
        ``clients``, how many clients each row is of, and ``counts``, the rows: a client's counts, or a group's means.
    """
    if len(counts) <= most:
        return {"clients": [1] * len(counts), "counts": counts.tolist()}
    ordered = counts[np.argsort(-counts.sum(axis=1), kind="stable")]
    groups = np.array_split(ordered, most)
    means = [np.round(group.mean(axis=0), 3).tolist() for group in groups]
    return {"clients": [len(group) for group in groups], "counts": means}
