"""Runs whose examples are private: what leaves a client, the same bits, what is spent, and what is refused."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from qiskit_fedqml import FedQMLError, resume_federation, run_federation
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.data.examples import Examples
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.federation.clients.client import train_client
from qiskit_fedqml.federation.messages import Status
from qiskit_fedqml.federation.runs.assembly import assemble
from qiskit_fedqml.federation.runs.resuming import extend_federation
from qiskit_fedqml.privacy.spending import PrivacyBudget, Spending
from qiskit_fedqml.results.result import RunResult
from tests.conftest import make_tiny

OPTIONS = {"noise_multiplier": 1.0, "max_norm": 1.0, "sampling_rate": 0.25}
NOISY = {
    "backends": {"noisy": {"type": "aer", "noise": "FakeManilaV2", "shots": 32}},
    "assignment": {"server": "noisy", "default": "noisy"},
}


def private(*, randomness="simulated", options=None, epsilon=None, **more):
    privacy = {"delta": 1e-5, "randomness": randomness, "examples": OPTIONS | (options or {})}
    if epsilon is not None:
        privacy["epsilon"] = epsilon
    return make_tiny(**{"aggregation__weights": "uniform", "privacy": privacy, **more})


def as_numbers(result):
    return [record.without_times() for record in result.rounds], result.final_state


def same(first, second):
    (records, state), (others, other) = as_numbers(first), as_numbers(second)
    return records == others and all(torch.equal(tensor, other[name]) for name, tensor in state.items())


def test_an_update_says_nothing_of_the_examples_but_what_noise_hides(tmp_path):
    run = run_federation(private(), tmp_path / "run")
    for record in run.rounds:
        assert (record.train_loss, record.examples, record.circuits, record.executions) == (None, 0, 0, 0)
        assert {(c.examples, c.train_loss, c.accuracy, c.share) for c in record.clients} == {(0, None, None, 0.5)}
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "class_counts" not in described
    assert "train" not in described["data"]
    assert "train" not in described["examples"]
    stored = RunResult.load(tmp_path / "run")
    assert stored.class_counts == {}
    assert stored.never_trained == ""
    assert stored.report(tmp_path / "report").exists()


def test_records_say_what_is_spent():
    run = run_federation(private(federation__clients=2))
    epsilons = [record.epsilon for record in run.rounds]
    assert 0 < epsilons[0] < epsilons[1]
    assert epsilons[0] == pytest.approx(assemble(run.experiment, None, None).privacy.accountant.epsilon(4))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"hidden": [4], "dropout": 0.25, "quantum": "none"}},
        {"model": {"hidden": [4], "quantum": "frozen", "circuit": {"num_qubits": 2, "num_layers": 1}}},
        {"model": {"hidden": [4], "quantum": "classical", "circuit": {"num_qubits": 2, "num_layers": 2}}},
        {"backends": NOISY},
        {"federation__proximal_mu": 0.1, "federation__local_epochs": 2},
        {"federation__optimizer": "sgd", "federation__client_optimizer_state": "keep", "federation__momentum": 0.5},
        {"aggregation": {"rule": "coordinate_median"}},
        {"model": {"head": {"python": "tests.own_parts:own_head"}, "circuit": {"num_qubits": 2, "num_layers": 1}}},
    ],
)
def test_models_machines_and_rules_go_together_with_it(changes):
    run = run_federation(private(**changes))
    assert all(client.status is Status.OK for record in run.rounds for client in record.clients)
    assert np.isfinite(run.final.test_loss)
    assert same(run, run_federation(private(**changes)))


@pytest.mark.slow
def test_processes_give_the_same_bits_and_the_systems_noise_never_does():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        serial = run_federation(private(backends=NOISY))
        assert same(serial, run_federation(private(backends=NOISY, federation__workers=2)))
        first, second = (run_federation(private(randomness="system")) for _ in range(2))
        assert not same(first, second)
        assert [record.epsilon for record in first.rounds] == [record.epsilon for record in second.rounds]
    finally:
        torch.set_num_threads(threads)


def test_empty_batches_and_clients_without_examples_send_noise():
    federation = assemble(private(options={"sampling_rate": 0.001}, federation__rounds=1), None, None)
    worker = federation.executor.worker
    options = worker.privacy.examples.model_copy(update={"sampling_rate": 0.05})
    task = federation.algorithm.next_tasks(federation.initial)[0]
    with_few = replace(
        worker, step=replace(worker.step, config=worker.privacy.model_copy(update={"examples": options}))
    )

    nothing = Nothing(federation.data.test.features[:0], np.empty(0, np.int64))
    for data in (federation.data.clients, SimpleNamespace(open=lambda client: nothing)):
        update = train_client(replace(with_few, data=data), task)
        assert update.status is Status.OK
        assert update.num_examples == 0
        assert all(not torch.equal(update.state[name], tensor) for name, tensor in task.state.items())


class Nothing(Examples):
    """No examples, of which none may be asked for."""

    def take(self, positions):
        assert not len(positions)
        return self


def interrupted(experiment, folder, after=1):
    """Run until a client of the round after ``after`` rounds has trained, and be interrupted there."""

    class Stop(Exception):
        pass

    class Interrupting:
        def __getattr__(self, name):
            return lambda *args: None

        def client_finished(self, client):
            if self.round > after:
                raise Stop

        def round_started(self, step, *_):
            self.round = step

    with pytest.raises(Stop):
        run_federation(experiment, folder, observer=Interrupting())


def test_a_simulated_run_is_resumed_to_the_same_bits(tmp_path):
    whole = run_federation(private(federation__rounds=3), tmp_path / "whole")
    interrupted(private(federation__rounds=3), tmp_path / "half")
    assert same(whole, resume_federation(tmp_path / "half"))


def test_what_an_interrupted_round_released_counts(tmp_path):
    experiment = private(randomness="system", federation__clients=2, federation__rounds=3)
    interrupted(experiment, tmp_path / "half")
    before = RunResult.load(tmp_path / "half")
    resumed = resume_federation(tmp_path / "half")
    budget = assemble(experiment, None, None).privacy
    assert before.rounds[0].epsilon == pytest.approx(budget.accountant.epsilon(4))
    assert [r.epsilon for r in resumed.rounds] == pytest.approx([budget.accountant.epsilon(4 * k) for k in (2, 3, 4)])
    assert len(RunResult.load(tmp_path / "half").rounds) == 3


def test_a_ceiling_ends_the_run_before_it_is_passed(tmp_path):
    budget = assemble(private(federation__clients=2), None, None).privacy
    most = budget.accountant.epsilon(8) + 1e-6
    experiment = private(federation__clients=2, federation__rounds=9, epsilon=most)
    run = run_federation(experiment, tmp_path / "run")
    assert len(run.rounds) == 2
    assert run.final.epsilon <= most < run.final.next_epsilon
    assert "one more would spend ε" in run.ended_early
    assert run.is_complete
    with pytest.raises(FedQMLError, match="cannot have more rounds. Ended after round 2 of 9"):
        extend_federation(tmp_path / "run", 12)
    with pytest.raises(ConfigurationError, match="first round would spend"):
        run_federation(private(federation__clients=2, epsilon=budget.accountant.epsilon(4) / 2))


class Mixing(nn.Module):
    """Subtracts the batch's mean: no example stays alone."""

    def __init__(self, num_features, num_outputs):
        super().__init__()
        self.linear = nn.Linear(num_features, num_outputs)

    def forward(self, features):
        return self.linear(features - features.mean(dim=0))


