"""Observables as what is measured: groups of terms that share executions, and the worth of each outcome."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import PauliList, SparsePauliOp

from qiskit_fedqml.errors import CircuitError


def commuting_groups(observables: Sequence[SparsePauliOp]) -> list[PauliList]:
    """Group the distinct Pauli terms of all observables so that each group is measured in one basis.

    The terms are sorted first, so that the groups do not depend on their order.
    """
    terms = PauliList.from_symplectic(
        np.concatenate([o.paulis.z for o in observables]), np.concatenate([o.paulis.x for o in observables])
    )
    return list(terms.unique().sort().group_commuting(qubit_wise=True))


def weight_of_outcomes(
    operator: SparsePauliOp, group: PauliList, qubits: NDArray[np.intp]
) -> NDArray[np.float64] | None:
    """Return what an operator's terms in this group are worth for each outcome, shape (2**qubits,); None without."""
    outcomes = np.arange(1 << len(qubits))
    in_group = {(z.tobytes(), x.tobytes()) for z, x in zip(group.z, group.x, strict=True)}
    weight = np.zeros(len(outcomes))
    found = False
    for pauli_z, pauli_x, coefficient in zip(operator.paulis.z, operator.paulis.x, operator.coeffs, strict=True):
        if (pauli_z.tobytes(), pauli_x.tobytes()) in in_group:
            found = True
            support = (pauli_z | pauli_x)[qubits]
            mask = int(sum(1 << k for k in np.flatnonzero(support)))
            weight += coefficient.real * (1 - 2 * (np.bitwise_count(outcomes & mask) % 2).astype(float))
    return weight if found else None


def checked_observables(observables: Sequence[SparsePauliOp], num_qubits: int) -> tuple[SparsePauliOp, ...]:
    """Return observables with equal terms added up, so that nothing is measured for a term that cancels.

    Raises:
        CircuitError: There is none, or one acts on another number of qubits, is not real, or is zero.
    """
    if not observables:
        raise CircuitError("There must be at least one observable, but there is none.")
    checked = []
    for index, observable in enumerate(observables):
        if observable.num_qubits != num_qubits:
            raise CircuitError(
                f"Observable {index} must act on the circuit's {num_qubits} qubits, but acts on "
                f"{observable.num_qubits}."
            )
        if not np.isfinite(observable.coeffs).all() or np.abs(observable.coeffs.imag).max(initial=0.0) > 1e-12:
            raise CircuitError(f"Observable {index} must have real, finite coefficients, but has {observable.coeffs}.")
        simple = SparsePauliOp(observable).simplify(atol=0.0, rtol=0.0)
        if not simple.coeffs.any():
            raise CircuitError(f"Observable {index} must not be zero, but its terms cancel.")
        checked.append(simple)
    return tuple(checked)
