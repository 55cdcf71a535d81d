"""What several clients ask of a simulated machine at once is what each of them gets alone, shots included."""

import numpy as np
import pytest

from qiskit_fedqml.backends.base import SimulatedBackend, compile_program
from qiskit_fedqml.backends.calibration import fake_calibration
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.noise import noise_from_calibration, noise_from_rates
from qiskit_fedqml.backends.program import Asked
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.circuits.paper import paper_circuit
from qiskit_fedqml.config.blocks import Blocks
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation import sampled

NOISE = noise_from_rates((0.002, 0.01), (0.001, 0.003), (0.01, 0.03))
SIZES = (3, 1, 4)


def compiled(backend, num_qubits=2, num_outputs=2):
    spec = paper_circuit(num_qubits, 1, num_outputs=num_outputs)
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    return compile_program(backend, angles.circuit, angles.params, spec.observables)


def questions(program):
    rng = np.random.default_rng(0)
    return [Asked(rng.normal(size=(size, len(program.angles))), 5 + k, k) for k, size in enumerate(SIZES)]


def assert_as_alone(backend, program, **changes):
    asked, key = questions(program), JobKey(1, None, 0, "train", (0, 1, 2))
    found = backend.evaluate_jointly(program, asked, jacobian=True, key=key)
    for of, evaluation in zip(asked, found, strict=True):
        own = JobKey(1, of.client, 0, "train")
        alone = backend.evaluate(program, of.angles, jacobian=True, seed=of.seed, key=own)
        np.testing.assert_allclose(evaluation.values, alone.values, rtol=0, atol=1e-12)
        np.testing.assert_allclose(evaluation.jacobian, alone.jacobian, rtol=0, atol=1e-12)
        assert (evaluation.circuits, evaluation.executions) == (alone.circuits, alone.executions)
        assert evaluation.simulator == alone.simulator


@pytest.mark.parametrize("noise", [None, NOISE], ids=["ideal", "noisy"])
@pytest.mark.parametrize("shots", [None, 50])
@pytest.mark.parametrize("simulator", ["sweep", "aer"])
def test_answers_are_those_of_clients_alone(noise, shots, simulator):
    backend = AerBackend("m", noise, shots, simulator=simulator)
    assert isinstance(backend, SimulatedBackend)
    assert_as_alone(backend, compiled(backend))


def test_shots_of_each_shift_on_its_own():
    backend = AerBackend("m", None, 20)
    assert_as_alone(backend, compiled(backend, 5, 5))


def test_clients_with_blocks_of_their_own():
    noise = noise_from_calibration(fake_calibration("FakeJakartaV2"), "jakarta")
    backend = AerBackend("m", noise, 50, blocks=Blocks(spread="clients"))
    backend.give_blocks_to([0, 1, 2])
    program = compiled(backend)
    assert len(program.copies) > 1
    assert_as_alone(backend, program)


def test_many_probabilities_are_computed_in_parts(monkeypatch):
    monkeypatch.setattr(sampled, "MOST_PROBABILITIES", 300)
    backend = AerBackend("m", NOISE, 50)
    assert_as_alone(backend, compiled(backend))


def test_parts_hold_whole_clients():
    assert list(sampled._runs([3, 1, 4, 1], 4)) == [slice(0, 2), slice(2, 3), slice(3, 4)]
    assert list(sampled._runs([9, 1], 4)) == [slice(0, 1), slice(1, 2)]


def test_errors_name_the_backend():
    backend = AerBackend("m")
    program = compiled(backend)
    with pytest.raises(BackendError, match=r"^Backend 'm': Argument `angles` must have shape"):
        backend.evaluate_jointly(program, [Asked(np.zeros((1, 99)), 0, 0)], jacobian=True)
