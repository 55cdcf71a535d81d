import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import Operator, SparsePauliOp

from qiskit_fedqml import AerBackend
from qiskit_fedqml.backends.base import Backend, SimulatedBackend, compile_program
from qiskit_fedqml.backends.program import Asked
from qiskit_fedqml.errors import ConfigurationError

ANGLES = [Parameter("a"), Parameter("b")]
ASKED = np.array([[0.3, 0.4], [-1.0, 2.0]])


def circuit():
    found = QuantumCircuit(1)
    found.ry(ANGLES[0], 0)
    found.ry(ANGLES[1], 0)
    return found


def values(machine):
    program = compile_program(machine, circuit(), ANGLES, [SparsePauliOp("Z")])
    alone = machine.evaluate(program, ASKED, jacobian=True)
    (together,) = machine.evaluate_jointly(program, [Asked(ASKED, 1, 0)], jacobian=True)
    assert np.array_equal(alone.values, together.values)
    assert np.array_equal(alone.jacobian, together.jacobian)
    return alone.values[:, 0], alone.jacobian[:, 0]


def test_the_same_angle_is_added_to_each_gate(script):
    found, slopes = values(script.LyingMachine("same_angle", 0.7))
    assert found == pytest.approx(np.cos(ASKED.sum(axis=1) + 1.4))
    assert slopes[:, 0] == pytest.approx(-np.sin(ASKED.sum(axis=1) + 1.4))


def test_own_angles_are_those_of_the_seed(script):
    found, _ = values(script.LyingMachine("own_angles", 1.0, seed=5))
    again, _ = values(script.LyingMachine("own_angles", 1.0, seed=5))
    other, _ = values(script.LyingMachine("own_angles", 1.0, seed=6))
    assert np.array_equal(found, again)
    assert not np.allclose(found, other)
    asked = ASKED.sum(axis=1)
    assert not np.allclose(found, np.cos(asked))
    # The same offset, which one sample gives but for a sign, explains the other.
    offsets = np.array([1, -1]) * np.arccos(found[0]) - asked[0]
    assert np.isclose(np.cos(asked[1] + offsets), found[1]).any()


def test_paulis_come_after_each_gate_with_a_parameter(script):
    lied = script.with_paulis(circuit(), seed=2)
    assert [len(lied), lied.num_parameters] == [4, 2]
    first, second = (Operator(lied.data[k].operation) for k in (1, 3))
    bound = Operator(lied.assign_parameters({ANGLES[0]: 0.3, ANGLES[1]: 0.4}))
    turns = [Operator(circuit().data[k].operation.__class__(angle)) for k, angle in enumerate((0.3, 0.4))]
    assert bound == turns[0] @ Operator.from_label("I") & first & turns[1] & second
    expected = np.abs(bound.data[0, 0]) ** 2 - np.abs(bound.data[1, 0]) ** 2
    assert values(script.LyingMachine("paulis", seed=2))[0][0] == pytest.approx(expected)


def test_it_passes_for_an_ideal_machine(script):
    machine, ideal = script.LyingMachine("same_angle", 1.0), AerBackend("liar")
    program = compile_program(machine, circuit(), ANGLES, [SparsePauliOp("Z")])
    assert isinstance(machine, Backend)
    assert isinstance(machine, SimulatedBackend)
    assert machine.describe() == ideal.describe()
    assert machine.success_probability(program) == 1.0


def test_an_unknown_lie_is_refused(script):
    with pytest.raises(ConfigurationError, match="`lie` must be one of"):
        script.LyingMachine("other")
