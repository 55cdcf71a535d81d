"""The part of a circuit that reaches what is measured, and where its parameters are shifted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.circuits.arrays import Array
from qiskit_fedqml.circuits.expressions import Expressions
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.lowering import Lowered, UnsupportedError
from qiskit_fedqml.simulation.operations import Channel, Operation, Rotation, within_light_cone

MOST_STATE_QUBITS = 20
"""Qubits up to which state vectors are swept."""
MOST_PAULI_QUBITS = 10
"""Qubits up to which Pauli vectors are swept."""
MOST_NUMBERS = 1 << 27
"""Numbers in memory at once, 1 GB, for the states of all samples; observables shared by them may take half of it."""


@dataclass(frozen=True)
class ActiveCircuit:
    """The instructions that reach a measured qubit, on the qubits that they use.

    Args:
        operations: Rotations, unitaries and channels on qubits 0, 1, ….
        qubits: The circuit's qubits that these are.
        angles: The rotations' angles as functions of the parameters.
        num_angles: Their number.
    """

    operations: list[Operation]
    qubits: tuple[int, ...]
    angles: Expressions
    num_angles: int

    @classmethod
    def of(
        cls, lowered: Lowered, parameters: Sequence[Parameter], measured: set[int], closing: Sequence[Operation] = ()
    ) -> "ActiveCircuit":
        """Take from a lowered circuit, followed by fixed instructions, what reaches the measured qubits.

        Raises:
            BackendError: An angle depends on something that is not among the parameters.
            CircuitError: An angle is complex.
        """
        unknown = {p.name for angle in lowered.angles for p in angle.parameters} - {p.name for p in parameters}
        if unknown:
            raise BackendError(f"The circuit has parameters to which no values are given: {sorted(unknown)}.")
        operations = within_light_cone([*lowered.operations, *closing], measured)
        qubits = tuple(sorted(measured.union(*(o.qubits for o in operations)))) or (0,)
        small = {q: k for k, q in enumerate(qubits)}
        moved = [replace(o, qubits=tuple(small[q] for q in o.qubits)) for o in operations]
        return cls(moved, qubits, Expressions.of(lowered.angles, parameters), len(lowered.angles))

    def angles_at(self, points: Array) -> Array:
        """Return the rotations' angles in radians, shape (points, angles), at finite points (points, parameters).

        Raises:
            BackendError: An angle is NaN or infinite at one of the points.
        """
        angles = self.angles.values(points)
        if not self.angles.stays_finite and not np.isfinite(angles).all():
            raise BackendError("Angles must be finite, but some are NaN or infinite at these parameter values.")
        return angles

    @property
    def pure(self) -> bool:
        """Whether pure states stay pure, so that state vectors suffice."""
        return not any(isinstance(o, Channel) for o in self.operations)

    def observables_at_once(self, base: int) -> int:
        """Return how many observables to sweep together: more than these would take too much memory.

        Args:
            base: 2 for state vectors, 4 for Pauli vectors.
        """
        return max(1, MOST_NUMBERS // (8 * base ** len(self.qubits)))

    def require_states(self) -> None:
        """Raise UnsupportedError if more qubits are in use than state vectors are swept for."""
        if len(self.qubits) > MOST_STATE_QUBITS:
            raise UnsupportedError(
                f"{len(self.qubits)} qubits are in use, and state vectors are swept up to {MOST_STATE_QUBITS}"
            )

    def require_paulis(self, num_rotations: int) -> None:
        """Raise UnsupportedError if Pauli vectors are too large, or too many rotations are shifted to keep one each."""
        num_qubits = len(self.qubits)
        if num_qubits > MOST_PAULI_QUBITS:
            raise UnsupportedError(
                f"{num_qubits} qubits are in use, and Pauli vectors are swept up to {MOST_PAULI_QUBITS}"
            )
        if num_rotations * 4**num_qubits > MOST_NUMBERS:
            raise UnsupportedError(
                f"{num_rotations} gates on {num_qubits} qubits are shifted, and Pauli vectors are kept for "
                f"{MOST_NUMBERS // 4**num_qubits}"
            )


@dataclass(frozen=True)
class Shifts:
    """Which rotation each shifted parameter is the angle of.

    Args:
        params: Indices of the shifted parameters.
        rotations: Indices of their rotations.
        signs: 1 or −1: how the rotation's angle grows with the parameter; 0 if it is in no rotation.
        wanted: Of each rotation, whether it is shifted.
    """

    params: NDArray[np.intp]
    rotations: NDArray[np.intp]
    signs: Array
    wanted: NDArray[np.bool_]

    @cached_property
    def _are_parameters(self) -> bool:
        """Whether each shifted parameter is the angle of the rotation with its index, as it is."""
        return bool((self.params == self.rotations).all() and (self.signs == 1.0).all())

    def by_parameter(self, odd: Array, num_params: int) -> Array:
        """Return derivatives by all parameters, (parameters, …), from those by the rotations' angles, (angles, …)."""
        if self._are_parameters and len(odd) == num_params:
            return odd  # zero where none was wanted
        result = np.zeros((num_params, *odd.shape[1:]))
        result[self.params] = odd[self.rotations] * self.signs[:, None, None]
        return result

    @classmethod
    def of(cls, active: ActiveCircuit, shifted: Sequence[int]) -> "Shifts":
        """Find the rotations; a shifted parameter must enter one rotation, as it is or with its sign changed.

        Raises:
            UnsupportedError: A parameter enters otherwise, so that its shift is not the shift of one rotation.
        """
        terms, position = active.angles, {j: s for s, j in enumerate(shifted)}
        in_use = {o.angle for o in active.operations if isinstance(o, Rotation)}
        rotations, signs = np.zeros(len(shifted), dtype=np.intp), np.zeros(len(shifted))
        wanted = np.zeros(active.num_angles, dtype=bool)
        for param, rotation, factor in zip(terms.term_params, terms.term_expressions, terms.constants, strict=True):
            if int(param) not in position or int(rotation) not in in_use:
                continue
            s = position[int(param)]
            if signs[s] or abs(abs(factor) - 1) > 1e-12:
                raise UnsupportedError("an angle is in two gates, or multiplied, so that its shift is not one gate's")
            rotations[s], signs[s], wanted[rotation] = rotation, np.sign(factor), True
        return cls(np.array(shifted, dtype=np.intp), rotations, signs, wanted)


def on_qubits(observable: SparsePauliOp, qubits: tuple[int, ...]) -> SparsePauliOp:
    """Write an observable on some qubits, among which are all that it acts on."""
    kept = list(qubits)
    return SparsePauliOp.from_sparse_list(
        [
            ("".join(letters), [kept.index(q) for q in positions], coefficient)
            for letters, positions, coefficient in observable.to_sparse_list()
        ],
        num_qubits=len(kept),
    )
