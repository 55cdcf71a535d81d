"""Mitigation on simulated machines: through the sweeps, shift by shift, and by Aer, at the cost that is counted."""

import pickle
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml import BackendRegistry, paper_circuit
from qiskit_fedqml.backends.array import overview
from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.calibration import fake_calibration
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.noise import noise_from_calibration, noise_from_rates
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.backends.zne import extrapolated, folded
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.config.mitigation import Mitigation, Zne
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation import sampled

MANILA = noise_from_calibration(fake_calibration("FakeManilaV2"), "FakeManilaV2")
UNREAD = replace(MANILA, readout={qubit: np.eye(2) for qubit in MANILA.readout})
READOUT = Mitigation(readout=True)
ZNE = Mitigation(zne=Zne(factors=(1, 3, 5)))
TEST, TRAIN = JobKey(3, None, 0, "test on x"), JobKey(3, 1, 0, "train")


def compiled(backend):
    spec = paper_circuit(2, 1)
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    return compile_program(backend, angles.circuit, angles.params, spec.observables)


@pytest.fixture(scope="module")
def program():
    return compiled(AerBackend("b", MANILA))


@pytest.fixture(scope="module")
def points(program):
    return np.random.default_rng(0).uniform(-np.pi, np.pi, (3, len(program.angles)))


@pytest.mark.parametrize("simulator", ["sweep", "aer"])
def test_exact_readout_mitigation_leaves_gate_errors_alone(program, points, simulator):
    found = AerBackend("b", MANILA, simulator=simulator, mitigation=READOUT).evaluate(program, points, jacobian=True)
    expected = AerBackend("b", UNREAD, simulator=simulator).evaluate(program, points, jacobian=True)
    np.testing.assert_allclose(found.values, expected.values, atol=1e-10)
    np.testing.assert_allclose(found.jacobian, expected.jacobian, atol=1e-10)
    assert (found.circuits, found.executions) == (expected.circuits, expected.executions)
    by_estimator = AerBackend("b", MANILA, simulator=simulator, mitigation=READOUT).estimator()
    bound = program.circuit.assign_parameters(dict(zip(program.angles, points[0], strict=True)), strict=False)
    evs = by_estimator.run([(bound, list(program.observables))]).result()[0].data.evs
    np.testing.assert_allclose(evs, expected.values[0], atol=1e-10)


@pytest.mark.parametrize("how", ["two sweeps of", "for each shift", "asked for"])
def test_shots_are_mitigated_by_the_same_linear_map(program, points, how, monkeypatch):
    """Of the same draws: one qubit's value and its derivatives are stretched and moved as its confusion matrix says."""
    if how == "for each shift":
        monkeypatch.setattr(sampled, "MOST_SAMPLED_QUBITS", 0)
    simulator = "aer" if how == "asked for" else "sweep"
    plain = AerBackend("b", MANILA, 500, simulator=simulator)
    mitigated = AerBackend("b", MANILA, 500, simulator=simulator, mitigation=READOUT)
    assert how in mitigated.simulation(program).reason
    before = plain.evaluate(program, points, jacobian=True, seed=4)
    after = mitigated.evaluate(program, points, jacobian=True, seed=4)
    for output, observable in enumerate(program.observables):
        (qubit,) = np.flatnonzero(observable.paulis.z.any(axis=0))
        errors = MANILA.confusion(int(qubit))[1, 0], MANILA.confusion(int(qubit))[0, 1]
        contrast, offset = 1 - sum(errors), errors[1] - errors[0]
        np.testing.assert_allclose(after.values[:, output], (before.values[:, output] - offset) / contrast, atol=1e-12)
        np.testing.assert_allclose(after.jacobian[:, output], before.jacobian[:, output] / contrast, atol=1e-12)
    assert after.executions == before.executions


