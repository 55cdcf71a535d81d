"""From states to what a device reports: measured bases, readout error, outcome probabilities, shots."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import PauliList, SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager

from qiskit_fedqml.circuits.arrays import Array
from qiskit_fedqml.circuits.observables import commuting_groups, weight_of_outcomes
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.memory import outcome_bytes, require_memory
from qiskit_fedqml.simulation.noise import Noise
from qiskit_fedqml.simulation.shots import frequencies

MOST_PROBABILITIES = 1 << 22
"""Outcome probabilities of shifted circuits that are in memory at once, 32 MB."""
_LEAST_DETERMINANT = 1e-3
"""Least determinant of a confusion matrix that is inverted: the variance of shots grows with its inverse square."""


@dataclass(frozen=True)
class Basis:
    """The basis in which a group of qubit-wise commuting Pauli strings is measured.

    Args:
        qubits: The measured qubits, ascending; bit k of an outcome is the reading of ``qubits[k]``.
        letters: X, Y or Z of each.
    """

    qubits: tuple[int, ...]
    letters: str

    @classmethod
    def of(cls, group: PauliList) -> "Basis":
        """Return the basis of a group."""
        z, x = group.z.any(axis=0), group.x.any(axis=0)
        qubits = np.flatnonzero(z | x)
        letters = "".join("Z" if not x[q] else "Y" if z[q] else "X" for q in qubits)
        return cls(tuple(int(q) for q in qubits), letters)

    def rotations(self, num_qubits: int, noise: Noise | None) -> QuantumCircuit | None:
        """Return the gates before the measurement, in the machine's gates; None if there are none."""
        if set(self.letters) <= {"Z"}:
            return None
        circuit = QuantumCircuit(num_qubits)
        for q, letter in zip(self.qubits, self.letters, strict=True):
            if letter == "Y":
                circuit.sdg(q)
            if letter != "Z":
                circuit.h(q)
        if noise is None:
            return circuit
        if noise.target is None:
            return generate_preset_pass_manager(0, basis_gates=list(noise.basis)).run(circuit)
        layout = list(range(num_qubits))
        return generate_preset_pass_manager(0, target=noise.target, initial_layout=layout).run(circuit)


def measured_groups(
    observables: Sequence[SparsePauliOp], mitigated: Noise | None = None
) -> tuple[list[Basis], list[Array], Array]:
    """Return bases, each one's worth of outcomes (2**k, observables), and the observables' constant parts.

    Args:
        observables: What is measured.
        mitigated: A machine whose readout error is taken out: the worth is that of outcomes as it reads them.

    Raises:
        BackendError: So many qubits are measured together that their outcomes do not fit in memory, or a readout error
            cannot be taken out.
    """
    bases, weights = [], []
    constants = np.zeros(len(observables))
    groups = commuting_groups(observables)
    require_memory(outcome_bytes(groups, len(observables)), "The outcomes of the qubits that are measured together")
    for group in groups:
        basis = Basis.of(group)
        worth = [weight_of_outcomes(o, group, np.array(basis.qubits, dtype=np.intp)) for o in observables]
        columns = np.stack([np.zeros(1 << len(basis.qubits)) if w is None else w for w in worth], axis=1)
        if basis.qubits:
            bases.append(basis)
            weights.append(columns if mitigated is None else worth_as_read(columns, basis, mitigated))
        else:
            constants += columns[0]
    return bases, weights, constants


def confusions(basis: Basis, noise: Noise | None) -> list[Array]:
    """Return each measured qubit's confusion matrix, ``[measured, true]``."""
    return [np.eye(2) if noise is None else noise.confusion(q) for q in basis.qubits]


