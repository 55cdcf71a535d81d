"""Memory that processes share. It has no name anywhere, so nothing is left of it when the last of them has died."""

import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.errors import TrainingError

_ALIGNMENT = 64


@dataclass(frozen=True)
class Place:
    """Where an array lies in shared memory.

    Args:
        dtype: Its type, as NumPy writes it.
        shape: Its shape.
        offset: Where it begins, in bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int


class Memory:
    """Shared memory that is written again and again, and grows when that is needed.

    One process writes while the others do not read: it is for them to agree on that.

    Args:
        file: The descriptor by which another process opened it; None makes it.
    """

    def __init__(self, file: int | None = None) -> None:
        self.file = _anonymous_file() if file is None else file
        self._map: mmap.mmap | None = None

    def put(self, arrays: Sequence[NDArray[Any]], start: int = 0) -> tuple[list[Place], int]:
        """Copy arrays into the memory.

        Args:
            arrays: The arrays.
            start: Where the first one goes; what lies there is overwritten.

        Returns:
            Their places, and where the last one ends.

        Raises:
            TrainingError: The computer has not so much memory.
        """
        places, end = [], start
        for array in arrays:
            offset = -(-end // _ALIGNMENT) * _ALIGNMENT
            places.append(Place(array.dtype.str, array.shape, offset))
            end = offset + array.nbytes
        self._grow(end)
        for array, place in zip(arrays, places, strict=True):
            self.array(place)[...] = array
        return places, end

    def array(self, place: Place) -> NDArray[Any]:
        """Return an array that lies in the memory, not a copy."""
        count = int(np.prod(place.shape))
        if not count:
            return np.empty(place.shape, place.dtype)
        end = place.offset + count * np.dtype(place.dtype).itemsize
        if self._map is None or len(self._map) < end:
            self._map = mmap.mmap(self.file, 0)  # arrays of the map before keep it alive
        return np.frombuffer(self._map, place.dtype, count, place.offset).reshape(place.shape)

    def close(self) -> None:
        """Let go of the memory; arrays in it stay valid."""
        os.close(self.file)
        self._map = None

    def _grow(self, size: int) -> None:
        if size <= (before := os.fstat(self.file).st_size):
            return
        try:
            os.ftruncate(self.file, size)
            if hasattr(os, "posix_fallocate"):  # otherwise a lack of memory would kill the process that writes
                os.posix_fallocate(self.file, before, size - before)
        except OSError as error:
            raise TrainingError(
                f"{size / 2**20:,.0f} MiB of memory could not be shared with a worker process ({error.strerror}); "
                "fewer `federation.workers` need less."
            ) from error


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("fedqml")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
