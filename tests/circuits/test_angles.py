import subprocess
import sys

import numpy as np
import pytest
from qiskit.circuit import Gate, Parameter, QuantumCircuit

from qiskit_fedqml.circuits.angles import GateAngles, light_cone
from qiskit_fedqml.circuits.expressions import Expressions
from qiskit_fedqml.circuits.formulas import known_forms
from qiskit_fedqml.circuits.paper import paper_circuit
from qiskit_fedqml.circuits.spec import z_observables
from qiskit_fedqml.circuits.symbolic import SymbolicSource
from qiskit_fedqml.errors import CircuitError


def test_values_and_chain_rule_follow_the_expressions():
    x, y, w = Parameter("x[0]"), Parameter("x[1]"), Parameter("θ.1")  # names that are no Python identifiers
    circuit = QuantumCircuit(1)
    for expression in (x.arctan(), (x * x).arctan(), w, 2 * w + 0.5, x * y * w, 3.0 * y):
        circuit.rz(expression, 0)
    angles = GateAngles(circuit, [x, y, w])
    points = np.array([[0.3, -1.2, 0.7], [-2.0, 0.1, 1.1]])
    a, b, c = points.T
    expected = np.stack([np.arctan(a), np.arctan(a * a), c, 2 * c + 0.5, a * b * c, 3 * b], axis=1)
    np.testing.assert_allclose(angles.values(points), expected, atol=1e-14)

    jacobian = np.random.default_rng(0).normal(size=(2, 3, 6))
    by_x = np.stack([1 / (1 + a**2), 2 * a / (1 + a**4), 0 * a, 0 * a, b * c, 0 * a], axis=1)
    by_y = np.stack([0 * a, 0 * a, 0 * a, 0 * a, a * c, 3 + 0 * a], axis=1)
    by_w = np.stack([0 * a, 0 * a, 1 + 0 * a, 2 + 0 * a, a * b, 0 * a], axis=1)
    derivatives = np.stack([by_x, by_y, by_w], axis=1)  # (batch, parameter, angle)
    expected = np.einsum("boj,bpj->bop", jacobian, derivatives)
    np.testing.assert_allclose(angles.chain_rule(jacobian, points), expected, atol=1e-13)


def test_no_parameters():
    circuit = QuantumCircuit(1)
    circuit.h(0)
    angles = GateAngles(circuit, [])
    assert angles.values(np.zeros((3, 0))).shape == (3, 0)
    assert angles.chain_rule(np.zeros((3, 2, 0)), np.zeros((3, 0))).shape == (3, 2, 0)


def test_controlled_gates_are_decomposed():
    x = Parameter("x")
    circuit = QuantumCircuit(2)
    circuit.crx(x, 0, 1)
    angles = GateAngles(circuit, [x])
    assert angles.num_angles > 1
    assert "crx" not in angles.circuit.count_ops()


def test_light_cone_of_the_paper_circuit():
    spec = paper_circuit()
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    cone = light_cone(angles.circuit, spec.observables)
    outside = [j for j, angle in enumerate(angles.params) if angle not in cone]
    assert len(angles.params) == 32
    assert len(outside) == 6  # the last rotations of qubits 2 and 3
    assert light_cone(angles.circuit, z_observables(4, 4)) == frozenset(angles.params)


def test_unknown_parameterised_gate_is_refused():
    circuit = QuantumCircuit(1)
    circuit.append(Gate("mystery", 1, [Parameter("x")]), [0])
    with pytest.raises(CircuitError, match="mystery"):
        GateAngles(circuit, list(circuit.parameters))


def test_known_forms_give_the_bits_of_sympys():
    x, y = Parameter("x[0]"), Parameter("y")
    expressions = [x, x.arctan(), (x * x).arctan(), -y, y + 0.25, 1.5 - y, y.arctan()]
    known, symbolic = Expressions.of(expressions, [x, y]), Expressions(SymbolicSource.of(expressions, [x, y]))
    points = np.random.default_rng(0).normal(scale=3, size=(500, 2))
    assert np.array_equal(known.values(points), symbolic.values(points))
    jacobian = np.random.default_rng(1).normal(size=(500, 2, len(expressions)))
    assert np.array_equal(known.chain_rule(jacobian, points), symbolic.chain_rule(jacobian, points))
    assert np.array_equal(known.term_params, symbolic.term_params)
    assert np.array_equal(known.derivatives.values(points), symbolic.derivatives.values(points))


@pytest.mark.parametrize(
    "form", [lambda x: x.abs(), lambda x: 2 * x, lambda x: x.sin(), lambda x: x * x, lambda x: x / 3]
)
def test_other_forms_are_not_taken_for_known_ones(form):
    x = Parameter("x")
    assert known_forms([form(x)], [x]) is None


def test_training_imports_no_sympy():
    script = "import sys; from qiskit_fedqml import paper_circuit, quantum_layer; "
    script += "from qiskit_fedqml.backends.simulated.aer import AerBackend; import torch; "
    script += "quantum_layer(paper_circuit(), AerBackend('i'))(torch.ones(1, 4)).sum().backward(); "
    script += "print([m for m in ('sympy', 'torch._dynamo', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
