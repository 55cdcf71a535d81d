"""Where a circuit hides a parameter: the right value, or one error when the spec is made."""

import numpy as np
import pytest
import torch
from qiskit.circuit import (
    AnnotatedOperation,
    Annotation,
    ControlModifier,
    Gate,
    InverseModifier,
    Parameter,
    ParameterVector,
    PowerModifier,
    QuantumCircuit,
)
from qiskit.circuit.classical import expr, types
from qiskit.circuit.library import GlobalPhaseGate, RXGate, RYGate
from qiskit.quantum_info import random_clifford

from qiskit_fedqml import AerBackend, CircuitSpec, quantum_layer
from qiskit_fedqml.circuits.unrolling import unrolled
from qiskit_fedqml.errors import CircuitError

X, W = Parameter("x"), Parameter("w")
A, B = 0.7, 0.4


def rotated(num_qubits=1):
    circuit = QuantumCircuit(num_qubits)
    circuit.rx(X, 0)
    return circuit


def evaluated(circuit, observable=None):
    """Return value and derivatives by x and w at (A, B)."""
    spec = CircuitSpec(circuit, (X,), (W,), observable or "I" * (circuit.num_qubits - 1) + "Z")
    layer = quantum_layer(spec, AerBackend("ideal"), initial_weights=np.array([B]))
    inputs = torch.tensor([[A]], requires_grad=True)
    output = layer(inputs)
    output.sum().backward()
    return pytest.approx([output.item(), inputs.grad.item(), layer.weight.grad.item()], abs=1e-6)


def product(turns):
    """Return ⟨Z⟩ = cos(x)·cos(turns·w) and its derivatives."""
    return [
        np.cos(A) * np.cos(turns * B),
        -np.sin(A) * np.cos(turns * B),
        -turns * np.cos(A) * np.sin(turns * B),
    ]


def test_loops_over_fixed_values():
    circuit = rotated()
    with circuit.for_loop(range(3)):
        circuit.ry(W, 0)
    assert product(3) == evaluated(circuit)
    circuit = rotated()
    with circuit.for_loop((1, 4)) as i, circuit.for_loop(range(2)):
        circuit.ry(i * W, 0)
    assert product(10) == evaluated(circuit)
    circuit = rotated()
    circuit.ry(W, 0)
    with circuit.for_loop(range(0)):
        circuit.x(0)
    assert product(1) == evaluated(circuit)


def test_boxes():
    circuit = rotated()
    with circuit.box(), circuit.box():
        circuit.ry(W, 0)
    assert product(1) == evaluated(circuit)


def test_operations_with_modifiers():
    circuit = rotated()
    circuit.append(AnnotatedOperation(RYGate(W), [InverseModifier(), PowerModifier(2)]), [0])
    assert product(-2) == evaluated(circuit)
    # Controlled by a qubit in 0, then in |+⟩: half of the time it turns.
    circuit = rotated(2)
    circuit.append(AnnotatedOperation(RYGate(W), ControlModifier(1)), [1, 0])
    circuit.h(1)
    inner = QuantumCircuit(2)
    inner.append(AnnotatedOperation(RYGate(W), ControlModifier(1)), [0, 1])
    circuit.append(inner.to_gate(), [1, 0])
    half = (1 + np.cos(B)) / 2
    assert [np.cos(A) * half, -np.sin(A) * half, -np.cos(A) * np.sin(B) / 2] == evaluated(circuit)


def test_composite_gates_and_operations_without_parameters():
    circuit = rotated(2)
    inner = QuantumCircuit(1)
    inner.ry(W, 0)
    circuit.append(inner.to_gate(), [0])
    circuit.append(AnnotatedOperation(RXGate(0.0), ControlModifier(1)), [0, 1])
    clifford = random_clifford(1, seed=3)
    circuit.append(clifford, [0])
    circuit.append(clifford.adjoint(), [0])
    assert product(1) == evaluated(circuit)


def test_reset_and_initialisation_between_gates():
    circuit = rotated()
    circuit.reset(0)
    circuit.ry(W, 0)
    assert [np.cos(B), 0, -np.sin(B)] == evaluated(circuit)
    circuit = rotated()
    circuit.initialize([np.sqrt(0.2), np.sqrt(0.8)], 0)
    circuit.rz(W, 0)
    assert [0.8 * np.cos(B), 0, -0.8 * np.sin(B)] == evaluated(circuit, "X")


def test_global_phase_changes_nothing_unless_it_is_controlled():
    circuit = rotated()
    circuit.global_phase = W
    circuit.append(GlobalPhaseGate(W), [])
    assert [np.cos(A), -np.sin(A), 0] == evaluated(circuit)
    inner = QuantumCircuit(1, global_phase=W)
    circuit = rotated(2)
    circuit.h(1)
    circuit.append(inner.to_gate().control(1), [1, 0])
    assert [np.cos(B), 0, -np.sin(B)] == evaluated(circuit, "XI")


class Broken(Gate):
    def __init__(self, parameter):
        super().__init__("broken", 1, [parameter])

    def _define(self):
        raise ValueError("no definition today")


class Twirled(Annotation):
    namespace = "twirled"


