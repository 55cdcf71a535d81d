"""Runs that protect each client: who takes part, what is released, what that spends, and what an interruption costs."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from qiskit_fedqml import RunResult, resume_federation, run_federation
from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.errors import BackendError, BudgetError, ConfigurationError, ResultError
from qiskit_fedqml.federation.runs.assembly import assemble
from qiskit_fedqml.federation.runs.dry_run import try_run
from qiskit_fedqml.federation.runs.resuming import extend_federation
from qiskit_fedqml.federation.sampling import PoissonSampler
from qiskit_fedqml.privacy.accountant import Accountant
from tests.conftest import make_tiny
from tests.federation.test_federation import same
from tests.stopping import Interrupt, StopAfter

ROUNDS, NOISE, DELTA = 6, 1.2, 1e-5
"""Of the runs below, in which each of four clients takes part with the probability of a quarter."""


def private(randomness="simulated", epsilon=None, adaptive=None, **overrides):
    clients = {"noise_multiplier": NOISE, "max_norm": 0.3, "adaptive": adaptive}
    section = {"delta": DELTA, "randomness": randomness, "clients": clients, "epsilon": epsilon}
    federation = {"federation__clients_per_round": 1, "federation__rounds": ROUNDS}
    return make_tiny(privacy=section, federation__on_client_failure="skip", **federation | overrides)


def spent(rounds):
    return Accountant(NOISE, 0.25, DELTA).epsilon(rounds)


@pytest.fixture(scope="module")
def whole():
    return run_federation(private())


def test_rounds_have_any_number_of_clients_and_each_spends(whole):
    sizes = [len(record.clients) for record in whole.rounds]
    assert 0 in sizes
    assert max(sizes) > 1
    assert [record.epsilon for record in whole.rounds] == [spent(n) for n in range(1, ROUNDS + 1)]
    assert all(client.share == 1.0 for record in whole.rounds for client in record.clients)
    empty = whole.rounds[sizes.index(0)]
    assert (empty.train_loss, empty.bytes_up, empty.examples) == (None, 0, 0)
    assert len({record.test_loss for record in whole.rounds}) == ROUNDS  # noise moves the model in empty rounds too


def test_the_folder_gives_the_same_result(whole, tmp_path):
    same(whole, run_federation(private(), tmp_path / "run"))
    same(whole, RunResult.load(tmp_path / "run"))


@pytest.mark.parametrize("change", [{"federation__workers": "auto"}, {"federation__lockstep": "auto"}])
def test_neither_processes_nor_lockstep_change_a_bit(whole, change):
    found = run_federation(private(**change))
    assert [record.without_times() for record in found.rounds] == [record.without_times() for record in whole.rounds]


@pytest.mark.slow
def test_worker_processes_run_empty_rounds():
    changes = {
        "federation__clients": 8,
        "federation__clients_per_round": 2,
        "aggregation__weights": "uniform",
        "seed": 3,
    }
    one, two = (run_federation(private(**changes, federation__workers=workers)) for workers in (1, 2))
    assert 0 in [len(record.clients) for record in one.rounds]
    assert all(torch.allclose(one.state[name], two.state[name], atol=1e-5) for name in one.state)


@pytest.mark.parametrize(("stop", "adaptive"), [((1, -1), None), ((4, -1), None), ((2, -1), {"count_noise": 1.0})])
def test_a_simulated_run_is_resumed_to_the_same_bits_and_spends_the_same(tmp_path, stop, adaptive):
    expected = run_federation(private(adaptive=adaptive))
    norms = [record.max_norm for record in expected.rounds]
    assert norms[0] == (0.3 if adaptive else None)
    assert len(set(norms)) == (ROUNDS if adaptive else 1)
    with pytest.raises(Interrupt):
        run_federation(private(adaptive=adaptive), tmp_path / "run", observer=StopAfter(*stop))
    same(expected, resume_federation(tmp_path / "run"))


def test_an_extended_run_is_that_of_so_many_rounds(whole, tmp_path):
    run_federation(private(federation__rounds=2), tmp_path / "run")
    same(whole, extend_federation(tmp_path / "run", ROUNDS))


def test_the_ceiling_ends_a_run(whole, tmp_path):
    run = run_federation(private(epsilon=spent(3) + 1e-6), tmp_path / "run")
    assert [record.epsilon for record in run.rounds] == [spent(n) for n in (1, 2, 3)]
    assert run.rounds[-1].next_epsilon == spent(4)
    assert run.is_complete
    assert run.ended_early.startswith("Ended after round 3 of 6: one more would spend ε = ")
    assert run.rounds[-1].test_loss == whole.rounds[2].test_loss
    with pytest.raises(ResultError, match="cannot have more rounds"):
        extend_federation(tmp_path / "run", ROUNDS + 1)


def test_a_run_whose_first_round_spends_too_much_does_not_begin(tmp_path):
    with pytest.raises(ConfigurationError, match=r"first round would spend ε = .*`fedqml privacy` says how much"):
        run_federation(private(epsilon=0.5 * spent(1)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_with_the_systems_randomness_no_run_is_another(whole):
    one, two = (run_federation(private("system")) for _ in range(2))
    assert all(not torch.equal(one.state[name], two.state[name]) for name in one.state if name.startswith("head."))
    assert [record.epsilon for record in one.rounds] == [record.epsilon for record in whole.rounds]
    drawn = [[[client.id for client in record.clients] for record in run.rounds] for run in (one, two, whole)]
    assert drawn[0] != drawn[1] or drawn[0] != drawn[2]


def test_an_interrupted_round_counts_with_the_systems_randomness(tmp_path):
    with pytest.raises(Interrupt):
        run_federation(private("system"), tmp_path / "run", observer=StopAfter(2, -1))
    recorded = len(RunResult.load(tmp_path / "run").rounds)
    resumed = resume_federation(tmp_path / "run")
    assert resumed.rounds[recorded - 1].epsilon == spent(recorded + 1)
    assert [record.epsilon for record in resumed.rounds[recorded:]] == [spent(n + 2) for n in range(recorded, ROUNDS)]
    extended = extend_federation(tmp_path / "run", ROUNDS + 1)  # it had ended, so nothing more was interrupted
    assert extended.final.epsilon == spent(ROUNDS + 2)


KILLED = """
import os, signal, sys, yaml
from qiskit_fedqml import run_federation
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.federation.algorithms import synchronous

