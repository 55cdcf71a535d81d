"""A small circuit on a provider's machine."""

import numpy as np
import pytest

from qiskit_fedqml import paper_circuit, quantum_layer
from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.devices.dispatch import Dispatcher
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.config.backends import BackendsFile

SHOP = "tests.backends.providers.shop"


class Customer:
    """A provider's backend with its dispatcher, asking for values and derivatives of a small circuit."""

    spec = paper_circuit(2, 1, "ring", 2)
    inputs = np.array([[0.3, -0.8], [1.1, 0.2]])
    weights = np.linspace(-1, 1, spec.num_weights)

    def __init__(self, factory="Shop", journal=None, budget=None, **entry):
        entry = {
            "type": "backend",
            "factory": factory if ":" in factory else f"{SHOP}:{factory}",
            "shots": 64,
            "layout_trials": 1,
            "waiting": {"poll_seconds": 0.01, "outage_seconds": 0.3},
            **entry,
        }
        array = {"backends": {"ideal": {"type": "aer"}, "mine": entry}}
        self.file = BackendsFile.model_validate(array | (budget or {}))
        self.dispatcher = Dispatcher(Journal(journal))
        self.registry = BackendRegistry(self.file, None, self.dispatcher)
        self.backend = self.registry["mine"]
        self.network = quantum_layer(self.spec, self.backend, initial_weights=self.weights).neural_network

    def ask(self, round=1, rows=2, jacobian=True):
        """Return values and derivatives as one flat array."""
        self.network.reseed(7, JobKey(round, 4, 0, "train"))
        parts = self.network.evaluate(self.inputs[:rows], self.weights, jacobian=jacobian)
        return np.concatenate([part.ravel() for part in parts if part is not None])

    @property
    def vendor(self):
        return self.backend.machine.qiskit_backend

    @property
    def submissions(self):
        return self.dispatcher.journal.all()


@pytest.fixture
def customer(tmp_path):
    """Return a function that makes a customer of a shop in this test's folder; all of them share a journal."""
    (tmp_path / "shop").mkdir()

    def make(factory="Shop", *, arguments=None, **entry):
        own = {"folder": str(tmp_path / "shop"), **(arguments or {})} if factory in ("Shop", "Vendor", "Keeper") else {}
        return Customer(factory, tmp_path / "journal.sqlite", arguments=own or (arguments or {}), **entry)

    return make