def dynamic(kind):
    circuit = rotated()
    if kind == "switch":
        with circuit.switch(circuit.add_input("v", types.Uint(8))) as case, case(1):
            circuit.ry(W, 0)
    elif kind == "if":
        with circuit.if_test(circuit.add_var("v", expr.lift(True))):
            circuit.ry(W, 0)
    elif kind == "while":
        with circuit.while_loop(expr.lift(True)):
            circuit.ry(W, 0)
    elif kind == "break":
        with circuit.for_loop(range(3)):
            circuit.ry(W, 0)
            circuit.break_loop()
    elif kind == "annotated box":
        with circuit.box([Twirled()]):
            circuit.ry(W, 0)
    elif kind == "stretch":
        circuit.ry(W, 0)
        circuit.delay(circuit.add_stretch("s"), 0)
    elif kind == "measured":
        circuit.ry(W, 0)
        circuit.measure_all()
    return circuit


def gates(*appended):
    circuit = rotated()
    for gate in appended:
        circuit.append(gate, [0])
    return circuit


def angle(expression):
    circuit = rotated()
    circuit.ry(expression, 0)
    return circuit


def delayed():
    circuit = rotated()
    circuit.delay(W, 0)
    return circuit


def nested(depth):
    expression = W
    for _ in range(depth):
        expression = (expression * W).sin()
    return expression


@pytest.mark.parametrize(
    ("circuit", "message"),
    [
        (lambda: dynamic("switch"), "must not measure, nor have classical bits or variables"),
        (lambda: dynamic("if"), "must not measure, nor have classical bits or variables"),
        (lambda: dynamic("stretch"), "must not measure, nor have classical bits or variables"),
        (lambda: dynamic("measured"), "must not measure, nor have classical bits or variables"),
        (lambda: dynamic("while"), "must not have a 'while_loop'"),
        (lambda: dynamic("break"), "must not have a 'break_loop'"),
        (lambda: dynamic("annotated box"), "must not have a 'box with annotations'"),
        (lambda: gates(Gate("opaque", 1, [W])), r"parameterised gate of \['opaque'\] cannot be decomposed"),
        (lambda: gates(Broken(W)), r"\['broken'\] cannot be decomposed .*: ValueError: no definition today"),
        (lambda: gates(AnnotatedOperation(RYGate(W), PowerModifier(0.5))), "'ry' with modifiers has no circuit"),
        (delayed, "'delay' has a parameter, but no two-term shift rule"),
        (lambda: angle(1j * W), "angles of gates must be real, but '.*w' is complex"),
        (lambda: angle(1 + (2 + 1j) * W), "angles of gates must be real"),
        (lambda: angle(nested(300)), "too deeply nested"),
        (lambda: gates(RYGate(W), RYGate(np.nan)), "must be finite, but gate 'ry' has another one"),
        (lambda: "OPENQASM 3.0;", "`circuit` must be a QuantumCircuit, but got a str"),
    ],
)
def test_what_has_no_derivative_is_refused_when_the_spec_is_made(circuit, message):
    with pytest.raises(CircuitError, match=message):
        CircuitSpec(circuit(), (X,), (W,), "Z")


def test_angles_that_are_real_after_all():
    assert product(-1) == evaluated(angle((1j * W) * 1j))
    assert product(1) == evaluated(angle((1 + 0j) * W))
    assert product(2) == evaluated(angle((W * (1 + 1j)) * (1 - 1j)))


def test_a_sign_has_the_derivative_zero():
    assert [np.cos(A) * np.cos(1), -np.sin(A) * np.cos(1), 0] == evaluated(angle(W.sign()))
    assert product(1) == evaluated(angle(W.abs()))
    shifted = [np.cos(A) * np.cos(1 + B), -np.sin(A) * np.cos(1 + B), -np.cos(A) * np.sin(1 + B)]
    assert shifted == evaluated(angle(W.sign() + W))


@pytest.mark.parametrize(
    "name", ["", "x y", "lambda", "I", "p0", "p1", "inputs[0]", "$a", "a*b", "é🦋", "\n", "'", "\\", "__import__('os')"]
)
def test_names_of_parameters_are_only_names(name):
    x, other = Parameter(name), Parameter("p1" if name != "p1" else "p0")
    circuit = QuantumCircuit(1)
    circuit.rx((x * x).arctan() + other * x, 0)
    layer = quantum_layer(CircuitSpec(circuit, x, other, "Z"), AerBackend("ideal"), initial_weights=[B])
    assert layer(torch.tensor([[A]])).item() == pytest.approx(np.cos(np.arctan(A**2) + A * B), abs=1e-6)


def test_names_that_the_stock_network_gives_to_others():
    inputs, weights = ParameterVector("weights", 2), ParameterVector("inputs", 2)
    circuit = QuantumCircuit(1)
    for w, x in zip(weights, inputs):
        circuit.rx(2 * x, 0)
        circuit.rx(w, 0)
    layer = quantum_layer(CircuitSpec(circuit, inputs, weights, "Z"), AerBackend("ideal"), initial_weights=[0.1, B])
    assert layer(torch.tensor([[A, 0.2]])).item() == pytest.approx(np.cos(2 * A + 0.4 + 0.1 + B), abs=1e-6)


def test_a_circuit_without_anything_to_write_out_is_itself():
    circuit = rotated()
    assert unrolled(circuit) is circuit
