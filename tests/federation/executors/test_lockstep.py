"""Clients in lockstep: one question for all of them at each step, and the models that they have alone."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from qiskit_fedqml import paper_circuit
from qiskit_fedqml.backends.base import JointBackend
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.config.circuit import PaperAnsatz
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.model import ModelConfig
from qiskit_fedqml.data.examples import Examples
from qiskit_fedqml.errors import BackendError, DataError
from qiskit_fedqml.federation.clients.client import train_client
from qiskit_fedqml.federation.clients.worker import Worker
from qiskit_fedqml.federation.executors.lockstep import train_together
from qiskit_fedqml.federation.messages import ClientTask, Status
from qiskit_fedqml.federation.steps.minibatch import Minibatch
from qiskit_fedqml.model.building import Blueprint

SIZES = {0: 6, 1: 2, 2: 5, 3: 4}
"""Examples of each client; batches hold 2."""


class JointMachine(AerBackend):
    """An exact machine with a queue, which evaluates several clients' questions together and writes down who asked."""

    is_joint = True
    calibration_date = "today"

    def __init__(self, fails_at=None):
        super().__init__("m")
        self.asked, self._fails_at, self.refreshed = [], fails_at, 0

    def candidates(self, circuit):
        return [self.transpile(circuit)]

    def together(self):
        return nullcontext()

    def close_round(self, round, failed_clients):
        pass

    def evaluate_jointly(self, program, asked, *, jacobian, key):
        self.asked.append((key, [of.client for of in asked], jacobian))
        if key.step == self._fails_at:
            raise BackendError("the job failed")
        return [self.evaluate(program, of.angles, jacobian=jacobian, seed=of.seed) for of in asked]

    def refresh(self):
        self.refreshed += 1


class Data:
    """Clients' examples, some of which cannot be read."""

    def __init__(self, unreadable=()):
        self._unreadable = unreadable

    def open(self, client):
        if client in self._unreadable:
            raise DataError(f"the examples of client {client} cannot be read")
        rng = np.random.default_rng(client)
        return Examples(rng.normal(size=(SIZES[client], 3)).astype(np.float32), np.arange(SIZES[client]) % 2)


def worker(machine, data=None, **config):
    spec = paper_circuit(num_qubits=2, num_layers=1)
    model = ModelConfig(hidden=(4,), dropout=0.3, circuit=PaperAnsatz(num_qubits=2, num_layers=1))
    blueprint = Blueprint(1, model, spec, 3, 2, np.zeros(1), np.ones(1))
    settings = FederationConfig(
        clients=4, clients_per_round=4, rounds=1, batch_size=2, learning_rate=0.1, local_epochs=2, **config
    )
    return Worker(blueprint, {"m": machine}, data or Data(), settings, Minibatch(), 7)


def tasks(clients=SIZES, *, trains=True):
    model = worker(JointMachine()).model_on("m")
    torch.manual_seed(0)
    state = {name: torch.randn_like(tensor) for name, tensor in model.trainable_state().items()}
    return [ClientTask(3, client, "m", dict(state), trains=trains) for client in clients]


def together(machine, some, data=None, **config):
    others = [worker(machine, data, **config) for _ in some]
    found = train_together(worker(machine, data, **config), others, some, machine)
    return {update.client_id: update for update in found}


def alone(some):
    return {task.client_id: train_client(worker(AerBackend("m")), task) for task in some}


def test_models_are_those_of_clients_alone():
    machine = JointMachine()
    assert isinstance(machine, JointBackend)
    updates, expected = together(machine, tasks()), alone(tasks())
    for client, update in expected.items():
        assert updates[client].train_loss == update.train_loss
        assert all(torch.equal(updates[client].state[name], tensor) for name, tensor in update.state.items())
        assert updates[client].usage.executions == update.usage.executions
    assert machine.refreshed == 1, "the calibration is read once a round"


def test_one_question_a_step_for_all_that_still_train():
    machine = JointMachine()
    together(machine, tasks())
    assert [clients for _, clients, _ in machine.asked] == [[0, 1, 2, 3]] * 2 + [[0, 2, 3]] * 2 + [[0, 2]] * 2
    keys = [key for key, _, _ in machine.asked]
    assert len(set(keys)) == len(keys)
    assert [(key.server_step, key.client, key.step, key.kind, key.clients) for key in keys[:3]] == [
        (3, None, 0, "train", (0, 1, 2, 3)),
        (3, None, 1, "train", (0, 1, 2, 3)),
        (3, None, 0, "train", (0, 2, 3)),
    ]


def test_tests_of_clients_are_joint_too():
    machine = JointMachine()
    updates = together(machine, tasks(trains=False))
    assert [update.status for update in updates.values()] == [Status.TESTED] * 4
    assert [(clients, jacobian) for _, clients, jacobian in machine.asked] == [([0, 1, 2, 3], False)]


def test_a_client_that_fails_leaves_the_others_alone():
    machine = JointMachine()
    broken = tasks()
    broken[1].state["head.0.weight"] = torch.full_like(broken[1].state["head.0.weight"], torch.nan)
    updates, expected = together(machine, broken), alone(tasks())
    assert updates[1].status is Status.REFUSED
    assert next(clients for _, clients, _ in machine.asked) == [0, 2, 3]
    for client in (0, 2, 3):
        assert torch.equal(updates[client].state["quantum.weight"], expected[client].state["quantum.weight"])


@pytest.mark.parametrize("step", [0, 1])
def test_a_job_that_fails_fails_for_all_that_asked(step):
    machine = JointMachine(fails_at=step)
    updates = together(machine, tasks(), on_client_failure="skip")
    first = [client for client, update in updates.items() if update.reason == "the job failed"]
    assert set(first) == {0, 1, 2, 3}
    assert all(update.status is Status.FAILED and update.state is None for update in updates.values())


def test_what_ends_the_run_ends_all_clients():
    with pytest.raises(BackendError, match=r"Round 3, client \d, backend 'm': the job failed"):
        together(JointMachine(fails_at=1), tasks())
    with pytest.raises(DataError, match="client 2 cannot be read"):
        together(JointMachine(), tasks(), Data(unreadable=[2]))
