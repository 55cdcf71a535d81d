"""Clients of one simulated machine in a stack: the updates that they give alone, to rounding."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from qiskit_fedqml.backends.noise import noise_from_rates
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.config.circuit import PaperAnsatz
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.model import ModelConfig
from qiskit_fedqml.data.examples import Examples
from qiskit_fedqml.errors import BackendError, DataError, TimeLimitError
from qiskit_fedqml.federation.clients.client import train_client
from qiskit_fedqml.federation.clients.stacked import train_stacked
from qiskit_fedqml.federation.clients.worker import Worker
from qiskit_fedqml.federation.executors.groups import train_group
from qiskit_fedqml.federation.messages import ClientTask, Status
from qiskit_fedqml.federation.steps.opening import open_step
from qiskit_fedqml.model.building import Blueprint
from qiskit_fedqml.model.circuit import circuit_for

SIZES = {0: 5, 1: 2, 2: 6, 3: 4, 4: 1}
"""Examples of each client; batches hold 3, so that steps differ in number and size."""
NOISE = noise_from_rates((0.002, 0.01), (0.001, 0.003), (0.01, 0.03))


class Data:
    """Clients' examples; one client's cannot be read."""

    def open(self, client):
        if client == 9:
            raise DataError("the examples of client 9 cannot be read")
        rng = np.random.default_rng(client)
        size = SIZES.get(client, 0)
        return Examples(rng.normal(size=(size, 3)).astype(np.float32), np.arange(size) % 2)


class Failing(AerBackend):
    """A machine that fails at an evaluation."""

    def __init__(self, at):
        super().__init__("m")
        self.left = at

    def evaluate_jointly(self, *args, **kwargs):
        self.left -= 1
        if self.left < 0:
            raise BackendError("the simulator failed")
        return super().evaluate_jointly(*args, **kwargs)


class Closed(dict):
    """Backends that cannot be opened."""

    def __missing__(self, name):
        raise BackendError("no such machine")


def worker(machine=None, model=None, **config):
    small = {"hidden": (4,), "dropout": 0.3, "circuit": PaperAnsatz(num_qubits=2, num_layers=1)}
    model = ModelConfig(**small | (model or {}))
    blueprint = Blueprint(1, model, circuit_for(model, 2), 3, 2, np.full(1, 0.1), np.full(1, 0.9))
    few = {"clients": 5, "clients_per_round": 5, "rounds": 3, "batch_size": 3, "learning_rate": 0.1, "local_epochs": 2}
    settings = FederationConfig(**few | config)
    return Worker(blueprint, {"m": machine or AerBackend("m")}, Data(), settings, open_step(settings), 7)


def tasks(of, clients=SIZES, **states):
    torch.manual_seed(0)
    state = {name: torch.randn_like(tensor) / 2 for name, tensor in of.model_on("m").trainable_state().items()}
    return [ClientTask(3, client, "m", state, client_states=states.get(f"of_{client}", {})) for client in clients]


def in_groups(worker, tasks):
    return [update for updates in train_group(worker, tasks) for update in updates]


def stacked(of, some):
    return list(train_stacked(of, some, partial(train_client, of)))


def alone(of, some):
    return [train_client(of, task) for task in some]


def assert_same(updates, expected, tolerance=2e-6):
    for update, other in zip(updates, expected, strict=True):
        assert update.status is other.status
        assert update.reason == other.reason
        without = {"state": None, "client_states": {}, "seconds": 0.0, "train_loss": None}
        assert replace(update, **without) == replace(other, **without)
        if other.train_loss is not None:
            assert update.train_loss == pytest.approx(other.train_loss, rel=tolerance)
        of_states = [
            (update.state, other.state),
            *((update.client_states[n], s) for n, s in other.client_states.items()),
        ]
        assert update.client_states.keys() == other.client_states.keys()
        for state, as_alone in of_states:
            assert (state is None) == (as_alone is None)
            assert list(state or {}) == list(as_alone or {})
            for name, tensor in (as_alone or {}).items():
                assert state[name].shape == tensor.shape
                torch.testing.assert_close(state[name], tensor, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"hidden": (), "dropout": 0.0},
        {"hidden": (5, 4), "dropout": 0.5},
        {"quantum": "frozen"},
        {"quantum": "classical", "circuit": PaperAnsatz(num_qubits=2, num_layers=2)},
        {"quantum": "classical", "circuit": PaperAnsatz(num_qubits=3, num_layers=1)},  # a unit without bias, in part
        {"quantum": "classical", "circuit": PaperAnsatz(num_qubits=3, num_layers=2)},  # with biases
    ],
    ids=str,
)
@pytest.mark.parametrize("machine", [AerBackend("m"), AerBackend("m", NOISE, 64)], ids=["exact", "shots"])
def test_updates_are_those_of_clients_alone(model, machine):
    of = worker(machine, model)
    some = tasks(of)
    assert_same(stacked(of, some), alone(of, some))


@pytest.mark.parametrize(
    "config",
    [
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.9, "client_optimizer_state": "keep"},
        {"optimizer": "adam", "weight_decay": 0.1, "learning_rate_decay": 0.5, "client_optimizer_state": "keep"},
        {"optimizer": "rmsprop", "momentum": 0.5, "client_optimizer_state": "keep"},
        {"proximal_mu": 0.5},
        {"batch_size": 10, "local_epochs": 1},
    ],
    ids=str,
)
def test_optimisers_are_those_of_clients_alone(config):
    of = worker(**{"learning_rate": 0.02} | config)
    some = tasks(of)
    expected = alone(of, some)
    assert_same(stacked(of, some), expected)
    kept = {update.client_id: update.client_states for update in expected}
    alike = [task for task in some if task.client_id in (1, 3 if config.get("batch_size") else 4)]  # as many steps
    again = [replace(task, server_step=4, client_states=kept[task.client_id]) for task in alike]
    assert_same(stacked(of, again), alone(of, again))


def test_states_that_clients_keep_are_copies():
    of = worker(client_optimizer_state="keep")
    updates = stacked(of, tasks(of))
    tensors = [t for u in updates for s in (u.state, *u.client_states.values()) for t in s.values()]
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == len(tensors)


def test_a_client_that_is_not_finite_leaves_the_others_alone():
    of = worker()
    some = tasks(of)
    broken = {**some[2].state, "head.0.weight": torch.full_like(some[2].state["head.0.weight"], torch.nan)}
    spoiled = [replace(task, state=broken) if task.client_id == 2 else task for task in some]
    updates, expected = stacked(of, spoiled), alone(of, spoiled)
    assert updates[2].status is Status.REFUSED
    assert_same(updates, expected)


def test_angles_that_overflow_are_refused_as_alone():
    of = worker(local_epochs=1, batch_size=10, optimizer="sgd", learning_rate=1e6)
    some = tasks(of)
    far = {**some[0].state, "quantum.weight": torch.full_like(some[0].state["quantum.weight"], torch.inf)}
    spoiled = [replace(some[0], state=far), *some[1:]]
    updates = stacked(of, spoiled)
    assert updates[0].reason == "Inputs and weights must be finite, but some are NaN or infinite."
    assert [update.status for update in updates[1:]] == [Status.OK] * 4


def test_a_client_without_examples_is_refused_as_alone():
    of = worker()
    some = tasks(of, [0, 8, 3])
    updates = stacked(of, some)
    assert updates[1].reason == "the update is not finite"
    assert_same(updates, alone(of, some))


def test_a_backend_that_fails_fails_for_all_that_asked():
    of = worker(Failing(2), on_client_failure="skip")
    updates = in_groups(of, tasks(of))
    assert [update.status for update in updates] == [Status.FAILED, Status.OK, Status.FAILED, Status.FAILED, Status.OK]
    assert updates[0].reason == "the simulator failed"
    assert updates[0].usage.jobs == 2
    of = worker(Failing(0))
    with pytest.raises(BackendError, match="Round 3, client 0, backend 'm': the simulator failed"):
        in_groups(of, tasks(of))


def test_clients_that_train_for_too_long_fail_together():
    of = worker(client_seconds=1e-9, on_client_failure="skip")
    updates = in_groups(of, tasks(of))
    assert {update.status for update in updates} == {Status.FAILED}
    assert updates[0].reason == "it trained for longer than `federation.client_seconds` (1e-09 s)"
    of = worker(client_seconds=1e-9)
    with pytest.raises(TimeLimitError, match="Round 3, client 0, backend 'm': it trained for longer"):
        in_groups(of, tasks(of))


def test_a_backend_that_cannot_be_opened_fails_for_each_client():
    some, of = tasks(worker()), worker(on_client_failure="skip")
    of.backends = Closed()
    updates = in_groups(of, some)
    assert [(update.status, update.reason) for update in updates] == [(Status.FAILED, "no such machine")] * 5


def test_examples_that_cannot_be_read_end_the_run():
    of = worker()
    with pytest.raises(DataError, match="client 9 cannot be read"):
        in_groups(of, tasks(of, [0, 9, 1]))


def test_torch_has_its_threads_again_afterwards():
    before = torch.get_num_threads()
    of = worker(Failing(0))
    with pytest.raises(BackendError):
        in_groups(of, tasks(of))
    assert torch.get_num_threads() == before
