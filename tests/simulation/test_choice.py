"""Which simulator a backend takes, and what it says and refuses."""

import logging
import pickle

import numpy as np
import pytest
from qiskit.circuit import ClassicalRegister, Instruction, Parameter, QuantumCircuit
from qiskit.circuit.library import PauliEvolutionGate, RXGate, RXXGate
from qiskit.quantum_info import SparsePauliOp, SuperOp
from qiskit_aer.noise import NoiseModel, QuantumError, ReadoutError, depolarizing_error

from qiskit_fedqml.backends.noise import noise_from_rates
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.errors import BackendError, CircuitError
from qiskit_fedqml.simulation.exact import ExactProgram
from qiskit_fedqml.simulation.noise import Noise, noise_from_model


def one_rotation(num_qubits=1):
    circuit = QuantumCircuit(num_qubits)
    circuit.ry(a := Parameter("a"), 0)
    observable = SparsePauliOp.from_sparse_list([("Z", [0], 1.0)], num_qubits)
    return circuit, observable, a


def program(circuit, observable, a):
    return Program(circuit, (observable,), (a,), (0,), 1)


def test_three_qubit_error_goes_to_aer_once_with_a_reason(caplog):
    circuit, observable, a = one_rotation(3)
    circuit.ccx(0, 1, 2)
    circuit.cx(2, 0)
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 3), "ccx")
    noise = noise_from_model(model)
    backend, compiled = AerBackend("b", noise), program(circuit, observable, a)
    with caplog.at_level(logging.WARNING):
        results = [backend.evaluate(compiled, np.array([[0.3]]), jacobian=True) for _ in range(3)]
    assert {r.simulator for r in results} == {"aer"}
    assert len(caplog.records) == 1
    assert "Backend 'b': Aer simulates every shifted circuit, because the error of 'ccx'" in caplog.text
    aer = AerBackend("b", noise, simulator="aer").evaluate(compiled, np.array([[0.3]]), jacobian=True)
    np.testing.assert_array_equal(results[0].jacobian, aer.jacobian)
    with pytest.raises(BackendError, match=r"Backend 'b' must simulate by sweeps, but the error of 'ccx'"):
        AerBackend("b", noise, simulator="sweep").evaluate(compiled, np.array([[0.3]]), jacobian=True)


def test_too_many_qubits():
    circuit, _, a = one_rotation(21)
    for q in range(20):
        circuit.cx(q, q + 1)
    observable = SparsePauliOp("Z" * 21)
    with pytest.raises(BackendError, match="21 qubits are in use, and state vectors are swept up to 20"):
        AerBackend("b", simulator="sweep").evaluate(program(circuit, observable, a), np.zeros((1, 1)), jacobian=True)


def test_an_angle_in_two_gates_is_left_to_aer():
    a = Parameter("a")
    circuit = QuantumCircuit(1)
    circuit.ry(a, 0)
    circuit.rx(0.4, 0)
    circuit.ry(a, 0)
    compiled = program(circuit, SparsePauliOp("Z"), a)
    results = [
        AerBackend("b", simulator=s).evaluate(compiled, np.array([[0.3]]), jacobian=True) for s in ("auto", "aer")
    ]
    assert [r.simulator for r in results] == ["aer", "aer"]
    np.testing.assert_allclose(results[0].jacobian, results[1].jacobian)


def test_dynamic_circuits_are_refused_by_both():
    circuit, observable, a = one_rotation()
    circuit.add_register(ClassicalRegister(1))
    circuit.measure(0, 0)
    with pytest.raises(BackendError, match=r"without \['measure'\]"):
        AerBackend("b").evaluate(program(circuit, observable, a), np.zeros((1, 1)), jacobian=False)


