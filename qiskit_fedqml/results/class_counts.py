"""How many examples of each class clients hold, as a run writes it down and as a report reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_CLIENTS = 1000
"""Of more clients, groups are kept: of those that hold most of the same class, with like shares of it."""

_NUM_GROUPS = 200


@dataclass(frozen=True)
class ClassCounts:
    """Examples by class, of each client or of groups of clients.

    Args:
        counts: Examples, shape (clients or groups, classes).
        sizes: How many clients each group has, shape (groups,); None where each row is a client.
    """

    counts: NDArray[np.int64]
    sizes: NDArray[np.int64] | None = None

    @property
    def num_clients(self) -> int:
        """The number of clients."""
        return len(self.counts) if self.sizes is None else int(self.sizes.sum())

    def as_json(self) -> dict[str, str]:
        """Return them as plain values: texts of numbers in place of a line for each."""
        values = {"counts": "; ".join(" ".join(map(str, row)) for row in self.counts.tolist())}
        return values if self.sizes is None else {**values, "sizes": " ".join(map(str, self.sizes.tolist()))}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ClassCounts":
        """Read them from plain values.

        Raises:
            KeyError: A value is missing.
            ValueError: One cannot be read.
            TypeError: One is no text.
            AttributeError: One is no text.
        """
        counts = np.array([[int(text) for text in row.split()] for row in values["counts"].split(";")], dtype=np.int64)
        if "sizes" not in values:
            return cls(counts)
        sizes = np.array([int(text) for text in values["sizes"].split()], dtype=np.int64)
        if counts.ndim != 2 or len(sizes) != len(counts):
            raise ValueError("sizes and counts differ in number")
        return cls(counts, sizes)


def count_classes(labels: NDArray[np.int64], owners: NDArray[np.intp], shape: tuple[int, int]) -> ClassCounts:
    """Count each client's examples by class.

    Args:
        labels: Class indices, shape (examples,).
        owners: The client that holds each example, shape (examples,).
        shape: How many clients and classes there are.
    """
    num_clients, num_classes = shape
    counts = np.bincount(owners * num_classes + labels, minlength=num_clients * num_classes).reshape(shape)
    if num_clients <= MOST_CLIENTS:
        return ClassCounts(counts)
    most, shares = counts.argmax(axis=1), counts.max(axis=1) / np.maximum(counts.sum(axis=1), 1)
    groups = np.array_split(np.lexsort((-shares, most)), _NUM_GROUPS)
    sums = np.array([counts[group].sum(axis=0) for group in groups])
    return ClassCounts(sums, np.array([len(group) for group in groups]))
