"""Machines of a user's own, as functions and classes that configurations name."""

from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

from qiskit_fedqml.backends.simulated.aer import AerBackend


def noise_model(rate=0.05):
    """Depolarising gates, and readout errors of both kinds."""
    model = NoiseModel(basis_gates=["rz", "sx", "x", "cx"])
    model.add_all_qubit_quantum_error(depolarizing_error(rate, 2), ["cx"])
    model.add_all_qubit_quantum_error(depolarizing_error(rate / 10, 1), ["sx", "x"])
    model.add_all_qubit_readout_error(ReadoutError([[0.98, 0.02], [0.05, 0.95]]))
    return model


def noisy_simulator():
    return AerSimulator(noise_model=noise_model(), shots=128)


def product_state_simulator():
    return AerSimulator(method="matrix_product_state", shots=64)


def generic(seed=1):
    return GenericBackendV2(3, seed=seed)


def basic():
    return BasicSimulator()


def estimator(seed=7):
    return StatevectorEstimator(seed=seed)


def sampler():
    return StatevectorSampler()


def broken():
    raise OSError("no machine today")


class Own:
    """A backend by this package's protocol."""

    simulator = "mine"
    shots = None

    def __init__(self, name="own"):
        self.name, self._inner = name, AerBackend(name)

    def describe(self):
        return {"name": "the user's own", "num_qubits": 4}

    def transpile(self, circuit):
        return self._inner.transpile(circuit)

    def success_probability(self, program):
        return 0.9

    def estimator(self, seed=None):
        return self._inner.estimator(seed)

    def evaluate(self, program, angles, *, jacobian, seed=None, key=None):
        return self._inner.evaluate(program, angles, jacobian=jacobian, seed=seed, key=key)
