import numpy as np
import pytest
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

from qiskit_fedqml.backends.calibration import fake_calibration
from qiskit_fedqml.backends.noise import noise_from_calibration
from qiskit_fedqml.backends.simulated.models import noise_digest, simulated_machine
from qiskit_fedqml.errors import BackendError
from tests.own_machines import noise_model


def test_a_fake_device_has_the_noise_of_its_calibration():
    machine = simulated_machine(FakeManilaV2(), None)
    assert machine.shots == 1024
    assert noise_digest(machine.noise) == noise_digest(
        noise_from_calibration(fake_calibration("FakeManilaV2"), "FakeManilaV2")
    )


def test_a_simulator_of_a_device_keeps_its_couplings():
    machine = simulated_machine(AerSimulator.from_backend(FakeManilaV2(), shots=50), None)
    assert machine.shots == 50
    assert machine.noise.target.num_qubits == 5
    assert machine.noise.gate_errors["cx", (0, 1)] is not None
    without = simulated_machine(GenericBackendV2(3, coupling_map=[[0, 1], [1, 2]], noise_info=False), 7)
    assert without.shots == 7
    assert without.noise.target.num_qubits == 3


def test_an_ideal_simulator_is_ideal():
    machine = simulated_machine(AerSimulator(), None)
    assert (machine.noise, machine.shots) == (None, 1024)


@pytest.mark.parametrize(
    "options",
    [{"method": "matrix_product_state"}, {"method": "stabilizer"}, {"zero_threshold": 1e-3}, {"precision": "single"}],
)
def test_a_simulator_with_options_of_its_own_runs_by_itself(options):
    assert simulated_machine(AerSimulator(**options), None) is None
    assert simulated_machine(BasicSimulator(), None) is None


def test_noise_that_cannot_be_simulated_here_is_left_to_aer():
    model = NoiseModel()
    model.add_readout_error(ReadoutError(np.full((4, 4), 0.25)), [0, 1])
    assert simulated_machine(AerSimulator(noise_model=model), None) is None
    with pytest.raises(BackendError, match="readout error of qubits .* together"):
        simulated_machine(model, None)


def test_a_digest_is_that_of_the_channels():
    noises = [simulated_machine(noise_model(rate), None).noise for rate in (0.05, 0.05, 0.06)]
    one, again, other = map(noise_digest, noises)
    assert one == again != other
    readout = noise_model()
    readout.add_readout_error(ReadoutError([[0.9, 0.1], [0.1, 0.9]]), [1])
    assert noise_digest(simulated_machine(readout, None).noise) != one
    local = noise_model()
    local.add_quantum_error(depolarizing_error(0.1, 2), ["cx"], [0, 1], warnings=False)
    assert noise_digest(simulated_machine(local, None).noise) != one
