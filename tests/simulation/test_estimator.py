import copy

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BackendEstimatorV2, StatevectorEstimator
from qiskit.quantum_info import Operator, SparseObservable, SparsePauliOp, Statevector
from qiskit_aer import AerSimulator
from qiskit_aer.primitives import EstimatorV2 as AerPrimitive
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qiskit_fedqml import paper_circuit
from qiskit_fedqml.backends.noise import noise_from_rates
from qiskit_fedqml.backends.simulated.aer_estimator import AerEstimator
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.estimator import SweepEstimator
from qiskit_fedqml.simulation.lowering import UnsupportedError
from tests.strategies import circuit_specs, values

NOISE = noise_from_rates((0.01, 0.03), (0.005, 0.01), (0.01, 0.04))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spec=circuit_specs())
def test_any_circuit_with_expressions_of_parameters(spec):
    x, w = values(spec, 3, 0)
    points = np.concatenate([x, np.broadcast_to(w, (3, len(w)))], axis=1)
    parameters = (*spec.input_params, *spec.weight_params)
    pub = (spec.circuit, [[o] for o in spec.observables], {parameters: points} if parameters else np.zeros((3, 0)))
    ours = SweepEstimator().run([pub]).result()[0].data
    np.testing.assert_allclose(
        ours.evs, StatevectorEstimator().run([pub], precision=0.0).result()[0].data.evs, atol=1e-9
    )
    assert not ours.stds.any()


def two_gates():
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.rz(a, 0)
    circuit.sx(0)
    circuit.rz(b, 1)
    circuit.cx(0, 1)
    return circuit, a, b


@pytest.mark.parametrize("noise", [None, NOISE])
def test_broadcasting_many_pubs_and_observables_of_many_terms(noise):
    circuit, a, b = two_gates()
    observables = [[[SparsePauliOp("ZI")]], [[SparsePauliOp.from_list([("XX", 0.5), ("IY", -1), ("II", 2)])]]]
    points = np.random.default_rng(0).normal(size=(4, 3, 2))
    pubs = [(circuit, observables, {(b, a): points}), (circuit, "ZZ", [0.1, 0.2]), (circuit, ["ZI", "IZ"], [1, 2], 0.1)]
    ours, aer = (e.run(pubs, precision=0.0).result() for e in (SweepEstimator(noise, 7, 0), AerEstimator(noise, 7, 0)))
    assert ours[0].data.evs.shape == (2, 4, 3)
    for mine, other in zip(ours[:2], aer[:2]):
        np.testing.assert_allclose(mine.data.evs, other.data.evs, atol=1e-9)
        assert not mine.data.stds.any()
    assert ours[2].metadata == {"shots": 100, "target_precision": 0.1, "circuit_metadata": {}}
    np.testing.assert_allclose(ours[2].data.stds, aer[2].data.stds, atol=1e-9)


def test_metadata_is_that_of_qiskits_estimators():
    circuit = QuantumCircuit(1, metadata={"name": "bell"})
    for theirs in (StatevectorEstimator(), AerPrimitive()):
        ours = SweepEstimator().run([(circuit, "Z")]).result()
        reference = theirs.run([(circuit, "Z")]).result()
        assert ours.metadata == reference.metadata
        assert {k: v for k, v in reference[0].metadata.items() if k != "simulator_metadata"}.items() <= (
            ours[0].metadata.items()
        )
    backend = BackendEstimatorV2(backend=AerSimulator(), options={"default_precision": 0.1})
    shots = SweepEstimator(shots=100).run([(circuit, "Z")]).result()[0].metadata
    assert shots == backend.run([(circuit, "Z")]).result()[0].metadata


def test_observables_with_projectors():
    circuit, _, _ = two_gates()
    observables = ["00", "+r", SparseObservable("1-"), SparsePauliOp("ZZ")]
    point = [0.3, 0.2]
    state = Statevector(circuit.assign_parameters(point))
    expected = [state.expectation_value(Operator.from_label(label)).real for label in ("00", "+r", "1-")]
    found = SweepEstimator().run([(circuit, observables, point)]).result()[0].data.evs
    np.testing.assert_allclose(found[:3], expected, atol=1e-12)


def test_outcomes_that_memory_cannot_hold():
    job = SweepEstimator(shots=10).run([(QuantumCircuit(40), "Z" * 40)])
    with pytest.raises(BackendError, match="measured together would take 43,980,465,111,040 bytes of memory"):
        job.result()


def test_fixed_angles_that_are_not_finite():
    circuit = QuantumCircuit(1)
    circuit.rx(np.nan, 0)
    with pytest.raises(BackendError, match=r"Gate 'rx' on qubits \(0,\) has an angle that is not finite"):
        SweepEstimator().run([(circuit, "Z")]).result()


def test_stds_are_those_of_the_shots():
    circuit = QuantumCircuit(1)
    circuit.ry(1.0, 0)
    data = SweepEstimator(shots=400, seed=1).run([(circuit, "Z", np.zeros((4000, 0)))]).result()[0].data
    expected = np.sin(1.0) / 20
    assert data.evs.mean() == pytest.approx(np.cos(1.0), abs=5 * expected / np.sqrt(4000))
    assert data.evs.std() == pytest.approx(expected, rel=0.06)
    assert data.stds.mean() == pytest.approx(expected, rel=0.02)


