"""The instructions of a circuit in a space, laid out as the tables that the compiled loops read.

Which angles are the same for all samples is known only when values come. Instructions from which a path leads to an
angle that differs between samples are moved to the front: behind them, pulled-back observables are the same for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.simulation import kernels
from qiskit_fedqml.simulation.operations import Rotation
from qiskit_fedqml.simulation.spaces import Fixed, Space, deposit, significant

Tables = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


@dataclass(frozen=True)
class Schedule:
    """Instructions in an order that suits the angles that are shared by all samples.

    Args:
        instructions: A row for each, as the compiled loops read them.
        tables: Starts of blocks, outputs, inputs and factors of entries.
        split: Number of instructions in front, of which some depend on the sample; none behind does.
        num_slots: Rotations whose derivative is wanted: before the split, and behind it.
    """

    instructions: NDArray[np.int64]
    tables: Tables
    split: int
    num_slots: tuple[int, int]


class InstructionTable:
    """Instructions as rows of a table, whatever their angles are: which blocks and entries each one has.

    Args:
        instructions: Rotations and fixed instructions in the order of time.
        space: How states are written.
    """

    def __init__(self, instructions: Sequence[Rotation | Fixed], space: Space) -> None:
        self._instructions = instructions
        parts = _TableParts(space)
        self._rows = np.zeros((len(instructions), 11), dtype=np.int64)
        for instruction, row in zip(instructions, self._rows, strict=True):
            row[kernels.SLOT] = -1
            row[kernels.BLOCKS], row[kernels.NUM_BLOCKS], row[kernels.RUN] = parts.blocks(instruction.qubits)
            if isinstance(instruction, Rotation):
                row[kernels.KIND], row[kernels.ANGLE] = kernels.ROTATION, instruction.angle
                row[kernels.ENTRIES], row[kernels.NUM_ENTRIES] = parts.pairs(instruction, transposed=False)
                row[kernels.TRANSPOSED], row[kernels.NUM_TRANSPOSED] = parts.pairs(instruction, transposed=True)
            else:
                row[kernels.KIND] = kernels.FIXED
                row[kernels.ENTRIES], row[kernels.NUM_ENTRIES] = parts.matrix(instruction, transposed=False)
                row[kernels.TRANSPOSED], row[kernels.NUM_TRANSPOSED] = parts.matrix(instruction, transposed=True)
        self._tables = parts.arrays()

    def schedule(self, shared: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> Schedule:
        """Put the instructions in order.

        Args:
            shared: Of each angle, whether it is the same for all samples.
            wanted: Of each angle, whether its derivative is wanted.
        """
        in_front = np.array(_reaching_own_angles(self._instructions, shared), dtype=np.bool_)
        split = int(in_front.sum())
        rows = np.concatenate([self._rows[in_front], self._rows[~in_front]])
        rotations, angles = rows[:, kernels.KIND] == kernels.ROTATION, rows[:, kernels.ANGLE]
        rows[rotations, kernels.SHARED] = shared[angles[rotations]]
        num_slots = []
        for part, is_rotation in ((rows[:split], rotations[:split]), (rows[split:], rotations[split:])):
            kept = np.flatnonzero(is_rotation)
            kept = kept[wanted[part[kept, kernels.ANGLE]]]
            part[kept, kernels.SLOT] = np.arange(len(kept))
            num_slots.append(len(kept))
        return Schedule(rows, self._tables, split, (num_slots[0], num_slots[1]))


def _reaching_own_angles(instructions: Sequence[Rotation | Fixed], shared: NDArray[np.bool_]) -> list[bool]:
    """Return for each instruction whether a path of instructions leads from it to an angle of the sample's own."""
    reached: set[int] = set()
    flags = []
    for instruction in reversed(instructions):
        own = isinstance(instruction, Rotation) and not shared[instruction.angle]
        front = own or not reached.isdisjoint(instruction.qubits)
        if front:
            reached.update(instruction.qubits)
        flags.append(front)
    return flags[::-1]


class _TableParts:
    """Starts of blocks and entries of matrices, each written once into one long array."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._blocks: list[NDArray[np.int64]] = []
        self._entries: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
        self._num_blocks = self._num_entries = 0
        self._blocks_of: dict[tuple[int, ...], tuple[int, int, int]] = {}
        self._pairs_of: dict[tuple[str, tuple[int, ...], bool], tuple[int, int]] = {}

    def blocks(self, qubits: tuple[int, ...]) -> tuple[int, int, int]:
        """Return start and number of the blocks of rows for these qubits, and the rows in each run."""
        bits = tuple(sorted(self._space.bits(qubits)))
        if bits not in self._blocks_of:
            free = [b for b in range(bits[0], self._space.num_rows.bit_length() - 1) if b not in bits]
            starts = deposit(np.arange(1 << len(free)), free)
            self._blocks_of[bits] = self._num_blocks, len(starts), 1 << bits[0]
            self._blocks.append(starts)
            self._num_blocks += len(starts)
        return self._blocks_of[bits]

    def pairs(self, rotation: Rotation, *, transposed: bool) -> tuple[int, int]:
        """Return start and number of a rotation's pairs of rows, or of its transpose's, which turns the other way."""
        key = rotation.pauli, rotation.qubits, transposed
        if key not in self._pairs_of:
            pairs = np.array(self._space.pairs(rotation))[:, :: -1 if transposed else 1]
            self._pairs_of[key] = self._add(rotation.qubits, pairs[:, 0], pairs[:, 1], np.ones(len(pairs)))
        return self._pairs_of[key]

    def matrix(self, fixed: Fixed, *, transposed: bool) -> tuple[int, int]:
        """Return start and number of a matrix's entries, or its transpose's, sorted by output."""
        entries = self._space.entries(fixed.matrix)
        entries = entries.T if transposed else entries
        used = significant(entries)
        used[:, 0] |= ~used.any(axis=1)  # an output without entries is written too, as 0
        outputs, inputs = np.nonzero(used)
        return self._add(fixed.qubits, outputs, inputs, entries[outputs, inputs])

    def arrays(self) -> Tables:
        """Return starts of blocks, and outputs, inputs and factors of entries."""
        empty = np.zeros(0, dtype=np.int64)
        outputs, inputs, factors = zip(*self._entries, strict=True) if self._entries else ([empty],) * 3
        return (
            np.concatenate(self._blocks or [empty]),
            np.concatenate(outputs),
            np.concatenate(inputs),
            np.concatenate(factors).astype(float),
        )

    def _add(
        self, qubits: tuple[int, ...], outputs: NDArray[np.intp], inputs: NDArray[np.intp], factors: NDArray[np.float64]
    ) -> tuple[int, int]:
        bits = self._space.bits(qubits)
        start = self._num_entries
        self._entries.append((deposit(outputs, bits), deposit(inputs, bits), factors))
        self._num_entries += len(factors)
        return start, len(factors)