@pytest.mark.parametrize("simulator", ["sweep", "aer"])
@pytest.mark.parametrize("shots", [None, 64])
def test_tests_are_extrapolated_and_all_factors_are_counted(program, points, simulator, shots):
    backend = AerBackend("b", MANILA, shots, simulator=simulator, mitigation=ZNE)
    plain = AerBackend("b", MANILA, shots, simulator=simulator)
    found = backend.evaluate(program, points, jacobian=False, seed=1, key=TEST)
    assert (found.circuits, found.executions) == (9, 9 * (shots or 1))
    assert found.jacobian is None
    again = backend.evaluate(program, points, jacobian=False, seed=1, key=TEST)
    assert np.array_equal(found.values, again.values), "the same seed draws the same shots"
    if shots is None:
        at = [replace(program, circuit=folded(program.circuit, factor)) for factor in (1, 3, 5)]
        values = np.array([plain.evaluate(one, points, jacobian=False).values for one in at])
        np.testing.assert_allclose(found.values, extrapolated(values, (1, 3, 5), "linear"), atol=1e-12)


def test_training_is_not_extrapolated(program, points):
    backend, plain = AerBackend("b", MANILA, 64, mitigation=ZNE), AerBackend("b", MANILA, 64)
    for jacobian, key in ((True, TRAIN), (False, TRAIN), (True, None), (True, TEST)):
        found = backend.evaluate(program, points, jacobian=jacobian, seed=2, key=key)
        expected = plain.evaluate(program, points, jacobian=jacobian, seed=2, key=key)
        assert np.array_equal(found.values, expected.values)
        assert found.executions == expected.executions
    assert backend.evaluate(program, points, jacobian=False, seed=2).executions == 3 * 3 * 64


def test_depolarised_gates_are_extrapolated_to_ideal():
    """n equal depolarising errors and no others: the values fade by (1 − λ)^n, which an exponential takes back."""
    noise, a = noise_from_rates((0, 0.05), (0, 0), (0.03, 0.06)), Parameter("a")
    circuit = QuantumCircuit(2)
    circuit.rx(a, 0)
    circuit.cx(0, 1)
    observables = (SparsePauliOp(["ZI", "II"], [0.5, 0.25]), SparsePauliOp("ZZ"))
    program = Program(circuit, observables, (a,), (0,), 1)
    points = np.array([[0.3], [2.0]])
    both = Mitigation(readout=True, zne=Zne(extrapolator="exponential"))
    found = AerBackend("b", noise, mitigation=both).evaluate(program, points, jacobian=False, key=TEST)
    ideal = AerBackend("i").evaluate(program, points, jacobian=False)
    np.testing.assert_allclose(found.values, ideal.values, atol=1e-10)


def test_what_cannot_be_extrapolated():
    program = Program(QuantumCircuit(1), (SparsePauliOp("Z"),), (), (), 1)
    with pytest.raises(BackendError, match="Backend 'b': The circuit has no gates on several qubits to fold"):
        AerBackend("b", MANILA, mitigation=ZNE).evaluate(program, np.zeros((1, 0)), jacobian=False)


def test_what_is_made_of_a_backend_mitigates_too(program, points):
    backend = AerBackend("b", MANILA, 64, mitigation=Mitigation(readout=True, zne=Zne()))
    expected = backend.evaluate(program, points, jacobian=False, seed=1).values
    for copy in (deepcopy(backend), pickle.loads(pickle.dumps(backend))):
        assert np.array_equal(copy.evaluate(program, points, jacobian=False, seed=1).values, expected)
    exact = backend.without_shots().evaluate(program, points, jacobian=False)
    assert exact.executions == 2 * 3
    assert backend.without_mitigation().evaluate(program, points, jacobian=False).executions == 3 * 64
    assert backend.describe()["mitigation"] == "readout mitigated, tests extrapolated from factors 1, 3 (linear)"
    assert "mitigation" not in backend.without_mitigation().describe()


def test_the_array_says_what_it_mitigates_and_its_noise_is_still_checked():
    noise = {"readout": {"read_1_if_0": 0.1}, "depolarizing": {"two_qubit": 0.01}}
    entry = {"type": "aer", "noise": noise, "mitigation": {"readout": True}}
    device = {"type": "ibm", "device": "FakeManilaV2", "mitigation": {"zne": {}}}
    registry = BackendRegistry.from_mapping({"backends": {"ideal": {"type": "aer"}, "b": entry, "d": device}})
    assert "readout mitigated" in overview.summary(registry, "b")["How or why"]
    assert "extrapolated from factors 1, 3" in overview.summary(registry, "d")["How or why"]
    (_, check) = overview.check(registry)
    assert check.passed
    assert check.has_noise
