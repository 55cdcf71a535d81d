"""What the tests of real providers share: values against the same program in Aer, and a round of digits."""

import numpy as np

from qiskit_fedqml import load_experiment, paper_circuit, quantum_layer, run_federation
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.federation.messages import Status
from tests.backends.providers.conftest import Customer
from tests.conftest import ROOT


class Paper(Customer):
    """The paper's circuit of four qubits."""

    spec = paper_circuit()
    inputs = np.random.default_rng(0).uniform(-1, 1, (2, 4))
    weights = np.random.default_rng(1).uniform(-np.pi, np.pi, spec.num_weights)


def deviations(factory, noise=None, shots=1024, **entry):
    """Return how far values and derivatives are from Aer's, in standard errors of a value.

    With noise Aer runs the same program with that noise; without it, the circuit as it is, exactly.
    """
    paper = Paper(factory, shots=shots, **entry)
    network = paper.network
    angles = network.angles.values(np.hstack([paper.inputs, np.tile(paper.weights, (2, 1))]))
    got = paper.backend.evaluate(network.program, angles, jacobian=True)
    aer = AerBackend("aer", noise, simulator="sweep" if noise is None else "aer")
    layer = quantum_layer(paper.spec, aer, initial_weights=paper.weights).neural_network
    expected = aer.evaluate(layer.program if noise is None else network.program, angles, jacobian=True)
    assert got.circuits == 2 * (1 + 2 * len(network.program.shifted))
    errors = [got.values - expected.values, got.jacobian - expected.jacobian]
    return np.concatenate([error.ravel() for error in errors]) * np.sqrt(shots)


def round_of_digits(folder, entry):
    """Return the record of one round of the digits experiment with all clients on a machine, and its journal."""
    array = {"ideal": {"type": "aer"}, "mine": {"type": "backend", **entry}}
    file = {"backends": array, "assignment": {"default": "mine"}}
    experiment = load_experiment(ROOT / "experiments" / "digits.yaml", {"backends": file, "federation.rounds": 1})
    (record,) = run_federation(experiment, folder).rounds
    assert [client.status for client in record.clients] == [Status.OK] * 5
    assert {client.simulator for client in record.clients} == {"provider"}
    return record, Journal(folder / "journal.sqlite").all()
