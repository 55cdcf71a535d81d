import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from scipy import stats

from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.noise import noise_from_rates
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.circuits.paper import paper_circuit
from qiskit_fedqml.simulation import sampled
from qiskit_fedqml.simulation.sampled import PointwiseProgram, SampledProgram
from qiskit_fedqml.simulation.shots import frequencies

NOISE = noise_from_rates((0.02, 0.05), (0.01, 0.02), (0.02, 0.09))
OUTCOMES = SparsePauliOp.from_list([("IZ", 1.0), ("ZI", 2.0)])
"""−3, −1, 1 or 3: another value for each outcome of two qubits."""


def entangled():
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.rz(a, 0)
    circuit.sx(0)
    circuit.cx(0, 1)
    circuit.sx(1)
    circuit.rz(b, 1)
    circuit.sx(1)
    return Program(circuit, (OUTCOMES,), (a, b), (0, 1), 1)


def chi_square(observed, probabilities):
    expected = probabilities * sum(observed)
    assert (expected > 5).all()
    return stats.chisquare(observed, expected).pvalue


def outcome_probabilities(program, point):
    """By Aer: P(outcome) from the exact ⟨Z⟩, ⟨Z⟩ and ⟨ZZ⟩ as read."""
    circuit = program.circuit.assign_parameters(dict(zip(program.angles, point, strict=True)))
    aer = AerBackend("a", NOISE, simulator="aer").estimator()
    z0, z1, zz = aer.run([(circuit, ["IZ", "ZI", "ZZ"])]).result()[0].data.evs
    return np.array([(1 + s0 * z0 + s1 * z1 + s0 * s1 * zz) / 4 for s1 in (1, -1) for s0 in (1, -1)])


@pytest.mark.parametrize("shift", [None, 0, 1])
def test_joint_outcomes_of_values_and_of_shifted_circuits(shift):
    # With a single shot the value is one outcome, and the derivative the difference of two independent ones.
    program, point, batch = entangled(), np.array([0.7, -0.4]), 20_000
    evaluation = AerBackend("s", NOISE, shots=1, simulator="sweep").evaluate(
        program, np.tile(point, (batch, 1)), jacobian=True, seed=11
    )
    worth = np.array([3, 1, -1, -3])
    if shift is None:
        observed = [(evaluation.values[:, 0] == w).sum() for w in worth]
        assert chi_square(observed, outcome_probabilities(program, point)) > 1e-4
        return
    up, down = (outcome_probabilities(program, point + sign * np.pi / 2 * np.eye(2)[shift]) for sign in (1, -1))
    differences = (worth[:, None] - worth[None, :]) / 2
    joint = np.outer(up, down)
    values = np.unique(differences)
    observed = [(evaluation.jacobian[:, 0, shift] == v).sum() for v in values]
    assert sum(observed) == batch
    assert chi_square(observed, np.array([joint[differences == v].sum() for v in values])) > 1e-4


def test_no_draw_is_shared():
    # Values, both shifts of both angles and all samples are drawn on their own: their errors do not correlate.
    program, batch = entangled(), 20_000
    points = np.tile([0.7, -0.4], (batch, 1))
    evaluation = AerBackend("s", NOISE, shots=16).evaluate(program, points, jacobian=True, seed=2)
    errors = np.column_stack([evaluation.values[:, 0], evaluation.jacobian[:, 0]])
    correlation = np.corrcoef(np.column_stack([errors[:-1], errors[1:]]).T)
    assert np.abs(correlation - np.eye(6)).max() < 5 / np.sqrt(batch)
    again = AerBackend("s", NOISE, shots=16).evaluate(program, points[:5], jacobian=True, seed=3)
    assert (again.values != evaluation.values[:5]).any()