def worth_as_read(worth: Array, basis: Basis, noise: Noise) -> Array:
    """Return what outcomes as read must be worth, so that their mean is that of the true outcomes.

    With M the product of the qubits' confusion matrices, outcomes p are read as M p; worth w of p is worth M⁻ᵀ w of M
    p. So values and all that is linear in them, such as shifts, are without readout error, and shots stay unbiased.

    Args:
        worth: Shape (2**measured, observables).
        basis: What is measured.
        noise: The machine's noise.

    Raises:
        BackendError: A qubit's readout hardly depends on its state.
    """
    inverses: list[Array] = []
    for qubit, matrix in zip(basis.qubits, confusions(basis, noise), strict=True):
        if abs(np.linalg.det(matrix)) < _LEAST_DETERMINANT:
            raise BackendError(
                f"The readout error of qubit {qubit} of {noise.source} cannot be mitigated, because what is read there "
                "hardly depends on the qubit's state."
            )
        inverses.append(np.asarray(np.linalg.inv(matrix).T, dtype=float))
    return misread(worth.T, inverses).T


def outcomes_of_z_strings(confusion: Sequence[Array]) -> Array:
    """Return the matrix from expectations of Z-strings to outcome probabilities as read, shape (2**k, 2**k).

    Column s belongs to the product of Z on the qubits whose bit is set in s; column 0 to the identity.
    """
    # For one qubit the probabilities of 0 and 1 are (1 ± ⟨Z⟩)/2.
    each = [matrix @ np.array([[0.5, 0.5], [0.5, -0.5]]) for matrix in confusion]
    return reduce(lambda low, high: np.kron(high, low), each, np.eye(1))


def misread(probabilities: Array, confusion: Sequence[Array]) -> Array:
    """Apply a matrix for each qubit, such as its confusion matrix, to outcomes of shape (points, 2**qubits)."""
    num_qubits = len(confusion)
    tensor = probabilities.reshape(-1, *(2,) * num_qubits)
    for k, matrix in enumerate(confusion):
        axis = num_qubits - k  # bit k is the k-th axis from the end
        tensor = np.moveaxis(np.tensordot(matrix, tensor, axes=(1, axis)), 0, axis)
    return tensor.reshape(probabilities.shape)


def draw(
    probabilities: Sequence[Array],
    weights: Sequence[Array],
    constants: Array,
    num_points: tuple[int, int],
    shots: int,
    rng: np.random.Generator,
) -> Array:
    """Return observables' means over shots, drawn group by group, shape (batch, points, observables).

    Args:
        probabilities: Of each group of observables measured together, shape (batch, points, outcomes).
        weights: What each outcome of the group is worth to each observable, shape (outcomes, observables).
        constants: The observables' constant parts, shape (observables,).
        num_points: Size of the batch, and points of each sample.
        shots: Shots of each circuit.
        rng: Draws them, each circuit's on its own.
    """
    total = np.empty((*num_points, len(constants)))
    total[:] = constants
    for of_group, worth in zip(probabilities, weights, strict=True):
        total += frequencies(of_group, shots, rng) @ worth
    return total


def draw_each(
    probabilities: Sequence[Array],
    weights: Sequence[Array],
    constants: Array,
    sizes: Sequence[int],
    num_points: int,
    shots: int,
    rngs: Sequence[np.random.Generator],
) -> Array:
    """Do as :func:`draw` for samples of several clients, one after another; each draws by a generator of its own.

    Args:
        probabilities: Of each group of observables measured together, shape (samples, points, outcomes).
        weights: What each outcome of the group is worth to each observable, shape (outcomes, observables).
        constants: The observables' constant parts, shape (observables,).
        sizes: Samples of each client.
        num_points: Points of each sample.
        shots: Shots of each circuit.
        rngs: Draws each client's shots.
    """
    total = np.empty((sum(sizes), num_points, len(constants)))
    total[:] = constants
    for of_group, worth in zip(probabilities, weights, strict=True):
        drawn, start = np.ascontiguousarray(of_group), 0
        for size, rng in zip(sizes, rngs, strict=True):
            drawn[start : start + size] = frequencies(drawn[start : start + size], shots, rng)
            start += size
        total += drawn @ worth
    return total
