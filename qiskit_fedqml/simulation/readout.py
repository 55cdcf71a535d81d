"""What is read at a circuit's end, as operators there: behind the gates into the measured bases, with readout error."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.circuits.arrays import Array
from qiskit_fedqml.simulation import kernels
from qiskit_fedqml.simulation.lowering import lower
from qiskit_fedqml.simulation.measurement import Basis, confusions, measured_groups, outcomes_of_z_strings
from qiskit_fedqml.simulation.noise import Noise
from qiskit_fedqml.simulation.operations import within_light_cone
from qiskit_fedqml.simulation.schedule import InstructionTable
from qiskit_fedqml.simulation.spaces import PauliVectors, fuse, z_strings


def observables_as_read(
    observables: Sequence[SparsePauliOp],
    num_qubits: int,
    qubits: tuple[int, ...],
    noise: Noise | None,
    *,
    mitigates_readout: bool = False,
) -> Array:
    """Write observables, as read with readout error, as Pauli vectors at the circuit's end.

    Args:
        observables: On the circuit's qubits.
        num_qubits: Number of the circuit's qubits.
        qubits: Those that the Pauli vectors are of.
        noise: The machine's noise, or None.
        mitigates_readout: Whether readout error is taken out again.

    Returns:
        Coefficients of Pauli strings, shape (4**qubits, observables).
    """
    bases, weights, constants = measured_groups(observables, noise if mitigates_readout else None)
    total = np.zeros((4 ** len(qubits), len(observables)))
    total[0] = constants
    for basis, worth in zip(bases, weights, strict=True):
        vectors = np.zeros_like(total)
        strings = z_strings([qubits.index(q) for q in basis.qubits])
        vectors[strings] = outcomes_of_z_strings(confusions(basis, noise)).T @ worth
        total += before_rotations(vectors, basis, num_qubits, qubits, noise)
    return total


def before_rotations(
    vectors: Array, basis: Basis, num_qubits: int, qubits: tuple[int, ...], noise: Noise | None
) -> Array:
    """Pull observables back through the gates that turn into the measured basis."""
    rotations = basis.rotations(num_qubits, noise)
    if rotations is None:
        return vectors
    operations = within_light_cone(lower(rotations, noise).operations, set(basis.qubits))
    moved = [replace(o, qubits=tuple(qubits.index(q) for q in o.qubits)) for o in operations]
    space, none = PauliVectors(len(qubits)), np.zeros(0, dtype=bool)
    plan = InstructionTable(fuse(moved, space), space).schedule(none, none)
    no_angles = np.empty(0), np.empty(0), 0
    return kernels.pulled_back(0, plan.instructions, plan.tables, no_angles, vectors, 0)[0]
