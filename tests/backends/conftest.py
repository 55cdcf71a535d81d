"""What tests of IBM Quantum devices share: the loopback server, backends on it, and the table of failures."""

import numpy as np
import pytest

from qiskit_fedqml import paper_circuit, quantum_layer
from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.devices.dispatch import Dispatcher
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.config.backends import BackendsFile

FAST = {"poll_seconds": 0.1, "outage_seconds": 20, "request_seconds": 20}


@pytest.fixture(scope="module")
def _running_server():
    pytest.importorskip("qiskit_ibm_runtime.executor_estimator", reason="the loopback server runs the executor's jobs")
    from tests.ibm_server import IBMServer

    with IBMServer({"ibm_manila": "FakeManilaV2", "ibm_quito": "FakeQuitoV2"}) as running:
        yield running


@pytest.fixture
def server(_running_server, monkeypatch):
    """A loopback server of two devices, to which the environment leads; as new, but with its simulators built."""
    _running_server.reset()
    for name, value in _running_server.environment.items():
        monkeypatch.setenv(name, value)
    yield _running_server
    _running_server.reset()


class Client:
    """One device's backend with its dispatcher, asking for values and derivatives of a small circuit."""

    spec = paper_circuit(2, 1, "ring", 2)
    inputs = np.array([[0.3, -0.8], [1.1, 0.2]])
    weights = np.linspace(-1, 1, spec.num_weights)

    def __init__(self, journal=None, budget=None, **entry):
        entry = {
            "type": "ibm",
            "device": "ibm_manila",
            "shots": 32,
            **entry,
            "waiting": FAST | entry.get("waiting", {}),
        }
        file = BackendsFile.model_validate({"backends": {"ideal": {"type": "aer"}, "mine": entry}})
        self.told = []
        self.dispatcher = Dispatcher(Journal(journal), budget, self.told.append)
        self.registry = BackendRegistry(file, None, self.dispatcher)
        self.backend = self.registry["mine"]
        self.network = quantum_layer(self.spec, self.backend, initial_weights=self.weights).neural_network

    @classmethod
    def quick(cls, journal=None, **entry):
        """Return a client that polls often and gives up early."""
        waiting = {"poll_seconds": 0.02, "outage_seconds": 5} | entry.pop("waiting", {})
        return cls(journal, waiting=waiting, layout_trials=1, **entry)

    def ask(self, round=1, rows=2, jacobian=True):
        """Return values and derivatives as one flat array."""
        self.network.reseed(7, JobKey(round, 4, 0, "train"))
        parts = self.network.evaluate(self.inputs[:rows], self.weights, jacobian=jacobian)
        return np.concatenate([part.ravel() for part in parts if part is not None])

    @property
    def journal(self):
        return self.dispatcher.journal


@pytest.fixture(scope="session")
def undisturbed():
    """What the small circuit gives when nothing goes wrong: a rehearsal, whose outcomes are the server's."""
    return Client(device="FakeManilaV2").ask()
