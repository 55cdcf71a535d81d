import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml import CircuitSpec
from qiskit_fedqml.circuits.spec import z_observables
from qiskit_fedqml.errors import CircuitError


def test_z_of_the_first_qubits_or_of_named_ones():
    assert [o.paulis.to_labels() for o in z_observables(3, 2)] == [["IIZ"], ["IZI"]]
    assert z_observables(3, [2, 0]) == (SparsePauliOp("ZII"), SparsePauliOp("IIZ"))


def test_spec_refuses_inconsistent_parts():
    x, w = Parameter("x"), Parameter("w")
    circuit = QuantumCircuit(1)
    circuit.rx(x, 0)
    circuit.ry(w, 0)
    z = z_observables(1, 1)
    measured = circuit.copy()
    measured.measure_all()
    cases = [
        ((circuit, (x,), (x, w), z), "have two"),
        ((circuit, (x,), (), z), r"\['w'\] have no role"),
        ((circuit, (x,), (w, Parameter("v")), z), r"\['v'\] are not in the circuit"),
        ((circuit, (x, x), (w,), z), r"have two: \['x'\]"),
        ((circuit, "x", (w,), z), "`input_params` must be parameters of the circuit, but got a str"),
        ((circuit, (x,), ("w",), z), "`weight_params` must be parameters, but holds a str"),
        ((circuit, 1, (w,), z), "`input_params` must be parameters of the circuit, but got a int"),
        ((circuit, (x,), (w,), ()), "at least one observable"),
        ((circuit, (x,), (w,), (SparsePauliOp("ZZ"),)), "Observable 0 must act on the circuit's 1 qubits, but acts on"),
        ((measured, (x,), (w,), z), "must not measure"),
    ]
    for arguments, message in cases:
        with pytest.raises(CircuitError, match=message):
            CircuitSpec(*arguments)


def test_spec_keeps_a_copy_of_the_circuit():
    x = Parameter("x")
    circuit = QuantumCircuit(1)
    circuit.rx(x, 0)
    spec = CircuitSpec(circuit, (x,), (), z_observables(1, 1))
    circuit.h(0)
    assert dict(spec.circuit.count_ops()) == {"rx": 1}


def test_roles_may_be_one_parameter_or_none():
    x = Parameter("x")
    circuit = QuantumCircuit(1)
    circuit.rx(x, 0)
    spec = CircuitSpec(circuit, x, None, "Z")
    assert (spec.input_params, spec.weight_params, spec.observables) == ((x,), (), (SparsePauliOp("Z"),))
