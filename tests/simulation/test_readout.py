"""Readout error, and taking it out again."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.backends.noise import noise_from_rates
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.estimator import SweepEstimator
from qiskit_fedqml.simulation.exact import ExactProgram
from qiskit_fedqml.simulation.measurement import Basis, measured_groups, misread, worth_as_read
from qiskit_fedqml.simulation.sampled import PointwiseProgram, SampledProgram
from tests.strategies import circuit_specs, values

GATES = (0.01, 0.03), (0.005, 0.01)
NOISE = noise_from_rates(*GATES, (0.03, 0.11))
CLEAN = noise_from_rates(*GATES, (0.0, 0.0))
UNLIKE = replace(NOISE, readout={0: np.array([[0.95, 0.2], [0.05, 0.8]]), 1: np.array([[0.3, 0.9], [0.7, 0.1]])})


def program_of(kind, spec, noise, **options):
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    return kind(angles.circuit, angles.params, spec.observables, noise, range(angles.num_angles), **options)


@settings(max_examples=12, deadline=None)
@given(circuit_specs())
def test_mitigated_values_and_derivatives_are_those_without_readout_error(spec):
    x, w = values(spec, 3, seed=1)
    points = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params]).values(
        np.concatenate([x, np.broadcast_to(w, (3, len(w)))], axis=1)
    )
    expected = program_of(ExactProgram, spec, CLEAN).evaluate(points, jacobian=True)
    found = program_of(ExactProgram, spec, UNLIKE, mitigates_readout=True).evaluate(points, jacobian=True)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)


def test_worth_as_read_undoes_the_product_of_the_confusions():
    rng = np.random.default_rng(0)
    basis, worth = Basis((0, 1, 4), "ZZZ"), rng.normal(size=(8, 2))
    outcomes = rng.dirichlet(np.ones(8), size=5)
    read = misread(outcomes, [UNLIKE.confusion(q) for q in basis.qubits])
    np.testing.assert_allclose(read @ worth_as_read(worth, basis, UNLIKE), outcomes @ worth, atol=1e-12)
    np.testing.assert_allclose(worth_as_read(np.ones((8, 1)), basis, UNLIKE), 1, atol=1e-12)


@pytest.mark.parametrize("kind", [SampledProgram, PointwiseProgram])
def test_shots_stay_unbiased_and_may_leave_the_range(kind):
    """Values and derivatives over many draws, against the exact ones without readout error."""
    spec = _two_qubits()
    draws, shots = 4000, 16
    points = np.tile([0.2, 0.3], (draws, 1))
    rng = np.random.default_rng(3)
    program = program_of(kind, spec, NOISE, mitigates_readout=True)
    found = program.estimate(points, shots, rng, jacobian=True)
    expected = program_of(ExactProgram, spec, CLEAN).evaluate(points[:1], jacobian=True)
    for drawn, exact in zip(found, expected, strict=True):
        error = drawn.std(axis=0) / np.sqrt(draws)
        assert (np.abs(drawn.mean(axis=0) - exact[0]) < 5 * error + 1e-12).all()
    assert found[0].min() < -1, "values are not cut off at 1, which would bias them"


def _two_qubits():
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.rz(a, 0)
    circuit.sx(0)
    circuit.cx(0, 1)
    circuit.sx(1)
    circuit.rz(b, 1)
    circuit.sx(1)
    return CircuitSpec(circuit, (a,), (b,), (SparsePauliOp("IZ"), SparsePauliOp("ZZ")))


def test_errors_of_an_estimate_grow_with_the_inverse():
    circuit = QuantumCircuit(1)
    circuit.sx(0)
    noise = noise_from_rates((0, 0), (0, 0), (0.1, 0.1))
    estimator = SweepEstimator(noise, shots=1000, seed=1, mitigates_readout=True)
    data = estimator.run([(circuit, "Z")]).result()[0].data
    assert data.stds == pytest.approx(1 / 0.8 / 1000**0.5, rel=0.02)
    plain = SweepEstimator(noise, shots=1000, seed=1).run([(circuit, "Z")]).result()[0].data
    assert data.evs == pytest.approx(plain.evs / 0.8), "the same draws"


def test_a_readout_that_says_nothing():
    blind = replace(NOISE, readout={1: np.full((2, 2), 0.5)})
    with pytest.raises(BackendError, match=r"readout error of qubit 1 of stated rates cannot be mitigated, because"):
        measured_groups([SparsePauliOp("ZI")], blind)
    assert measured_groups([SparsePauliOp("IZ")], blind), "no such qubit is measured"
