"""A circuit compiled for one backend, and what a backend gives for it."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.backends.job import JobReceipt
from qiskit_fedqml.circuits.arrays import all_finite
from qiskit_fedqml.errors import BackendError


@dataclass(frozen=True, eq=False)
class Program:
    """A circuit of gate angles, transpiled once for one backend, with what is measured on it.

    Args:
        circuit: The transpiled circuit.
        observables: One observable for each output, on the circuit's qubits.
        angles: The circuit's angles, in the order of the columns of angle values.
        shifted: Indices of the angles that can reach a measured qubit; only these are shifted.
        num_groups: Number of groups of qubit-wise commuting terms that measure something; each needs its own
            executions.
        copies: The same program on each block of a device that is cut into blocks, this one first; else empty.
        driven_by_inputs: Indices of the angles that depend on inputs, where that is known.
        has_most_copies: Whether it is proven that the device holds no more copies that are good enough.
    """

    circuit: QuantumCircuit
    observables: tuple[SparsePauliOp, ...]
    angles: tuple[Parameter, ...]
    shifted: tuple[int, ...]
    num_groups: int
    copies: "tuple[Program, ...]" = ()
    driven_by_inputs: frozenset[int] = frozenset()
    has_most_copies: bool = False

    @property
    def measured(self) -> tuple[int, ...]:
        """The qubits that the observables act on."""
        support = np.any([(o.paulis.x | o.paulis.z).any(axis=0) for o in self.observables], axis=0)
        return tuple(int(q) for q in np.flatnonzero(support))

    @property
    def qubits(self) -> tuple[int, ...]:
        """The qubits that the circuit uses or measures."""
        used = {self.circuit.find_bit(q).index for i in self.circuit.data for q in i.qubits}
        return tuple(sorted(used.union(self.measured)))

    def shifting(self, angles: Collection[int]) -> "Program":
        """Return the program, and its copies, with only these of its angles shifted."""
        shifted = tuple(j for j in self.shifted if j in angles)
        return replace(self, shifted=shifted, copies=tuple(replace(copy, shifted=shifted) for copy in self.copies))

    def check_angles(self, angles: NDArray[np.float64]) -> None:
        """Raise BackendError unless these are finite angles of shape (batch, angles), with at least one sample."""
        if not isinstance(angles, np.ndarray) or angles.dtype.kind not in "fiu":
            kind = angles.dtype if isinstance(angles, np.ndarray) else type(angles).__name__
            raise BackendError(f"Argument `angles` must be an array of real numbers, but is of {kind}.")
        if angles.ndim != 2 or angles.shape[1] != len(self.angles) or not len(angles):
            raise BackendError(
                f"Argument `angles` must have shape (batch, {len(self.angles)}), but has {angles.shape}."
            )
        if not all_finite(angles):
            raise BackendError("Argument `angles` must be finite, but some angles are NaN or infinite.")

    def evaluation(
        self,
        values: NDArray[np.float64],
        jacobian: NDArray[np.float64] | None,
        *,
        shots: int | None,
        simulator: str,
    ) -> "Evaluation":
        """Return values and derivatives with the number of circuits and executions that they stand for."""
        points = 1 + 2 * len(self.shifted) if jacobian is not None else 1
        circuits = len(values) * points * self.num_groups
        return Evaluation(values, jacobian, circuits, circuits * (shots or 1), simulator)


@dataclass(frozen=True)
class Asked:
    """What a client, or the server, asks of a program that several evaluate in one job.

    Args:
        angles: Angles in radians, shape (batch, angles).
        seed: Seed of random directions or shifts; None takes one from the system.
        client: The client, from 0; None is the server.
    """

    angles: NDArray[np.float64]
    seed: int | None
    client: int | None


@dataclass(frozen=True)
class Evaluation:
    """What a backend gives for a program at a batch of angles.

    Args:
        values: Expectation values, shape (batch, observables).
        jacobian: Derivatives with respect to the angles, shape (batch, observables, angles), or None if not asked for.
        circuits: Number of circuits with bound angles, once for each group of commuting observables.
        executions: The sum of these circuits' shots; a circuit evaluated exactly counts once.
        simulator: What computed the numbers (``"sweep"``, ``"aer"``, …).
        jobs: The jobs that a device ran for it; empty where there is no device.
    """

    values: NDArray[np.float64]
    jacobian: NDArray[np.float64] | None
    circuits: int
    executions: int
    simulator: str
    jobs: tuple[JobReceipt, ...] = ()
