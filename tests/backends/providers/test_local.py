import numpy as np
import pytest
from qiskit.primitives import BackendEstimatorV2
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_aer import AerSimulator

from qiskit_fedqml import AerBackend, paper_circuit, quantum_layer
from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.providers.local import LocalBackend
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.errors import BackendError
from tests.backends.providers.shop import Silent

SPEC = paper_circuit(2, 1, "ring", 2)
INPUTS = np.array([[0.3, -0.8], [1.1, 0.2]])
WEIGHTS = np.linspace(-1, 1, SPEC.num_weights)


def asked(backend, seed=7):
    """Return values and derivatives of a small circuit."""
    network = quantum_layer(SPEC, backend, initial_weights=WEIGHTS).neural_network
    network.reseed(seed)
    return np.concatenate(
        [np.ravel(part) for part in network.evaluate(INPUTS, WEIGHTS, jacobian=True) if part is not None]
    )


def program_on(backend):
    angles = GateAngles(SPEC.circuit, [*SPEC.input_params, *SPEC.weight_params])
    return compile_program(backend, angles.circuit, angles.params, SPEC.observables)


@pytest.mark.parametrize("simulator", [AerSimulator, BasicSimulator])
def test_values_are_those_of_the_machine_and_the_seed(simulator):
    backend = LocalBackend("mine", simulator(), 2000)
    one = asked(backend)
    assert np.array_equal(one, asked(LocalBackend("mine", simulator(), 2000)))
    assert not np.array_equal(one, asked(backend, seed=2**40))
    assert np.abs(one - asked(AerBackend("ideal"))).max() < 0.15  # 6 standard errors


def test_shots_are_the_options_own_or_the_users():
    assert LocalBackend("mine", AerSimulator(shots=99)).shots == 99
    assert LocalBackend("mine", AerSimulator(shots=99), 5).shots == 5
    program = program_on(AerBackend("ideal"))
    angles = np.ones((1, len(program.angles)))
    evaluation = LocalBackend("mine", AerSimulator(), 16).evaluate(program, angles, jacobian=False, seed=1)
    assert evaluation.executions == 16 * evaluation.circuits
    assert set(np.round(evaluation.values.ravel() * 8, 9) % 1) == {0.0}  # sixteenths of two


def test_success_is_known_where_errors_are_stated():
    backend = LocalBackend("mine", GenericBackendV2(3, seed=1))
    assert 0.5 < backend.success_probability(program_on(backend)) < 1
    silent = LocalBackend("mine", Silent())
    assert silent.success_probability(program_on(silent)) is None


def test_an_estimator_runs_on_its_machine():
    machine = GenericBackendV2(3, seed=1)
    estimator = BackendEstimatorV2(backend=machine, options={"seed_simulator": 3})
    backend = LocalBackend("mine", machine, 500, estimator)
    assert not backend.takes_seeds
    assert backend.describe()["seed"] == "its own"
    assert backend.estimator(1) is estimator
    assert np.array_equal(asked(backend, seed=1), asked(backend, seed=2))


def test_what_fails_is_named():
    with pytest.raises(BackendError, match=r"Backend 'mine' cannot take the circuit"):
        quantum_layer(paper_circuit(4, 1), LocalBackend("mine", GenericBackendV2(3, seed=1)))

    class Broken(GenericBackendV2):
        def run(self, run_input, **options):
            raise OSError("no power")

    with pytest.raises(BackendError, match="Backend 'mine' failed with OSError: no power"):
        asked(LocalBackend("mine", Broken(3, seed=1)))