@pytest.mark.parametrize(
    ("angles", "message"),
    [
        (np.array([[np.nan]]), "must be finite"),
        (np.array([[np.inf]]), "must be finite"),
        (np.zeros((2, 3)), r"must have shape \(batch, 1\), but has \(2, 3\)"),
        (np.zeros(3), r"must have shape \(batch, 1\)"),
        (np.zeros((0, 1)), r"must have shape \(batch, 1\)"),
    ],
)
@pytest.mark.parametrize("simulator", ["auto", "aer"])
def test_bad_angles(angles, message, simulator):
    with pytest.raises(BackendError, match=message):
        AerBackend("b", simulator=simulator).evaluate(program(*one_rotation()), angles, jacobian=True)


@pytest.mark.parametrize(
    ("observables", "message"),
    [
        ([], "at least one observable"),
        ([SparsePauliOp("ZZ")], "Observable 0 must act on the circuit's 1 qubits, but acts on 2"),
        ([SparsePauliOp("Z"), SparsePauliOp("X", 1j)], "Observable 1 must be Hermitian"),
        ([SparsePauliOp("Z", np.nan)], "Observable 0 must have real, finite"),
        ([SparsePauliOp(["Z", "Z"], [1, -1])], "Observable 0 must not be zero"),
    ],
)
def test_bad_observables(observables, message):
    circuit, _, a = one_rotation()
    with pytest.raises(CircuitError, match=message):
        ExactProgram(circuit, (a,), observables, None)


def unphysical(kind):
    matrix = {"trace": np.diag([1, 1, 1, 0.5]), "positive": np.diag([1, 1.5, 1.5, 1]), "nan": np.full((4, 4), np.nan)}
    return SuperOp(matrix[kind])


@pytest.mark.parametrize(
    ("kind", "message"),
    [("trace", "changes the trace"), ("positive", "not completely positive"), ("nan", "NaN or infinite entries")],
)
def test_channels_that_are_not_physical(kind, message):
    circuit, observable, a = one_rotation()
    noise = Noise("made up", None, None, default_errors={"ry": unphysical(kind)})
    with pytest.raises(BackendError, match=rf"error of 'ry' on qubits \(0,\) is not physical: it .*{message}"):
        AerBackend("b", noise).evaluate(program(circuit, observable, a), np.zeros((1, 1)), jacobian=False)


def test_kraus_operators_that_lose_trace():
    circuit, observable, a = one_rotation()
    circuit.append(Instruction("kraus", 1, 0, [0.5 * np.eye(2)]), [0])
    with pytest.raises(BackendError, match="'kraus' on qubits .* changes the trace by up to 0.75"):
        ExactProgram(circuit, (a,), [observable], None)


def test_an_error_on_gates_of_two_sizes_is_not_mistaken():
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.append(RXGate(a, label="lab"), [0])
    circuit.append(RXXGate(b, label="lab"), [0, 1])
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), "lab")
    compiled = Program(circuit, (SparsePauliOp("ZZ"),), (a, b), (0, 1), 1)
    backend = AerBackend("b", noise_from_model(model), simulator="sweep")
    with pytest.raises(BackendError, match=r"error of 'rxx' on qubits \(0, 1\) is of another number of qubits"):
        backend.evaluate(compiled, np.ones((1, 2)), jacobian=True)


@pytest.mark.parametrize("shots", [None, 10])
def test_angles_that_an_expression_makes_infinite(shots):
    circuit = QuantumCircuit(1)
    circuit.ry((a := Parameter("a")).log(), 0)
    compiled = Program(circuit, (SparsePauliOp("Z"),), (a,), (), 1)
    with pytest.raises(BackendError, match="Angles must be finite"):
        AerBackend("b", shots=shots).evaluate(compiled, np.array([[-1.0]]), jacobian=False)


def test_parameters_without_values():
    circuit, observable, a = one_rotation()
    circuit.rx(Parameter("forgotten"), 0)
    with pytest.raises(BackendError, match=r"no values are given: \['forgotten'\]"):
        AerBackend("b").evaluate(program(circuit, observable, a), np.zeros((1, 1)), jacobian=False)


