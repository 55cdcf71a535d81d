"""Memory that processes share, and that is written again and again."""

import errno
import os

import numpy as np
import pytest
import torch

from qiskit_fedqml.errors import TrainingError
from qiskit_fedqml.workers.memory import Memory, Room, Rooms


def test_arrays_lie_where_they_are_put_and_are_seen_by_others():
    memory = Memory()
    other = Memory(os.dup(memory.file))
    arrays = [np.arange(5), np.array(1.5, dtype=np.float32), np.ones((0, 3)), np.eye(300)]
    places, end = memory.put(arrays, 10)
    assert end == memory.size
    assert all(place.offset % 64 == 0 for place in places)
    for array, found in zip(arrays, other.arrays(places), strict=True):
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
    before = other.array(places[3])
    memory.put([np.zeros(1_000_000)], end)
    np.testing.assert_array_equal(before, np.eye(300), "arrays stay valid when the memory grows")
    memory.close()
    np.testing.assert_array_equal(before, np.eye(300))


def test_what_does_not_fit_into_a_room_goes_behind_everything():
    memory = Memory()
    memory.put([np.zeros(100)])
    (inside,) = memory.put_in(Room(64, 80), [np.ones(10)])
    (behind,) = memory.put_in(Room(64, 80), [np.ones(11)])
    assert inside.offset == 64
    assert behind.offset >= 800


def test_rooms_are_lent_again_once_nothing_in_them_is_in_use():
    memory = Memory()
    rooms = Rooms(memory)
    assert rooms.lend() == Room()
    first, second = map(torch.from_numpy, rooms.arrays(memory.put_in(Room(), [np.zeros(100), np.ones(100)])))
    assert rooms.lend() == Room()
    assert rooms.arrays([]) == [], "an answer without large arrays"
    del first
    view = second[10:].numpy()
    del second
    assert rooms.lend() == Room(), "a view of a tensor is in use"
    assert rooms.arrays([]) == []
    assert view.sum() == 90
    del view
    room = rooms.lend()
    assert room.size >= 1600
    assert rooms.arrays([]) == []
    assert rooms.lend() == room, "a room that was not taken is free"


def test_lack_of_memory_is_a_clear_error(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(TrainingError, match=r"^8 MiB of memory could not be shared with a worker process \(No space"):
        Memory().put([np.zeros(1 << 20)])
