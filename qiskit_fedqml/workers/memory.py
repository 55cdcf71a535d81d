"""Memory that processes share. It has no name anywhere, so nothing is left of it when the last of them has died."""

import mmap
import os
import tempfile
import weakref
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


@dataclass(frozen=True)
class Room:
    """A part of shared memory that may be written.

    Args:
        start: Where it begins, in bytes.
        size: How long it is, in bytes.
    """

    start: int = 0
    size: int = 0


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
        places, end = _places(arrays, start)
        self._grow(end)
        for array, place in zip(arrays, places, strict=True):
            self.array(place)[...] = array
        return places, end

    def put_in(self, room: Room, arrays: Sequence[NDArray[Any]]) -> list[Place]:
        """Copy arrays into a room, or behind all that is there if it is too small.

        Raises:
            TrainingError: As :meth:`put`.
        """
        fits = _places(arrays, room.start)[1] <= room.start + room.size
        return self.put(arrays, room.start if fits else self.size)[0]

    @property
    def size(self) -> int:
        """The size, in bytes."""
        return os.fstat(self.file).st_size

    def array(self, place: Place) -> NDArray[Any]:
        """Return an array that lies in the memory, not a copy."""
        count = int(np.prod(place.shape))
        if not count:
            return np.empty(place.shape, place.dtype)
        end = place.offset + count * np.dtype(place.dtype).itemsize
        if self._map is None or len(self._map) < end:
            self._map = mmap.mmap(self.file, 0)  # arrays of the map before keep it alive
        return np.frombuffer(self._map, place.dtype, count, place.offset).reshape(place.shape)

    def arrays(self, places: Sequence[Place]) -> list[NDArray[Any]]:
        """Return arrays that lie in the memory, not copies."""
        return [self.array(place) for place in places]

    def close(self) -> None:
        """Let go of the memory; arrays in it stay valid."""
        os.close(self.file)
        self._map = None

    def _grow(self, size: int) -> None:
        if size <= (before := self.size):
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


class Rooms:
    """The rooms of a memory that another process writes; none is written again while arrays in it are in use.

    Args:
        memory: The memory.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._free: list[Room] = []
        self._lent = Room()

    def lend(self) -> Room:
        """Return a room for the other process to write next; an empty one where all are in use."""
        self._free.sort(key=lambda room: room.size)
        self._lent = self._free.pop() if self._free else Room()
        return self._lent

    def arrays(self, places: Sequence[Place]) -> list[NDArray[Any]]:
        """Return the arrays that the other process has written; their room is free again once all of them are gone.

        A tensor that torch makes of such an array keeps it; a view by NumPy does not.
        """
        arrays = [self._memory.array(place) for place in places]
        if places and self._lent.size and places[0].offset == self._lent.start:
            room = self._lent
        else:
            self._free += [self._lent] if self._lent.size else []
            start = places[0].offset if places else 0
            room = Room(start, places[-1].offset + arrays[-1].nbytes - start) if places else Room()
        self._lent = Room()
        in_use = len(arrays)

        def let_go() -> None:
            nonlocal in_use
            in_use -= 1
            if not in_use and room.size:
                self._free.append(room)

        for array in arrays:
            weakref.finalize(array, let_go).atexit = False
        return arrays


def _places(arrays: Sequence[NDArray[Any]], start: int) -> tuple[list[Place], int]:
    """Return where arrays lie one behind the other, and where the last one ends."""
    places, end = [], start
    for array in arrays:
        offset = -(-end // _ALIGNMENT) * _ALIGNMENT
        places.append(Place(array.dtype.str, array.shape, offset))
        end = offset + array.nbytes
    return places, end


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("fedqml")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
