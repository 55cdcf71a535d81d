from types import SimpleNamespace

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.backends.packing.packed import PackedCircuit
from qiskit_fedqml.backends.program import Program

LEAK = 0.1


@pytest.fixture
def samples(script):
    """Return samples of two blocks of one qubit each, whose only gate is RY."""
    angle = Parameter("a")
    copies = []
    for qubit in (0, 1):
        circuit = QuantumCircuit(2)
        circuit.ry(angle, qubit)
        observable = SparsePauliOp.from_sparse_list([("Z", [qubit], 1.0)], 2)
        copies.append(Program(circuit, (observable,), (angle,), (0,), 1))
    program = Program(copies[0].circuit, copies[0].observables, (angle,), (0,), 1, tuple(copies))
    pair = SimpleNamespace(program=program, packed=PackedCircuit(copies))
    return script.Samples(pair, number=5, with_gradients=3)


def leaking(pub):
    """Return ⟨Z⟩ of each block, with a part of the other block's."""
    ((_, values),) = pub[2].items()
    own = np.cos(values.reshape(len(values), 2))
    return (own + LEAK * own[:, ::-1])[:, None]


@pytest.mark.parametrize("neighbour", ["another client", "one that stays"])
def test_a_neighbour_shifts_in_the_same_rows_or_stays(samples, neighbour):
    found = samples.evaluated(leaking, neighbour)
    own, other = (samples.angles[blocks].reshape(-1, 1) for blocks in ([0, 1], [1, 0]))
    assert found.values == pytest.approx(np.cos(own) + LEAK * np.cos(other))
    few = samples.angles[:, :3]
    expected = -np.sin(few) - (LEAK * np.sin(few[::-1]) if neighbour == "another client" else 0)
    assert found.gradients[:, 0] == pytest.approx(expected.reshape(-1, 1))


def test_other_shifts_of_the_same_samples_lie_side_by_side(samples):
    found = samples.evaluated(leaking, "the same samples").gradients.ravel()
    few = samples.angles[:, :3].ravel()
    neighbours = few.reshape(3, 2)[:, ::-1].ravel()  # samples fill both blocks in turn
    assert found == pytest.approx(-np.sin(few) - LEAK * np.sin(neighbours))


def test_errors(script):
    truth = script.Evaluated(np.array([[-1.0], [1.0]]), np.array([[[1.0, 0.0]]]))
    found = script.Evaluated(np.array([[-0.5], [0.7]]), np.array([[[3.0, 4.0]]]))
    line = script.Errors(found, truth).line()
    assert line["slope"] == pytest.approx(0.6)
    assert line["cosine_mean"] == line["cosine_min"] == pytest.approx(0.6)
    assert (line["values_mean"], line["values_max"]) == pytest.approx((0.4, 0.5))
    assert line["values_rms"] == pytest.approx(np.sqrt((0.25 + 0.09) / 2))


def test_shot_noise_is_that_of_sampled_values(script):
    rng, shots = np.random.default_rng(0), 64
    values = rng.uniform(-1, 1, (500, 2))
    of = script.shot_noise(script.Evaluated(values, np.zeros((1, 2, 1))), shots)
    sampled = [2 * rng.binomial(shots, (1 + values) / 2) / shots - 1 for _ in range(2)]
    assert of["values_rms"] == pytest.approx(np.sqrt(((sampled[0] - values) ** 2).mean()), rel=0.1)
    assert of["gradients_rms"] == pytest.approx((sampled[0] - sampled[1]).std() / 2, rel=0.1)
