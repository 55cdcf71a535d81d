"""Zero-noise extrapolation: circuits whose two-qubit gates err more, and what follows from them without noise.

Unitary folding of gates by T. Giurgica-Tiron et al., "Digital zero noise extrapolation for quantum error mitigation",
arXiv:2005.10921, of gates on several qubits alone, since the others err far less.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import CircuitInstruction, Gate, QuantumCircuit
from qiskit.exceptions import QiskitError

from qiskit_fedqml.errors import BackendError

_MOST_GROWTH = 2.0
"""Largest extrapolated exponential, in largest given values: beyond that the signal is lost, and a line is safer."""
_LEAST = 1e-4
"""Least size of a value, in largest given values, that counts in an exponential: less is as good as nothing."""


def folded(circuit: QuantumCircuit, factor: int) -> QuantumCircuit:
    """Return a circuit in which each gate G on several qubits is G (G† G)^((factor − 1)/2).

    Args:
        circuit: A circuit in the machine's gates.
        factor: An odd number from 1.

    Raises:
        BackendError: There is no such gate, or the inverse of one is a gate of another name, whose errors may differ.
    """
    larger, found = circuit.copy_empty_like(), False
    for instruction in circuit.data:
        larger.append(instruction)
        if isinstance(instruction.operation, Gate) and len(instruction.qubits) > 1:
            found = True
            inverse = _inverse(instruction)
            for _ in range(factor // 2):
                larger.append(inverse)
                larger.append(instruction)
    if not found:
        raise BackendError("The circuit has no gates on several qubits to fold, so that `zne` has no effect.")
    return larger


def _inverse(instruction: CircuitInstruction) -> CircuitInstruction:
    name = instruction.operation.name
    try:
        inverse = instruction.operation.inverse()
    except QiskitError as error:
        raise BackendError(f"Gate {name!r} cannot be folded, for it has no inverse.") from error
    if inverse.name != name:
        raise BackendError(f"Gate {name!r} cannot be folded, for its inverse is another gate, {inverse.name!r}.")
    return instruction.replace(operation=inverse)


def extrapolated(
    values: NDArray[np.float64],
    factors: Sequence[int],
    extrapolator: Literal["linear", "exponential"],
    constants: NDArray[np.float64] | float = 0.0,
) -> NDArray[np.float64]:
    """Extrapolate values at several noise factors to factor 0.

    Args:
        values: Shape (factors, …).
        factors: At least two different ones.
        extrapolator: ``"linear"`` is the least-squares line. ``"exponential"`` is a·exp(−b·factor) + constant by least
            squares of the logarithms, weighted with the squared values, to which their variances are inversely
            proportional; a value whose data change sign, grow with the noise, or vanish in it gets the line.
        constants: What is left of the values in endless noise, of a shape that broadcasts with one factor's values.

    Returns:
        Shape (…).
    """
    x, y = np.asarray(factors, dtype=float), values - constants
    zero = np.tensordot(_weights_of_line(x), y, axes=1)
    if extrapolator == "exponential":
        zero = _exponential(x, y, zero)
    return np.asarray(zero + constants)


def _weights_of_line(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of the values at x in the intercept of their least-squares line."""
    return np.asarray(np.linalg.pinv(np.stack([np.ones_like(x), x], axis=1))[0])


def _exponential(x: NDArray[np.float64], y: NDArray[np.float64], otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the exponential's value at 0, or another one where the data are no decay of which enough is left."""
    largest = np.maximum(np.abs(y).max(axis=0), np.finfo(float).tiny)
    sizes = np.clip(np.abs(y) / largest, _LEAST, None)
    at, logs, weights = x.reshape(-1, *(1,) * (y.ndim - 1)), np.log(sizes), sizes**2
    total, first, second = weights.sum(axis=0), (weights * at).sum(axis=0), (weights * at**2).sum(axis=0)
    of_logs = (weights * logs).sum(axis=0)
    slope = (total * (weights * at * logs).sum(axis=0) - first * of_logs) / (total * second - first**2)
    height = (of_logs - slope * first) / total
    has_one_sign = (y > 0).all(axis=0) | (y < 0).all(axis=0)
    decays = has_one_sign & (slope <= 0) & (height <= np.log(_MOST_GROWTH))
    return np.where(decays, np.sign(y[0]) * largest * np.exp(np.minimum(height, 1.0)), otherwise)
