"""A circuit that takes the pixels of a digit as they are, without a layer before it."""

from qiskit.circuit import ParameterVector, QuantumCircuit

from qiskit_fedqml import CircuitSpec


def pixel_circuit(pixels: int = 64, qubits: int = 4) -> CircuitSpec:
    """Return a circuit in which each pixel turns a qubit about Y, and each is followed by a trained turn about X.

    Args:
        pixels: How many there are; the circuit has as many weights.
        qubits: How many qubits they are loaded onto, one after the other; each qubit's Z is a class.
    """
    x, w = ParameterVector("x", pixels), ParameterVector("w", pixels)
    circuit = QuantumCircuit(qubits)
    for k in range(pixels):
        circuit.ry(x[k], k % qubits)
        circuit.rx(w[k], k % qubits)
        circuit.cz(k % qubits, (k + 1) % qubits)
    observables = tuple("I" * (qubits - 1 - q) + "Z" + "I" * q for q in range(qubits))
    return CircuitSpec(circuit, tuple(x), tuple(w), observables)
