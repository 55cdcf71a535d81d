"""Clients' data that several processes open, with the features once in memory however many there are."""

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qiskit_fedqml.data.examples import Examples, Shard, SharedOut


@dataclass(frozen=True)
class SharedData:
    """The data of a simulated federation, which travel between processes as handles alone.

    Args:
        features: In shared memory, or mapped from a file; shape (examples, features).
        labels: Class indices, shape (examples,).
        rows: The rows of all clients, one client after another.
        ends: Where the rows of each client end, shape (clients,).
    """

    features: "torch.Tensor | MappedFile"
    labels: torch.Tensor
    rows: torch.Tensor
    ends: torch.Tensor

    @classmethod
    def of(cls, data: SharedOut) -> "SharedData":
        """Return the data of a simulated federation; features in memory are copied into shared memory when sent."""
        features = data.train.features
        return cls(
            features=MappedFile.of(features) or torch.from_numpy(np.ascontiguousarray(features)),
            labels=torch.from_numpy(np.ascontiguousarray(data.train.labels)),
            rows=torch.from_numpy(np.concatenate(data.rows)),
            ends=torch.from_numpy(np.cumsum([len(rows) for rows in data.rows])),
        )

    def open(self, client_id: int) -> Shard:
        """Return a client's examples."""
        features = self.features.open() if isinstance(self.features, MappedFile) else self.features.numpy()
        start = int(self.ends[client_id - 1]) if client_id else 0
        rows = self.rows[start : int(self.ends[client_id])].numpy()
        return Shard(Examples(features, self.labels.numpy()), rows)


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
