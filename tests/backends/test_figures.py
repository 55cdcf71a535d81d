import itertools
import math

import pytest
from qiskit.circuit import Measure, QuantumCircuit
from qiskit.circuit.library import CXGate, RZGate, SXGate
from qiskit.circuit.parameter import Parameter
from qiskit.transpiler import InstructionProperties, Target

from qiskit_fedqml.backends.figures import figures_of, success_probability


def target(sx=0.1, cx=0.2, readout=0.3):
    made = Target(num_qubits=2)
    made.add_instruction(SXGate(), {(q,): InstructionProperties(error=sx) for q in range(2)})
    made.add_instruction(RZGate(Parameter("a")), {(q,): None for q in range(2)})
    made.add_instruction(CXGate(), {(0, 1): InstructionProperties(error=cx)})
    made.add_instruction(Measure(), {(q,): InstructionProperties(error=readout) for q in range(2)})
    return made


def circuit():
    made = QuantumCircuit(2)
    made.sx(0)
    made.rz(0.3, 0)
    made.barrier()
    made.delay(10, 1)
    made.reset(1)
    made.cx(0, 1)
    return made


def test_product_of_what_is_published():
    assert success_probability(circuit(), target()) == pytest.approx(0.9 * 0.8)
    assert success_probability(circuit(), target(), [0, 1]) == pytest.approx(0.9 * 0.8 * 0.7**2)
    assert success_probability(circuit(), target(sx=0.0, cx=0.0, readout=0.0), [0]) == 1.0
    assert success_probability(circuit(), target(cx=1.0)) == 0.0


@pytest.mark.parametrize("wrong", [None, math.nan, -5.0, 1.2, math.inf])
@pytest.mark.parametrize("name", ["sx", "cx", "readout"])
def test_what_is_not_published_promises_nothing(name, wrong):
    assert success_probability(circuit(), target(**{name: wrong}), [0]) == 0.0
    shown = figures_of(circuit(), [0], target(**{name: wrong}))
    errors = (shown["qubits"]["0"]["sx_error"], shown["couplings"]["0-1"], shown["qubits"]["0"]["readout_error"])
    assert errors == tuple(None if n == name else of for n, of in (("sx", 0.1), ("cx", 0.2), ("readout", 0.3)))


def test_a_gate_on_qubits_that_do_not_have_it_promises_nothing():
    reversed_pair = QuantumCircuit(2)
    reversed_pair.cx(1, 0)
    assert success_probability(reversed_pair, target()) == 0.0


def test_always_a_probability():
    for errors in itertools.product([0, 1e-17, 0.5, 1, math.nan, -1, 2, None], repeat=3):
        assert 0 <= success_probability(circuit(), target(*errors), [0, 1]) <= 1