stepped, at = synchronous.stepped, int(sys.argv[2])
def killed(setting, server, updates):
    if server.step + 1 == at:
        list(updates)
        os.kill(os.getpid(), signal.SIGKILL)
    return stepped(setting, server, updates)
synchronous.stepped = killed
experiment = Experiment.model_validate(yaml.safe_load(open(sys.argv[1])))
run_federation(experiment, sys.argv[3], progress=False)
"""


def killed_in(experiment, round, tmp_path):
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(experiment.resolved()))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "experiment.yaml"), str(round), str(tmp_path / "run")]
    assert subprocess.run(command, env=os.environ, check=False).returncode == -signal.SIGKILL


@pytest.mark.slow
def test_a_process_that_is_killed_in_a_round_has_spent_it(tmp_path):
    killed_in(private("system"), 3, tmp_path)
    stopped = RunResult.load(tmp_path / "run")
    assert [record.epsilon for record in stopped.rounds] == [spent(1), spent(2)]
    resumed = resume_federation(tmp_path / "run")
    assert [record.epsilon for record in resumed.rounds] == [spent(n) for n in (1, 3, 4, 5, 6, 7)]


@pytest.mark.slow
def test_killed_in_its_first_round_a_run_begins_again_if_its_ceiling_allows(tmp_path):
    killed_in(private("system", epsilon=spent(1) + 1e-6), 1, tmp_path)
    with pytest.raises(ResultError, match="first round was interrupted, which counts as if it had been released"):
        resume_federation(tmp_path / "run")


def test_resumed_at_its_ceiling_a_run_ends_with_the_rounds_that_it_has(tmp_path):
    with pytest.raises(Interrupt):
        run_federation(private("system", epsilon=spent(3) + 1e-6), tmp_path / "run", observer=StopAfter(2, -1))
    resumed = resume_federation(tmp_path / "run")
    assert resumed.is_spent
    assert resumed.is_complete
    assert resumed.final.epsilon <= spent(3)


def test_a_client_that_fails_is_recorded_and_the_run_continues(whole, monkeypatch):
    from qiskit_fedqml.federation.clients import client

    train = client._train

    def failing(worker, task, *others):
        if task.client_id == 1:
            raise BackendError("The machine is broken.")
        train(worker, task, *others)

    monkeypatch.setattr(client, "_train", failing)
    run = run_federation(private())
    assert [record.epsilon for record in run.rounds] == [record.epsilon for record in whole.rounds]
    failed = [record for record in run.rounds if any(c.id == 1 for c in record.clients)]
    assert failed
    assert all(c.share == 0 for record in failed for c in record.clients if c.id == 1)


def config(randomness):
    return PrivacyConfig(delta=1e-5, randomness=randomness, clients={"noise_multiplier": 1.0, "max_norm": 1.0})


@pytest.mark.parametrize("randomness", ["system", "simulated"])
def test_each_client_is_drawn_by_itself(randomness):
    sampler = PoissonSampler(config(randomness), 1, 20, 0.3)
    drawn = np.zeros((400, 20))
    for round in range(1, 401):
        clients = sampler.clients_of(round)
        assert clients == sorted(clients) == sampler.clients_of(round)
        drawn[round - 1, clients] = 1
    assert drawn.mean() == pytest.approx(0.3, abs=0.03)
    assert drawn.sum(axis=1).var() == pytest.approx(20 * 0.3 * 0.7, rel=0.3)  # binomial, not a constant
    again = PoissonSampler(config(randomness), 1, 20, 0.3)
    repeats = [again.clients_of(round) == sampler.clients_of(round) for round in range(395, 401)]
    assert all(repeats) == (randomness == "simulated")
    assert PoissonSampler(config(randomness), 1, 5, 1.0).clients_of(1) == [0, 1, 2, 3, 4]


def test_the_next_tasks_are_the_same_each_time_they_are_asked_for():
    many = {"federation__clients": 40, "federation__clients_per_round": 20, "aggregation__weights": "uniform"}
    federation = assemble(private("system", **many), None, None)
    asked = [[task.client_id for task in federation.algorithm.next_tasks(federation.initial)] for _ in range(3)]
    assert asked[0] == asked[1] == asked[2]
    federation.executor.stop()


@pytest.fixture(scope="module")
def empty_first():
    """A seed of which the first round has no client."""
    return next(seed for seed in range(50) if not PoissonSampler(private().privacy, seed, 4, 0.25).clients_of(1))


def test_a_dry_run_needs_no_client_in_the_first_round(empty_first):
    found = try_run(private(seed=empty_first))
    assert found.step_seconds
    assert found.run_seconds > 0


def test_the_servers_tests_of_a_round_without_clients_are_paid_for_too(empty_first):
    machines = {"ideal": {"type": "aer"}, "rehearsed": {"type": "ibm", "device": "FakeManilaV2", "budget_seconds": 0.1}}
    backends = {"backends": machines, "assignment": {"server": "rehearsed", "default": "ideal"}}
    with pytest.raises(
        BudgetError, match="^The run's one round needs .* QPU seconds, but the budget of rehearsed is 0.1 s"
    ):
        run_federation(private(seed=empty_first, backends=backends, federation__rounds=1))