def test_seeds():
    program, points = entangled(), np.random.default_rng(0).normal(size=(40, 2))
    backend = AerBackend("s", NOISE, shots=100)
    one, same, other = (backend.evaluate(program, points, jacobian=True, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.values, same.values)
    np.testing.assert_array_equal(one.jacobian, same.jacobian)
    assert (one.values != other.values).any()
    unseeded = [backend.evaluate(program, points, jacobian=False).values for _ in range(2)]
    assert (unseeded[0] != unseeded[1]).any()


def test_observables_in_one_basis_share_their_shots():
    circuit = QuantumCircuit(2)
    circuit.ry(a := Parameter("a"), 0)
    circuit.cx(0, 1)
    observables = tuple(SparsePauliOp(label) for label in ("IZ", "ZI", "ZZ"))
    program = Program(circuit, observables, (a,), (0,), 1)
    evaluation = AerBackend("s", shots=51).evaluate(program, np.full((20, 1), 1.5), jacobian=True, seed=0)
    np.testing.assert_array_equal(evaluation.values[:, 0], evaluation.values[:, 1])
    np.testing.assert_array_equal(evaluation.jacobian[:, 0], evaluation.jacobian[:, 1])
    assert (evaluation.values[:, 2] == 1).all()


@pytest.mark.parametrize("noise", [None, NOISE])
def test_one_simulation_for_each_shift_draws_what_the_sweeps_draw(noise):
    spec = paper_circuit(num_qubits=3, num_layers=1, num_outputs=3)
    backend = AerBackend("s", noise, shots=200)
    parameters = tuple(spec.circuit.parameters)
    program = compile_program(backend, spec.circuit, parameters, [*spec.observables, SparsePauliOp("XYI")])
    arguments = program.circuit, parameters, program.observables, noise, tuple(range(9))
    points = np.random.default_rng(0).normal(size=(4, len(parameters)))
    sampled, pointwise = (
        kind(*arguments).estimate(points, 200, np.random.default_rng(1), jacobian=True)
        for kind in (SampledProgram, PointwiseProgram)
    )
    np.testing.assert_allclose(sampled[0], pointwise[0], atol=1e-12)
    np.testing.assert_allclose(sampled[1], pointwise[1], atol=1e-12)


def test_many_measured_qubits_take_one_simulation_for_each_shift():
    spec = paper_circuit(num_qubits=6, num_layers=1, num_outputs=6)
    backend = AerBackend("s", shots=64)
    program = compile_program(backend, spec.circuit, tuple(spec.circuit.parameters), spec.observables)
    simulation = backend.simulation(program)
    assert simulation.simulator == "sweep"
    assert simulation.reason.startswith("state vectors for each shift, because 6 qubits are measured together")


def test_sixteen_measured_qubits_fit_in_memory():
    circuit = QuantumCircuit(16)
    circuit.ry(a := Parameter("a"), 0)
    for q in range(15):
        circuit.cx(q, q + 1)
    program = Program(circuit, (SparsePauliOp("Z" * 16),), (a,), (0,), 1)
    tracemalloc.start()
    evaluation = AerBackend("s", shots=100, simulator="sweep").evaluate(program, np.full((8, 1), 0.4), jacobian=True)
    assert tracemalloc.get_traced_memory()[1] < 500e6
    tracemalloc.stop()
    np.testing.assert_array_equal(evaluation.values, 1)  # all qubits are alike, and there are sixteen


def test_blocks_of_points_in_turn(monkeypatch):
    spec = paper_circuit(num_qubits=6, num_layers=1, num_outputs=6)
    parameters = tuple(spec.circuit.parameters)
    program = compile_program(AerBackend("s"), spec.circuit, parameters, spec.observables)
    program = replace(program, shifted=tuple(range(18)))
    points = np.random.default_rng(0).normal(size=(5, 24))
    exact = AerBackend("s").evaluate(program, points, jacobian=True)
    monkeypatch.setattr(sampled, "MOST_PROBABILITIES", 1)  # sample by sample
    drawn = AerBackend("s", shots=10_000).evaluate(program, points, jacobian=True, seed=1)
    np.testing.assert_allclose(drawn.values, exact.values, atol=6 / 100)
    np.testing.assert_allclose(drawn.jacobian, exact.jacobian, atol=6 / 100)


def test_very_many_shots():
    drawn = frequencies(np.array([[0.25, 0.75]] * 50), 10**9, np.random.default_rng(0))
    assert np.abs(drawn[:, 0] - 0.25).max() < 6 * np.sqrt(0.25 * 0.75 / 1e9)


@pytest.mark.parametrize(
    ("shots", "p"), [(1024, 0.3), (1024, 0.91), (1024, 0.004), (50, 0.5), (21, 0.49), (1, 0.3), (100_000, 0.2)]
)
def test_binomial_numbers(shots, p):
    drawn = np.rint(shots * frequencies(np.tile([p, 1 - p], (200_000, 1)), shots, np.random.default_rng(0))[:, 0])
    edges = stats.binom.ppf([0.0005, 0.9995], shots, p).astype(int)
    inner = np.arange(edges[0], edges[1] + 1)
    probabilities = np.array(
        [
            stats.binom.cdf(inner[0] - 1, shots, p),
            *stats.binom.pmf(inner, shots, p),
            stats.binom.sf(inner[-1], shots, p),
        ]
    )
    observed = np.array([(drawn < inner[0]).sum(), *((drawn == k).sum() for k in inner), (drawn > inner[-1]).sum()])
    likely = probabilities * len(drawn) > 8
    rest = ~likely
    observed = np.array([*observed[likely], observed[rest].sum()])
    probabilities = np.array([*probabilities[likely], probabilities[rest].sum()])
    used = probabilities * len(drawn) > 1
    assert (
        stats.chisquare(observed[used], probabilities[used] / probabilities[used].sum() * observed[used].sum()).pvalue
        > 1e-4
    )


def test_certain_and_impossible_outcomes():
    probabilities = np.array([[0.0, 1.0, 0.0, 0.0], [1.0, 0, 0, 0], [-1e-17, 0, 1 + 1e-16, 0], [0.5, 0, 0, 0.5]])
    drawn = frequencies(probabilities, 1000, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn[:3], [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]])
    assert drawn[3, 1] == drawn[3, 2] == 0
    np.testing.assert_allclose(drawn.sum(axis=1), 1)
