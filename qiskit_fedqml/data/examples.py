"""Examples, and how a client opens its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Examples:
    """Features with labels.

    Args:
        features: float32 of shape (examples, features), possibly mapped from a file.
        labels: Class indices, shape (examples,).
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: NDArray[np.intp]) -> "Examples":
        """Return the examples at some positions, read into memory."""
        return Examples(self.features[positions], self.labels[positions])


@dataclass(frozen=True)
class Shard:
    """Some rows of examples, read when they are taken.

    Args:
        of: The examples.
        rows: The rows that belong to the shard.
    """

    of: Examples
    rows: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class indices, shape (examples,)."""
        return self.of.labels[self.rows]

    def take(self, positions: NDArray[np.intp]) -> Examples:
        """Return the examples at some positions of the shard, read into memory."""
        return self.of.take(self.rows[positions])


class ExampleSource(Protocol):
    """Examples that are read a few at a time: :class:`Examples`, :class:`Shard`, or a user's own."""

    def __len__(self) -> int: ...

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class indices, shape (examples,)."""
        ...

    def take(self, positions: NDArray[np.intp]) -> Examples:
        """Return the examples at some positions, in this order, read into memory."""
        ...


class ClientData(Protocol):
    """How a client opens its own examples, and no one else's: by its id, where they lie."""

    def open(self, client_id: int) -> ExampleSource:
        """Return a client's examples.

        Raises:
            DataError: They cannot be read here.
        """
        ...


@dataclass(frozen=True)
class SharedOut:
    """Clients' data in a simulated federation: rows of one array.

    Args:
        train: The training data of all clients.
        rows: For each client the rows that it holds.
    """

    train: Examples
    rows: Sequence[NDArray[np.intp]]

    def open(self, client_id: int) -> Shard:
        """Return a client's examples."""
        return Shard(self.train, self.rows[client_id])
