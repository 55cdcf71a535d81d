"""Circuits that halve their qubits until as many are left as are measured: what QCNN and tree share."""

from collections.abc import Sequence

from qiskit.circuit import Parameter, QuantumCircuit

from qiskit_fedqml.circuits.sizes import check_count, check_qubits, in_words
from qiskit_fedqml.errors import CircuitError

WEIGHTS_OF_BLOCK = 4
WEIGHTS_OF_READOUT = 2


def kept_qubits(num_qubits: int, num_outputs: int) -> list[list[int]]:
    """Return the qubits before each halving and those left after the last: the first of each neighbouring pair.

    Halving ends where once more would leave fewer qubits than outputs.

    Args:
        num_qubits: Number of qubits, a power of two and at least twice ``num_outputs``.
        num_outputs: Number of outputs, at least 1.

    Raises:
        CircuitError: An argument is out of its range, or there are too many qubits.
    """
    for name, value in (("num_outputs", num_outputs), ("num_qubits", num_qubits)):
        check_count(name, value)
    check_qubits(num_qubits)
    if num_qubits < 2 * num_outputs or num_qubits.bit_count() != 1:
        raise CircuitError(
            f"Argument `num_qubits` must be a power of two and at least twice the number of outputs "
            f"({in_words(num_outputs)}), so that the qubits can be halved, but got {num_qubits}."
        )
    levels = [list(range(num_qubits))]
    while len(levels[-1]) >= 2 * num_outputs:
        levels.append(levels[-1][::2])
    return levels


def append_block(circuit: QuantumCircuit, weights: Sequence[Parameter], control: int, target: int) -> None:
    """Append the two-qubit block: RZ, RY on the control, RZ, RY on the target, CNOT.

    Args:
        circuit: Where to.
        weights: Four angles in radians: the control's RZ and RY, then the target's.
        control: The CNOT's control.
        target: The CNOT's target.
    """
    for qubit, (rz, ry) in ((control, weights[:2]), (target, weights[2:])):
        circuit.rz(rz, qubit)
        circuit.ry(ry, qubit)
    circuit.cx(control, target)


def append_readout(circuit: QuantumCircuit, weights: Sequence[Parameter], qubits: Sequence[int]) -> None:
    """Append RZ, RY on each qubit: the direction in which it is measured, which a third rotation would not change.

    Args:
        circuit: Where to.
        weights: Two angles in radians for each qubit.
        qubits: The qubits.
    """
    for index, qubit in enumerate(qubits):
        circuit.rz(weights[2 * index], qubit)
        circuit.ry(weights[2 * index + 1], qubit)
