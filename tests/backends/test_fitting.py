"""Circuits that a backend cannot hold: refused by arithmetic, before anything is transpiled."""

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml import paper_circuit, quantum_layer
from qiskit_fedqml.backends.base import check_fits
from qiskit_fedqml.backends.broadcast import EstimatorBackend
from qiskit_fedqml.backends.calibration import fake_calibration
from qiskit_fedqml.backends.noise import noise_from_calibration, noise_from_rates
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.errors import BackendError

NOISE = noise_from_rates((0.01, 0.02), (0.0, 0.01), (0.02, 0.05))


@pytest.mark.parametrize(
    ("noise", "num_qubits", "num_bytes"), [(None, 40, "17,592,186,044,416"), (NOISE, 20, "17,592,186,044,416")]
)
def test_a_state_that_memory_cannot_hold(monkeypatch, noise, num_qubits, num_bytes):
    backend, spec = AerBackend("small", noise), paper_circuit(num_qubits, 1)
    monkeypatch.setattr(AerBackend, "transpile", lambda *_: pytest.fail("it was transpiled"))
    for ask in (lambda: check_fits(backend, spec.circuit, spec.observables), lambda: quantum_layer(spec, backend)):
        with pytest.raises(BackendError, match=f"'small': the state of a circuit of {num_qubits} qubits .*{num_bytes}"):
            ask()


def test_qubits_from_which_nothing_is_measured_take_no_memory():
    backend = AerBackend("ideal")
    wide = QuantumCircuit(1000)
    wide.h(range(1000))
    check_fits(backend, wide, [SparsePauliOp.from_sparse_list([("Z", [7], 1.0)], num_qubits=1000)])


def test_more_qubits_than_the_machine_has():
    backend = AerBackend("manila", noise_from_calibration(fake_calibration("FakeManilaV2"), "FakeManilaV2"))
    spec = paper_circuit(6)
    with pytest.raises(BackendError, match="circuit: the circuit has 6 qubits, and the backend 5"):
        check_fits(backend, spec.circuit, spec.observables)


class Failing(BaseEstimatorV2):
    def run(self, pubs, *, precision=None):
        raise TypeError("'NoneType' object is not subscriptable\nand more")


def test_errors_of_any_estimator_are_ours():
    for estimator, circuit, message in (
        (Failing(), paper_circuit(1, 1, num_outputs=1), "Failing failed with TypeError: 'NoneType' object is not"),
        (StatevectorEstimator(), paper_circuit(40, 1), "StatevectorEstimator failed with MemoryError: Unable to alloc"),
    ):
        network = quantum_layer(circuit, EstimatorBackend(estimator, 0.0)).neural_network
        with pytest.raises(BackendError, match=message) as caught:
            network.forward(np.zeros(circuit.num_inputs), np.zeros(circuit.num_weights))
        assert "\n" not in str(caught.value)
