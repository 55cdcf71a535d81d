"""Observables as what is measured: Pauli sums, groups of terms that share executions, and the worth of each outcome."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit.exceptions import QiskitError
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import Operator, Pauli, PauliList, SparseObservable, SparsePauliOp

from qiskit_fedqml.circuits.sizes import MOST_TERMS, in_words
from qiskit_fedqml.errors import CircuitError

_SINGLE = (str, Mapping, Pauli, SparsePauliOp, SparseObservable, Operator)


def as_observables(observables: object) -> tuple[SparsePauliOp, ...]:
    """Read one observable, or several, as sums of Pauli strings.

    Args:
        observables: A label such as ``"ZI"`` (with projectors such as ``"0"`` or ``"+"`` as Qiskit's estimators have
            them), a mapping from labels to coefficients, a ``Pauli``, ``SparsePauliOp``, ``SparseObservable`` or
            ``Operator``; or a sequence, a ``PauliList`` or an ``ObservablesArray`` of these.

    Raises:
        CircuitError: There is something else, or an observable has more than ``MOST_TERMS`` terms.
    """
    if isinstance(observables, _SINGLE):
        return (_as_observable(observables, 0),)
    if isinstance(observables, ObservablesArray):
        observables = observables.ravel().sparse_observables_array()
    elif isinstance(observables, PauliList):
        observables = list(observables)
    if not isinstance(observables, Iterable):
        raise CircuitError(f"{_EXPECTED}, but got a {type(observables).__name__}.")
    return tuple(_as_observable(observable, index) for index, observable in enumerate(observables))


_EXPECTED = (
    "Argument `observables` must be an observable (a Pauli label, a mapping from labels to coefficients, a Pauli, "
    "SparsePauliOp, SparseObservable or Operator) or several"
)


def _as_observable(observable: object, index: int) -> SparsePauliOp:
    try:
        if isinstance(observable, Operator):
            return _paulis_of_operator(observable, index)
        if isinstance(observable, str):
            observable = SparseObservable.from_label(observable)
        elif isinstance(observable, Mapping):
            observable = ObservablesArray.coerce_observable(observable)
        if isinstance(observable, SparseObservable):
            _check_terms(_num_terms(observable), index)
            return SparsePauliOp.from_sparse_observable(observable)
        if isinstance(observable, Pauli | SparsePauliOp):
            return SparsePauliOp(observable)
    except CircuitError:
        raise
    except (QiskitError, TypeError, ValueError) as error:
        raise CircuitError(f"Observable {index} cannot be read: {str(error).strip(chr(39))[:200]}") from error
    raise CircuitError(f"{_EXPECTED}, but observable {index} is a {type(observable).__name__}.")


def _paulis_of_operator(operator: Operator, index: int) -> SparsePauliOp:
    num_qubits, (rows, columns) = operator.num_qubits, operator.data.shape
    if num_qubits is None or rows != columns:
        raise CircuitError(f"Observable {index} must act on qubits, but its matrix has shape ({rows}, {columns}).")
    _check_terms(4**num_qubits, index)
    largest = float(np.abs(operator.data).max())
    return SparsePauliOp.from_operator(operator, atol=1e-14 * largest, rtol=0.0)


def _num_terms(observable: SparseObservable) -> int:
    """Return the number of Pauli strings; each projector is a sum of two."""
    paulis = {SparseObservable.BitTerm[name] for name in "XYZ"}
    return sum(2 ** sum(term not in paulis for term in strings.bit_terms) for strings in observable)


def _check_terms(num_terms: int, index: int) -> None:
    if num_terms > MOST_TERMS:
        raise CircuitError(
            f"Observable {index} must have at most {MOST_TERMS:,} Pauli terms, but has up to {in_words(num_terms)}."
        )


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
        if observable.coeffs.dtype == object or not np.isfinite(observable.coeffs).all():
            raise CircuitError(f"Observable {index} must have real, finite coefficients, but has {_some(observable)}.")
        simple = SparsePauliOp(observable).simplify(atol=0.0, rtol=0.0)
        if not simple.coeffs.any():
            raise CircuitError(f"Observable {index} must not be zero, but its terms cancel.")
        if np.abs(simple.coeffs.imag).max() > 1e-12 * np.abs(simple.coeffs).max():
            raise CircuitError(
                f"Observable {index} must be Hermitian, so with real coefficients, but has {_some(simple)}."
            )
        checked.append(simple)
    return tuple(checked)


def _some(observable: SparsePauliOp) -> str:
    """Return the first coefficients for a message."""
    first = ", ".join(str(coefficient)[:80] for coefficient in observable.coeffs[:3])
    return f"{first}, …" if len(observable.coeffs) > 3 else first
