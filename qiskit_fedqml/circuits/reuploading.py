"""Data re-uploading: encoder and trainable layer alternate.

A. Pérez-Salinas, A. Cervera-Lierta, E. Gil-Fuster and J. I. Latorre, "Data re-uploading for a universal quantum
classifier", Quantum 4, 226 (2020), arXiv:1907.02085.
"""

from qiskit.circuit import ParameterVector, QuantumCircuit

from qiskit_fedqml.circuits.paper import Entanglement, append_cnots, append_rotations, check_layered, encoder
from qiskit_fedqml.circuits.spec import CircuitSpec, z_observables


def reuploading_circuit(
    num_qubits: int = 4, num_layers: int = 2, entanglement: Entanglement = "ring", num_outputs: int = 2
) -> CircuitSpec:
    """Build a circuit in which every layer encodes the same inputs again: ``num_layers`` times U(w)·S(x).

    A layer is the encoder of Chen and Yoo (RY(arctan x), RZ(arctan x²)), a general rotation RZ(α), RY(β), RZ(γ) of each
    qubit, and CNOTs that go from the last qubit to the first, so that every qubit can reach those that are measured. It
    deviates from the paper, where the encoder is a general rotation too, each qubit is given all inputs, the entangling
    gates are CZ, and the last layer has none.

    Only the last layer's RZ(γ) of each qubit cannot change the outputs (with the default arguments the weights 14, 17,
    20 and 23 of 24): the CNOTs make products of Z of the observables, with which it commutes.

    Args:
        num_qubits: Number of qubits and of inputs, at least 1.
        num_layers: Number of times that the inputs are encoded, at least 1.
        entanglement: ``"ring"`` has the CNOTs (n−1)→(n−2), …, 1→0, 0→(n−1); ``"linear"`` leaves the last out.
        num_outputs: Number of measured qubits, the first ones, and of outputs, from 1 to ``num_qubits``.

    Returns:
        The circuit's description, with ``num_qubits`` inputs (any real values), ``3 * num_qubits * num_layers`` weights
        in radians, ordered by layer, then qubit, then α, β, γ, and ``num_outputs`` outputs ⟨Z⟩ in [−1, 1].

    Raises:
        CircuitError: An argument is out of its range, or the circuit would have too many qubits or gates.
    """
    check_layered(num_qubits, num_layers, entanglement, num_outputs, num_encoders=num_layers)
    inputs = ParameterVector("x", num_qubits)
    weights = ParameterVector("w", 3 * num_qubits * num_layers)
    circuit = QuantumCircuit(num_qubits)
    per_layer = 3 * num_qubits
    for layer in range(num_layers):
        circuit.compose(encoder(inputs), inplace=True)
        append_rotations(circuit, weights[layer * per_layer : (layer + 1) * per_layer])
        append_cnots(circuit, range(num_qubits)[::-1], entanglement)
    return CircuitSpec(circuit, tuple(inputs), tuple(weights), z_observables(num_qubits, num_outputs))
