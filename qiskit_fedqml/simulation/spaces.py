"""The two ways to write a state as real numbers on which instructions are real matrices.

As a state vector: the real and the imaginary parts of 2^n amplitudes. As a Pauli vector: the expectations of 4^n Pauli
strings, on which channels act as linearly as gates. In both a rotation exp(−iθP/2) turns pairs of components: by θ/2
each amplitude with its image under −iP, and by θ each two Pauli strings that P takes to each other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.simulation.operations import (
    Channel,
    Operation,
    Rotation,
    Unitary,
    pauli_index,
    pauli_matrices,
    transfer_of_unitary,
)

_ROUNDING = 1e-15
"""Entries of a matrix below this are rounding errors of 0."""


@dataclass(frozen=True)
class Fixed:
    """A fixed instruction in a space: its matrix, unitary or transfer, and its qubits."""

    matrix: NDArray[np.complex128] | NDArray[np.float64]
    qubits: tuple[int, ...]


class Space(Protocol):
    """A way to write states. Row indices are bit strings, of which each qubit has some bits."""

    num_qubits: int
    num_rows: int
    angle_factor: float
    base: int  # of the index of a fixed matrix: 2 for amplitudes, 4 for Pauli strings

    def bits(self, qubits: tuple[int, ...]) -> tuple[int, ...]:
        """Return the row's bits on which an instruction on these qubits acts, the lowest of its own index first."""
        ...

    def fixed(self, operation: Unitary | Channel) -> Fixed:
        """Return a fixed instruction's matrix in this space."""
        ...

    def entries(self, matrix: NDArray) -> NDArray[np.float64]:
        """Return the real matrix on the bits of an instruction."""
        ...

    def pairs(self, rotation: Rotation) -> list[tuple[int, int]]:
        """Return the pairs (a, b) that a rotation turns from a towards b, as indices of its bits."""
        ...


class StateVectors:
    """Amplitudes: bit q of a row is qubit q, and the highest bit is set for imaginary parts."""

    angle_factor = 0.5
    base = 2

    def __init__(self, num_qubits: int) -> None:
        self.num_qubits = num_qubits
        self.num_rows = 2 << num_qubits

    def bits(self, qubits: tuple[int, ...]) -> tuple[int, ...]:
        """Return the qubits' bits, then the one of real and imaginary."""
        return (*qubits, self.num_qubits)

    def fixed(self, operation: Unitary | Channel) -> Fixed:
        """Return a gate's unitary matrix."""
        assert isinstance(operation, Unitary)
        return Fixed(operation.matrix, operation.qubits)

    def entries(self, matrix: NDArray) -> NDArray[np.float64]:
        """Write a complex matrix as a real one."""
        return np.block([[matrix.real, -matrix.imag], [matrix.imag, matrix.real]])

    def pairs(self, rotation: Rotation) -> list[tuple[int, int]]:
        """Return each component with its image under −iP."""
        return _turned(self.entries(-1j * pauli_matrices(len(rotation.qubits))[pauli_index(rotation.pauli)]))


class PauliVectors:
    """Expectations of Pauli strings: bits 2q and 2q + 1 of a row are I, X, Y or Z on qubit q."""

    angle_factor = 1.0
    base = 4

    def __init__(self, num_qubits: int) -> None:
        self.num_qubits = num_qubits
        self.num_rows = 4**num_qubits

    def bits(self, qubits: tuple[int, ...]) -> tuple[int, ...]:
        """Return the qubits' bits."""
        return tuple(bit for q in qubits for bit in (2 * q, 2 * q + 1))

    def fixed(self, operation: Unitary | Channel) -> Fixed:
        """Return the Pauli transfer matrix."""
        if isinstance(operation, Channel):
            return Fixed(operation.transfer, operation.qubits)
        return Fixed(transfer_of_unitary(operation.matrix), operation.qubits)

    def entries(self, matrix: NDArray) -> NDArray[np.float64]:
        """Return the matrix, which is real already."""
        return np.asarray(matrix, dtype=float)

    def pairs(self, rotation: Rotation) -> list[tuple[int, int]]:
        """Return the strings that anticommute with P, two by two."""
        generator = pauli_matrices(len(rotation.qubits))[pauli_index(rotation.pauli)]
        quarter_turn = (np.eye(len(generator)) - 1j * generator) / np.sqrt(2)
        return _turned(transfer_of_unitary(quarter_turn))


