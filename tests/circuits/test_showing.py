from qiskit.circuit import ParameterVector, QuantumCircuit

from qiskit_fedqml import AerBackend, CircuitSpec, paper_circuit, quantum_layer
from qiskit_fedqml.circuits.showing import circuit_as_html


def test_circuit_is_drawn():
    spec = paper_circuit()
    assert repr(spec) == "<CircuitSpec: 4 qubits, 4 inputs, 24 weights, 2 outputs>"
    html = spec._repr_html_()
    assert "atan(x[0])" in html
    assert "w[23]" in html


def test_layer_and_network_are_one_line_and_drawn():
    layer = quantum_layer(paper_circuit(), AerBackend("mine", None))
    words = "4 qubits, 4 inputs, 24 weights, 2 outputs, on mine"
    assert repr(layer) == f"QuantumLayer({words})"
    assert repr(layer.neural_network) == f"<BroadcastEstimatorQNN: {words}>"
    assert "w[23]" in layer._repr_html_()
    assert str(layer.draw("text")) == str(paper_circuit().circuit.draw("text"))


def test_large_circuit_is_counted():
    weights = ParameterVector("w", 600)
    circuit = QuantumCircuit(1)
    for weight in weights:
        circuit.ry(weight, 0)
    html = circuit_as_html(circuit, repr(CircuitSpec(circuit, (), tuple(weights), ("Z",))))
    assert "600 gates, too many to draw: 600 ry" in html
    assert "&lt;CircuitSpec: 1 qubit, 0 inputs, 600 weights, 1 output&gt;" in html
