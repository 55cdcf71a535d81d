"""The three kinds of instruction that the sweeps know, and their Pauli strings."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rotation:
    """exp(−iθP/2): ``pauli`` has a letter for each of ``qubits``, ``angle`` is the index of its expression."""

    pauli: str
    qubits: tuple[int, ...]
    angle: int


@dataclass(frozen=True)
class Unitary:
    """A fixed gate on one or two qubits: its matrix, little-endian in ``qubits``."""

    matrix: NDArray[np.complex128]
    qubits: tuple[int, ...]


@dataclass(frozen=True)
class Channel:
    """A fixed channel: its real Pauli transfer matrix, index Σ 4^k·p_k with p_k of I, X, Y, Z on ``qubits[k]``."""

    transfer: NDArray[np.float64]
    qubits: tuple[int, ...]


Operation = Rotation | Unitary | Channel


def within_light_cone(operations: Sequence[Operation], measured: set[int]) -> list[Operation]:
    """Return the instructions from which a path of instructions leads to a measured qubit; the others act on nothing.

    This is exact for unitaries and for channels, because they preserve the trace.
    """
    reached, kept = set(measured), []
    for operation in reversed(operations):
        if not reached.isdisjoint(operation.qubits):
            reached.update(operation.qubits)
            kept.append(operation)
    return kept[::-1]


def pauli_index(pauli: str) -> int:
    """Return Σ 4^k·p_k of a Pauli string whose first letter is k = 0."""
    return sum("IXYZ".index(letter) << 2 * k for k, letter in enumerate(pauli))


@cache
def pauli_matrices(num_qubits: int) -> NDArray[np.complex128]:
    """Return the matrices of all Pauli strings, shape (4**n, 2**n, 2**n), index and matrices little-endian."""
    single = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    strings = product(single, repeat=num_qubits)
    matrices = []
    for string in strings:
        matrix = np.eye(1)
        for factor in string:
            matrix = np.kron(matrix, factor)
        matrices.append(matrix)
    return np.array(matrices, dtype=complex)


def transfer_of_unitary(matrix: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return the Pauli transfer matrix of a unitary: R_ij = Tr(P_i U P_j U†)/2^n."""
    paulis = pauli_matrices(int(np.log2(len(matrix))))
    turned = matrix @ paulis @ matrix.conj().T
    return np.einsum("iab,jba->ij", paulis, turned).real / len(matrix)
