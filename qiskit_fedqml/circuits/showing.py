"""Circuits as a notebook shows them: drawn, where they can be taken in at a glance."""

from html import escape

from qiskit.circuit import QuantumCircuit

from qiskit_fedqml.errors import listed

_MOST_QUBITS, _MOST_GATES = 30, 500
"""Of a larger circuit only the size is shown."""


def sizes_in_words(num_qubits: int, num_inputs: int, num_weights: int, num_outputs: int) -> str:
    """Return the sizes of a circuit in one line."""
    counts = ((num_qubits, "qubit"), (num_inputs, "input"), (num_weights, "weight"), (num_outputs, "output"))
    return ", ".join(f"{count:,} {word}" if count == 1 else f"{count:,} {word}s" for count, word in counts)


def circuit_as_html(circuit: QuantumCircuit, caption: str) -> str:
    """Return a drawing of a circuit, or, of a large one, what it consists of.

    Args:
        circuit: The circuit.
        caption: What is written above it.
    """
    if circuit.num_qubits > _MOST_QUBITS or circuit.size() > _MOST_GATES:
        kinds = listed(f"{count} {name}" for name, count in circuit.count_ops().items())
        drawing = f"{circuit.size():,} gates, too many to draw: {kinds}"
    else:
        drawing = str(circuit.draw("text", fold=-1))
    look = "line-height: 1.1; white-space: pre; overflow-x: auto; background: none"
    return f'<div><b>{escape(caption)}</b></div><pre style="{look}">{escape(drawing)}</pre>'