@pytest.mark.parametrize("angles", [np.array([[1j]]), [[1.0]], np.array([["one"]])])
def test_angles_that_are_no_real_numbers(angles):
    with pytest.raises(BackendError, match="must be an array of real numbers"):
        AerBackend("b").evaluate(program(*one_rotation()), angles, jacobian=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shots": 0}, "whole number from 1"),
        ({"shots": 2.5}, "whole number from 1"),
        ({"shots": True}, "whole number from 1"),
        ({"simulator": "sweeps"}, "must be one of .'auto', 'sweep', 'aer'., but got 'sweeps'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(BackendError, match=message):
        AerBackend("b", **options)


@pytest.mark.parametrize(
    "matrix", [np.full((2, 2), np.nan), [[0.9, 0.1], [0.3, 0.9]], np.eye(3), [[1.1, 0.0], [-0.1, 1.0]]]
)
def test_bad_confusion_matrices(matrix):
    with pytest.raises(BackendError, match="confusion matrix by default of made up must be 2×2"):
        Noise("made up", None, None, default_readout=np.array(matrix))
    with pytest.raises(BackendError, match="confusion matrix of qubit 3 of made up"):
        Noise("made up", None, None, readout={3: np.array(matrix)})


@pytest.mark.parametrize("kind", ["evolution", "rv"])
def test_gates_whose_definition_would_be_another_gate(kind):
    circuit = QuantumCircuit(2)
    a = Parameter("a")
    if kind == "evolution":
        circuit.append(PauliEvolutionGate(SparsePauliOp.from_list([("XX", 1.0), ("ZI", 0.8)]), time=a), [0, 1])
    else:
        circuit.rv(a, 0.2, 0.3, 0)
    compiled = Program(circuit, (SparsePauliOp("ZZ"),), (a,), (), 1)
    with pytest.raises(BackendError, match="by sweeps, but the circuit has"):
        AerBackend("b", simulator="sweep").evaluate(compiled, np.ones((1, 1)), jacobian=False)


def test_a_models_own_gates_are_the_machines():
    model = NoiseModel(basis_gates=["rz", "sx", "cz"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.3, 2), "cz")
    circuit = QuantumCircuit(2)
    circuit.x(0)
    circuit.cx(0, 1)
    backend = AerBackend("b", noise_from_model(model))
    transpiled = backend.transpile(circuit)
    assert transpiled.count_ops()["cz"] == 1
    for label in ("ZI", "XX"):  # the rotations into the basis are in these gates too
        values = [
            AerBackend("b", backend.noise, simulator=s).estimator().run([(transpiled, label)]).result()[0].data.evs
            for s in ("sweep", "aer")
        ]
        np.testing.assert_allclose(values[0], values[1], atol=1e-9)
        assert label == "XX" or float(values[0]) == pytest.approx(-0.7)


def test_models_that_cannot_be_taken_over():
    together = NoiseModel()
    together.add_readout_error(ReadoutError(np.eye(4) * 0.9 + 0.025), [0, 1])
    with pytest.raises(BackendError, match=r"readout error of qubits \(0, 1\) together"):
        noise_from_model(together)


def test_gate_error_of_the_measurement_is_not_lost():
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), "measure")
    with pytest.raises(BackendError, match="gate error of 'measure'"):
        noise_from_model(model)


def test_a_backend_goes_to_another_process():
    backend, compiled = (
        AerBackend("b", noise_from_rates((0.1, 0), (0, 0), (0.1, 0.2)), shots=20),
        program(*one_rotation()),
    )
    there = pickle.loads(pickle.dumps((backend, compiled)))
    one = backend.evaluate(compiled, np.array([[0.3]]), jacobian=True, seed=1)
    other = there[0].evaluate(there[1], np.array([[0.3]]), jacobian=True, seed=1)
    np.testing.assert_array_equal(one.jacobian, other.jacobian)


def test_errors_are_those_of_the_model():
    model = NoiseModel()
    model.add_quantum_error(depolarizing_error(0.1, 1), "x", [2])
    noise = noise_from_model(model, "mine")
    assert noise.source == "mine"
    assert isinstance(noise.error_after("x", (2,)), QuantumError)
    assert noise.error_after("x", (1,)) is None