def test_the_estimator_goes_on_drawing():
    circuit, _, _ = two_gates()
    estimator = SweepEstimator(NOISE, shots=50, seed=3)
    first, second = (estimator.run([(circuit, "ZI", np.ones((20, 2)))]).result()[0].data.evs for _ in range(2))
    again = SweepEstimator(NOISE, shots=50, seed=3).run([(circuit, "ZI", np.ones((20, 2)))]).result()[0].data.evs
    assert (first != second).any()
    np.testing.assert_array_equal(first, again)


def test_runs_at_the_same_time_share_no_draw():
    circuit, _, _ = two_gates()
    pub = (circuit, "ZI", np.ones((50_000, 2)))
    at_once, in_turn = SweepEstimator(NOISE, shots=1, seed=3), SweepEstimator(NOISE, shots=1, seed=3)
    jobs = [at_once.run([pub]) for _ in range(3)]
    for job in jobs:
        np.testing.assert_array_equal(job.result()[0].data.evs, in_turn.run([pub]).result()[0].data.evs)


def test_bad_precision_and_shots():
    circuit, _, _ = two_gates()
    for precision in (-0.1, np.nan):
        with pytest.raises((BackendError, ValueError), match="precision"):
            SweepEstimator().run([(circuit, "ZI", [0.0, 1.0])], precision=precision)
    with pytest.raises(BackendError, match="whole number from 1"):
        SweepEstimator(shots=-5)


def test_terms_that_cancel_are_not_measured():
    circuit, _, _ = two_gates()
    data = SweepEstimator(NOISE, 10, 0).run([(circuit, [SparsePauliOp(["ZI", "XX", "XX"], [1, 2, -2])], [0, 0])])
    only = SweepEstimator(NOISE, 10, 0).run([(circuit, ["ZI"], [0, 0])])
    np.testing.assert_array_equal(data.result()[0].data.evs, only.result()[0].data.evs)


def test_a_circuit_may_change_between_runs():
    circuit = QuantumCircuit(1)
    estimator = SweepEstimator()
    assert float(estimator.run([(circuit, "Z")]).result()[0].data.evs) == 1
    circuit.x(0)
    assert float(estimator.run([(circuit, "Z")]).result()[0].data.evs) == -1


def test_in_the_stock_network():
    spec = paper_circuit(num_qubits=2, num_layers=1)
    x, w = values(spec, 2, 0)

    def network(estimator):
        return EstimatorQNN(
            circuit=spec.circuit,
            estimator=estimator,
            observables=list(spec.observables),
            input_params=spec.input_params,
            weight_params=spec.weight_params,
            gradient=ParamShiftEstimatorGradient(estimator),
            input_gradients=True,
            default_precision=0.0,
        )

    ours, reference = network(SweepEstimator()), network(StatevectorEstimator())
    np.testing.assert_allclose(ours.forward(x, w), reference.forward(x, w), atol=1e-10)
    for mine, other in zip(ours.backward(x, w), reference.backward(x, w)):
        np.testing.assert_allclose(mine, other, atol=1e-10)


def test_what_cannot_be_expressed_goes_to_the_other_estimator_or_is_refused(caplog):
    circuit = QuantumCircuit(21)
    circuit.x(0)
    for q in range(20):
        circuit.cx(q, q + 1)
    pub = (circuit, "Z" + "I" * 20)
    with pytest.raises(UnsupportedError, match="21 qubits are in use, and state vectors are swept up to 20"):
        SweepEstimator().run([pub]).result()
    with caplog.at_level("WARNING"):
        results = SweepEstimator(otherwise=AerEstimator()).run([pub, pub]).result()
    assert [float(r.data.evs) for r in results] == pytest.approx([-1, -1], abs=1e-9)
    assert [r.getMessage() for r in caplog.records] == [
        "Aer estimates a circuit, because 21 qubits are in use, and state vectors are swept up to 20."
    ]


def test_values_that_are_not_finite():
    circuit, _, _ = two_gates()
    with pytest.raises(BackendError, match=r"some of PUB 1 are NaN or infinite"):
        SweepEstimator().run([(circuit, "ZI", [0.0, 1.0]), (circuit, "ZI", [np.nan, 1.0])])


def test_no_points():
    circuit, _, _ = two_gates()
    assert SweepEstimator().run([(circuit, "ZI", np.zeros((0, 2)))]).result()[0].data.evs.shape == (0,)


def test_identity_alone():
    circuit, _, _ = two_gates()
    for shots in (None, 10):
        data = SweepEstimator(NOISE, shots).run([(circuit, ["II", SparsePauliOp("II", -2)], [0, 0])]).result()[0].data
        np.testing.assert_allclose(data.evs, [1, -2])
        assert not data.stds.any()


def test_a_copy_draws_the_same():
    circuit, _, _ = two_gates()
    estimator = SweepEstimator(NOISE, shots=50, seed=3)
    copied = copy.deepcopy(estimator)
    first, second = (e.run([(circuit, "ZI", np.ones((20, 2)))]).result()[0].data.evs for e in (estimator, copied))
    np.testing.assert_array_equal(first, second)