class Borrowing(nn.Module):
    """Uses a layer's weights outside the layer."""

    def __init__(self, num_features, num_outputs):
        super().__init__()
        self.linear = nn.Linear(num_features, num_outputs)

    def forward(self, features):
        return self.linear(features) + features @ self.linear.weight.t()


def normed(num_features, num_outputs):
    return nn.Sequential(nn.Linear(num_features, num_outputs), nn.BatchNorm1d(num_outputs, track_running_stats=False))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("normed", "BatchNorm cannot support training with differential privacy"),
        ("Mixing", "what it gives for one example depends on the others of the batch"),
        ("Borrowing", "gradients of single examples of 'linear.weight' do not add up"),
    ],
)
def test_a_head_that_mixes_examples_is_refused(head, message):
    model = {"head": {"python": f"{__name__}:{head}"}, "circuit": {"num_qubits": 2, "num_layers": 1}}
    with pytest.raises(ConfigurationError, match=f"`model.head` cannot come with `privacy.examples`: .*{message}"):
        assemble(private(model=model), None, None)
    assemble(Experiment.model_validate(make_tiny(model=model).resolved()), None, None)


def test_reasons_of_other_peoples_errors_are_not_sent():
    federation = assemble(private(federation__on_client_failure="skip"), None, None)
    worker, task = federation.executor.worker, federation.algorithm.next_tasks(federation.initial)[0]

    def opened(client):
        raise ValueError("patient 17 has no label")

    worker.data = SimpleNamespace(open=opened)
    update = train_client(worker, task)
    assert (update.status, update.reason) == (Status.FAILED, "ValueError")


def test_nodes_without_a_server_protect_their_examples_too(tmp_path):
    graph = {"gossip": {"graph": "ring"}}
    ring = {"federation__clients_per_round": 4, "federation__algorithm": graph, "aggregation__weights": "examples"}
    run = run_federation(private(**ring), tmp_path / "run")
    assert run.final.epsilon == pytest.approx(_budget(private(**ring)).epsilon(_spent(run)))
    assert run.final.nodes.messages == 8
    run_federation(private(**ring, federation__rounds=1), tmp_path / "one")
    assert same(extend_federation(tmp_path / "one", 2), run)


def _budget(experiment):
    return PrivacyBudget(experiment.privacy, experiment.federation)


def _spent(run):
    return Spending(0, dict.fromkeys(range(4), len(run.rounds)))


@pytest.mark.slow
def test_an_interrupted_round_on_a_device_asks_again_without_its_old_jobs(tmp_path):
    entry = {"type": "ibm", "device": "FakeManilaV2", "shots": 16}
    backends = {"backends": {"exact": {"type": "aer"}, "device": entry}}
    backends["assignment"] = {"server": "exact", "default": "device"}
    few = {"options": {"sampling_rate": 0.5}, "federation__local_epochs": 1, "federation__clients": 20}
    experiment = private(randomness="system", backends=backends, federation__rounds=2, **few)
    interrupted(experiment, tmp_path / "half")
    resumed = resume_federation(tmp_path / "half")
    assert len(resumed.rounds) == 2
    for record in resumed.rounds:
        assert all(client.status is Status.OK and client.jobs for client in record.clients)
        assert record.executions == 0
