"""The paper's circuit: Fig. 3 of Chen and Yoo, "Federated Quantum Machine Learning", Entropy 23, 460 (2021).

The preprint is arXiv:2103.12010.
"""

from collections.abc import Sequence
from typing import Literal

from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit

from qiskit_fedqml.circuits.sizes import check_count, check_gates, check_qubits, in_words
from qiskit_fedqml.circuits.spec import CircuitSpec, z_observables
from qiskit_fedqml.errors import CircuitError

Entanglement = Literal["ring", "linear"]

_GATES_OF_ENCODER = 2
_GATES_OF_LAYER = 4
"""Gates on each qubit: three rotations, and the CNOT that it controls."""


def encoder(inputs: ParameterVector) -> QuantumCircuit:
    """Build the paper's variational encoding (Sec. 4.3, Fig. 3): RY(arctan x) then RZ(arctan x²) on each qubit.

    Args:
        inputs: One parameter for each qubit, any real value (arctan makes it an angle).

    Returns:
        A circuit on ``len(inputs)`` qubits.
    """
    circuit = QuantumCircuit(len(inputs))
    for qubit, x in enumerate(inputs):
        circuit.ry(x.arctan(), qubit)
        circuit.rz((x * x).arctan(), qubit)
    return circuit


def append_cnots(circuit: QuantumCircuit, qubits: Sequence[int], entanglement: Entanglement = "ring") -> None:
    """Append the paper's CNOTs from each qubit to the next, and from the last to the first unless ``"linear"``."""
    following = [*qubits[1:], qubits[0]] if entanglement == "ring" else qubits[1:]
    for control, target in zip(qubits, following, strict=False):
        if control != target:
            circuit.cx(control, target)


def append_rotations(circuit: QuantumCircuit, weights: Sequence[Parameter]) -> None:
    """Append R(α, β, γ) = RZ(α), RY(β), RZ(γ) on each qubit, with weights ordered by qubit, then α, β, γ.

    The three rotations are separate gates, in this order in time, so that each has a two-term shift rule.
    """
    for qubit in range(circuit.num_qubits):
        alpha, beta, gamma = weights[3 * qubit : 3 * qubit + 3]
        circuit.rz(alpha, qubit)
        circuit.ry(beta, qubit)
        circuit.rz(gamma, qubit)


def variational_layers(
    weights: ParameterVector, num_qubits: int, num_layers: int, entanglement: Entanglement = "ring"
) -> QuantumCircuit:
    """Build the paper's trainable layers (Fig. 3): CNOTs, then R(α, β, γ) = RZ(α), RY(β), RZ(γ) on each qubit.

    Args:
        weights: ``3 * num_qubits * num_layers`` angles in radians, ordered by layer, then qubit, then α, β, γ.
        num_qubits: Number of qubits.
        num_layers: Number of layers; the paper has 2.
        entanglement: ``"ring"`` has the CNOTs 0→1, 1→2, …, (n−1)→0 as in Fig. 3; ``"linear"`` leaves the last out.

    Returns:
        A circuit on ``num_qubits`` qubits.
    """
    circuit = QuantumCircuit(num_qubits)
    for layer in range(num_layers):
        append_cnots(circuit, range(num_qubits), entanglement)
        append_rotations(circuit, weights[3 * num_qubits * layer : 3 * num_qubits * (layer + 1)])
    return circuit


def check_layered(
    num_qubits: int, num_layers: int, entanglement: str, num_outputs: int, *, num_encoders: int = 1
) -> None:
    """Refuse arguments that make no circuit of layers, or one that is too large.

    Args:
        num_qubits: Number of qubits.
        num_layers: Number of variational layers.
        entanglement: Which CNOTs a layer has.
        num_outputs: Number of measured qubits.
        num_encoders: How often the inputs are encoded.

    Raises:
        CircuitError: An argument is out of its range, or the circuit would have too many qubits or gates.
    """
    for name, value in (("num_qubits", num_qubits), ("num_layers", num_layers), ("num_outputs", num_outputs)):
        check_count(name, value)
    check_qubits(num_qubits)
    check_gates(_GATES_OF_ENCODER * num_qubits * num_encoders + _GATES_OF_LAYER * num_qubits * num_layers)
    if num_outputs > num_qubits:
        raise CircuitError(
            f"Argument `num_outputs` must be from 1 to the number of qubits ({num_qubits}), but got "
            f"{in_words(num_outputs)}."
        )
    if entanglement not in ("ring", "linear"):
        raise CircuitError(f"Argument `entanglement` must be 'ring' or 'linear', but got {entanglement!r}.")


def paper_circuit(
    num_qubits: int = 4, num_layers: int = 2, entanglement: Entanglement = "ring", num_outputs: int = 2
) -> CircuitSpec:
    """Build the paper's circuit (Fig. 3): encoder, variational layers, and Z of the first qubits.

    Of the 24 weights of the default circuit 9 cannot change the two outputs (indices in parentheses, in the order of
    layer, qubit, α β γ): the last layer's rotations of qubits 2 and 3, which are not measured (18 to 23), the last
    RZ(γ) of qubits 0 and 1, which commutes with Z (14, 17), and RZ(γ) of qubit 3 in the first layer (11), which
    commutes with all that the second layer makes of the observables on that qubit. They are kept, as in the paper.

    Args:
        num_qubits: Number of qubits and of inputs, at least 1.
        num_layers: Number of variational layers, at least 1.
        entanglement: ``"ring"`` (the paper's) or ``"linear"``.
        num_outputs: Number of measured qubits and of outputs, from 1 to ``num_qubits``.

    Returns:
        The circuit's description, with ``num_qubits`` inputs, ``3 * num_qubits * num_layers`` weights in radians, and
        ``num_outputs`` outputs in [−1, 1].

    Raises:
        CircuitError: An argument is out of its range, or the circuit would have too many qubits or gates.
    """
    check_layered(num_qubits, num_layers, entanglement, num_outputs)
    inputs = ParameterVector("x", num_qubits)
    weights = ParameterVector("w", 3 * num_qubits * num_layers)
    circuit = encoder(inputs).compose(variational_layers(weights, num_qubits, num_layers, entanglement))
    return CircuitSpec(circuit, tuple(inputs), tuple(weights), z_observables(num_qubits, num_outputs))