def _turned(quarter_turn: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the pairs (a, b) of which a quarter of a turn takes a to b, and b to −a."""
    targets, sources = np.nonzero(quarter_turn > 0.5)
    return [(int(a), int(b)) for b, a in zip(targets, sources, strict=True) if a != b]


def significant(matrix: NDArray) -> NDArray[np.bool_]:
    """Return which entries are more than rounding errors of 0."""
    return np.abs(matrix) > _ROUNDING


def fuse(operations: Iterable[Operation], space: Space) -> list[Rotation | Fixed]:
    """Write instructions in a space, and multiply neighbouring fixed ones where that saves arithmetic.

    Neighbours are instructions of which one acts on qubits of the other only, with none between them on these qubits.
    """
    result: list[Rotation | Fixed | None] = []
    last: dict[int, int] = {}  # of each qubit, the index of the last instruction that acts on it
    for operation in operations:
        instruction = operation if isinstance(operation, Rotation) else space.fixed(operation)
        if isinstance(instruction, Fixed):
            instruction = _take_up(instruction, result, last, space)
            if _put_down(instruction, result, last, space):
                continue
        for q in instruction.qubits:
            last[q] = len(result)
        result.append(instruction)
    return [instruction for instruction in result if instruction is not None]


def _take_up(instruction: Fixed, result: list[Rotation | Fixed | None], last: dict[int, int], space: Space) -> Fixed:
    """Multiply an instruction with those just before it that act on its qubits only, and take these out."""
    for index in {last[q] for q in instruction.qubits if q in last}:
        before = result[index]
        if isinstance(before, Fixed) and all(q in instruction.qubits and last[q] == index for q in before.qubits):
            product = _product(instruction, before, instruction.qubits, space)
            if product is not None:
                result[index], instruction = None, product
    return instruction


def _put_down(instruction: Fixed, result: list[Rotation | Fixed | None], last: dict[int, int], space: Space) -> bool:
    """Multiply an instruction into the one just before it, if that acts on all its qubits; return whether it did."""
    index = last.get(instruction.qubits[0], -1)
    before = result[index] if index >= 0 else None
    if not isinstance(before, Fixed) or any(last.get(q) != index for q in instruction.qubits):
        return False
    product = _product(instruction, before, before.qubits, space)
    if product is not None:
        result[index] = product
    return product is not None


def _product(after: Fixed, before: Fixed, qubits: tuple[int, ...], space: Space) -> Fixed | None:
    """Return the product on these qubits if it has no more entries to go through than both factors have."""
    product = _embed(after, qubits, space.base) @ _embed(before, qubits, space.base)
    cost = sum(_entries_per_row(factor.matrix, space) for factor in (after, before))
    return Fixed(product, qubits) if _entries_per_row(product, space) <= cost else None


def _entries_per_row(matrix: NDArray, space: Space) -> float:
    entries = space.entries(matrix)
    return float(significant(entries).sum() / len(entries))


def _embed(fixed: Fixed, qubits: tuple[int, ...], base: int) -> NDArray:
    """Write a fixed instruction's matrix on one or two qubits, among which its own are."""
    if fixed.qubits == qubits:
        return fixed.matrix
    if len(fixed.qubits) == 1:
        identity = np.eye(base)
        return np.kron(identity, fixed.matrix) if fixed.qubits[0] == qubits[0] else np.kron(fixed.matrix, identity)
    return fixed.matrix.reshape((base,) * 4).transpose(1, 0, 3, 2).reshape(base**2, base**2)  # qubits exchanged


def z_strings(qubits: Sequence[int]) -> NDArray[np.int64]:
    """Return the rows of a Pauli vector that hold the products of Z on all subsets of qubits; bit k is qubit k's."""
    subsets = np.arange(1 << len(qubits))
    return 3 * deposit(subsets, [2 * q for q in qubits])


def deposit(indices: NDArray[np.intp], bits: Sequence[int]) -> NDArray[np.int64]:
    """Put bit k of each index at position ``bits[k]``."""
    result = np.zeros(len(indices), dtype=np.int64)
    for k, bit in enumerate(bits):
        result |= (np.asarray(indices, dtype=np.int64) >> k & 1) << bit
    return result
