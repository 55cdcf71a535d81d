"""Clients' data that several processes open, with the features once in memory however many there are."""

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.data.examples import Examples, Shard, SharedOut
from qiskit_fedqml.workers.memory import Memory, Place


@dataclass(frozen=True)
class MappedFile:
    """An array that is mapped from a file.

    Args:
        path: The file.
        dtype: The array's type.
        shape: Its shape.
        offset: Where it begins in the file, in bytes.
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, array: NDArray[Any]) -> "MappedFile | None":
        """Return where an array is mapped from; None if it is not, or not as a whole."""
        is_whole = isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap) and array.flags.c_contiguous
        if not is_whole or array.filename is None:  # type: ignore[attr-defined]
            return None
        return cls(Path(array.filename), array.dtype.str, array.shape, int(array.offset))  # type: ignore[attr-defined]

    def open(self) -> NDArray[Any]:
        """Map it again."""
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)


@dataclass(frozen=True)
class SharedData:
    """Where the data of a simulated federation lie.

    Args:
        features: Shape (examples, features).
        labels: Class indices, shape (examples,).
        rows: The rows of all clients, one client after another.
        ends: Where the rows of each client end, shape (clients,).
    """

    features: Place | MappedFile
    labels: Place
    rows: Place
    ends: Place

    @classmethod
    def of(cls, data: SharedOut, memory: Memory) -> "SharedData":
        """Copy the data of a simulated federation into shared memory, but for features that are mapped from a file."""
        mapped = MappedFile.of(data.train.features)
        ends = np.cumsum([len(rows) for rows in data.rows])
        arrays = [np.asarray(data.train.labels), np.concatenate(data.rows), ends]
        (labels, rows, ends_place, *features), _ = memory.put(
            [*arrays, *([] if mapped else [np.asarray(data.train.features)])]
        )
        return cls(mapped or features[0], labels, rows, ends_place)

    def open_in(self, memory: Memory) -> "OpenedData":
        """Return the data, which are not copied.

        Args:
            memory: That into which they were copied.
        """
        features = self.features.open() if isinstance(self.features, MappedFile) else memory.array(self.features)
        train = Examples(features, memory.array(self.labels))
        return OpenedData(train, memory.array(self.rows), memory.array(self.ends))


@dataclass(frozen=True)
class OpenedData:
    """The data of a simulated federation, of which a million clients are one array of rows.

    Args:
        train: The training data of all clients.
        rows: The rows of all clients, one client after another.
        ends: Where the rows of each client end, shape (clients,).
    """

    train: Examples
    rows: NDArray[np.intp]
    ends: NDArray[np.intp]

    def open(self, client_id: int) -> Shard:
        """Return a client's examples."""
        start = int(self.ends[client_id - 1]) if client_id else 0
        return Shard(self.train, self.rows[start : int(self.ends[client_id])])
