"""Asynchronous federations on devices, in real time: killed at any moment, no job is sent twice and none is lost."""

import os
import signal
import threading
import time

import pytest

from qiskit_fedqml import RunResult, resume_federation, run_federation
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.backends.devices.submission import Submission
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.errors import BudgetError, ConfigurationError, ResultError
from qiskit_fedqml.federation.runs.assembly import assemble
from qiskit_fedqml.model.circuit import circuit_for
from qiskit_fedqml.planning.guard import BudgetGuard
from qiskit_fedqml.planning.planner import plan_experiment
from qiskit_fedqml.planning.rounds import Sizes
from qiskit_fedqml.planning.sentences import sentences
from qiskit_fedqml.results.folder import RunFolder
from tests.federation.conftest import start
from tests.stopping import Interrupt, StopAfter

STEPS = 4
BUFFERED = {
    "federation.algorithm": {"buffered": {"buffer": 1}},
    "federation.clients": 3,
    "federation.clients_per_round": 2,
    "federation.rounds": STEPS,
    "federation.batch_size": 4,
}
TWO_DEVICES = {"assignment": {"clients": {0: "manila", 1: "nairobi", 2: "manila"}}}


def handed_out(run):
    """Return who trained from which model, in the order of the steps."""
    return [(client.id, client.model_version) for record in run.rounds for client in record.clients]


def check_no_job_twice(server, folder):
    submissions = RunFolder(folder).submissions()
    keys = [(s.backend, s.key) for s in submissions]
    assert len(set(keys)) == len(keys), "each job is there once"
    assert not any(s.duplicates for s in submissions)
    assert len(server.jobs) == len([s for s in submissions if s.job_id is not None])


@pytest.mark.slow
def test_a_fast_device_does_not_wait_for_a_slow_one(server, experiment, tmp_path):
    server.devices["ibm_nairobi"].hold()
    made = experiment(changes=BUFFERED, backends=TWO_DEVICES)
    run = run_federation(made, tmp_path / "run")
    assert len(run.rounds) == STEPS
    trained = handed_out(run)
    assert len(set(trained)) == STEPS, "no client trains twice from one model"
    assert {client for client, _ in trained} <= {0, 2}, "client 1 waits in its queue all the time"
    assert all(record.clock_seconds is None for record in run.rounds)
    check_no_job_twice(server, tmp_path / "run")
    server.devices["ibm_nairobi"].release()


@pytest.mark.slow
@pytest.mark.parametrize("stop", [(1, 1), (2, -1), (4, 1)])
def test_a_stop_loses_nothing(server, experiment, tmp_path, stop):
    made = experiment(changes=BUFFERED)
    with pytest.raises(Interrupt):
        run_federation(made, tmp_path / "run", observer=StopAfter(*stop))
    resumed = resume_federation(tmp_path / "run")
    assert [record.round for record in resumed.rounds] == list(range(1, STEPS + 1))
    assert RunResult.load(tmp_path / "run").rounds == resumed.rounds
    assert len(set(handed_out(resumed))) == STEPS
    check_no_job_twice(server, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 3, 4, 6])
def test_kill_at_any_moment_sends_no_job_twice(server, experiment, tmp_path, jobs):
    """The process is killed when so many jobs were accepted, and the run is resumed."""
    process = start(experiment, tmp_path, changes=BUFFERED | {"federation.batch_size": 2}, backends=TWO_DEVICES)
    server.faults.call("POST /jobs", lambda: os.kill(process.pid, signal.SIGKILL), after=jobs - 1)
    process.wait(400)
    assert process.returncode == -signal.SIGKILL
    before = RunResult.load(tmp_path / "run").rounds
    resumed = resume_federation(tmp_path / "run")
    assert len(resumed.rounds) == STEPS
    for one, other in zip(before, resumed.rounds, strict=False):
        assert one.without_times() == other.without_times(), "a step that was taken is taken again"
    assert len(set(handed_out(resumed))) == STEPS
    time.sleep(0.3)
    check_no_job_twice(server, tmp_path / "run")


@pytest.mark.slow
def test_a_step_that_was_taken_is_repeated_from_the_same_updates(server, experiment, tmp_path):
    """It stopped before its checkpoint, and now the other device is the first to answer."""
    made = experiment(changes=BUFFERED, backends=TWO_DEVICES)
    server.devices["ibm_nairobi"].hold()
    with pytest.raises(Interrupt):
        run_federation(made, tmp_path / "run", observer=StopAfter(1, 1))
    server.devices["ibm_nairobi"].release()
    server.devices["ibm_manila"].hold()  # its first answers are in the journal
    threading.Timer(3.0, server.devices["ibm_manila"].release).start()
    (client,) = resume_federation(tmp_path / "run").rounds[0].clients
    assert client.backend == "manila"
    check_no_job_twice(server, tmp_path / "run")


def test_plan_and_guard_count_tasks_as_they_are_handed_out(server, experiment, tmp_path):
    made = experiment(changes=BUFFERED)
    plan = plan_experiment(made)
    assert "tasks end in the order of their start" in sentences(plan, 0.0)[0]
    tasks = [len({item.client for item in items}) for _, items in plan.by_round()]
    assert sum(tasks) <= 2 + (STEPS - 1), "two at first, and one for each that comes back; those on simulators are free"
    short = experiment(changes=BUFFERED, backends={"budget_seconds": 0.1})
    with pytest.raises(BudgetError, match="Nothing was sent"):
        run_federation(short, tmp_path / "short")
    assert not server.jobs


def test_what_does_not_fit_is_refused(experiment):
    with pytest.raises(ValueError, match=r"joint.*each has its own time"):
        experiment(real=False, changes=BUFFERED, entries={"manila": {"joint": True}})


ONE_REHEARSED = {
    "backends": {
        "ideal": {"type": "aer"},
        "broken": {"type": "aer", "noise": "FakeNowhereV2"},
        "manila": {"type": "ibm", "device": "FakeManilaV2", "shots": 8},
    },
    "assignment": {"clients": {0: "manila"}},
}


def test_what_was_written_down_of_a_step_and_was_damaged_is_refused(experiment, tmp_path):
    made = experiment(real=False, changes=BUFFERED, backends=ONE_REHEARSED)
    with pytest.raises(Interrupt):
        run_federation(made, tmp_path / "run", observer=StopAfter(2, 1))
    for text, reason in (
        ("[[]]", "damaged: its updates of step 2 cannot"),
        ("[99]", "another run: its updates of step"),
    ):
        journal = Journal(tmp_path / "run" / "journal.sqlite")
        assert journal.recall("updates of step 2")
        journal.replace("updates of step 2", text)
        journal.close()
        with pytest.raises(ResultError, match=reason):
            resume_federation(tmp_path / "run")


def test_a_simulator_that_cannot_be_opened_fails_its_clients_alone(experiment):
    file = ONE_REHEARSED | {"assignment": {"clients": {0: "manila", 1: "broken", 2: "broken"}}}
    made = experiment(real=False, changes=BUFFERED | {"federation.on_client_failure": "skip"}, backends=file)
    outcomes = [client.outcome for record in run_federation(made).rounds for client in record.clients]
    assert any("no fake device 'FakeNowhereV2'" in outcome for outcome in outcomes)


def test_clients_of_simulators_have_their_time_limit(experiment):
    changes = {"federation.on_client_failure": "skip", "federation.client_seconds": 1e-9}
    made = experiment(real=False, changes=BUFFERED | changes, backends=ONE_REHEARSED)
    clients = [client for record in run_federation(made).rounds for client in record.clients]
    assert {client.backend: client.status for client in clients if client.backend == "ideal"} == {"ideal": "failed"}
    assert all("client_seconds" in client.reason for client in clients if client.backend == "ideal")


@pytest.mark.parametrize("key", ["workers", "lockstep"])
def test_what_has_no_effect_in_real_time_is_refused(experiment, key):
    with pytest.raises(ConfigurationError, match=f"{key} has no effect with algorithm: buffered on devices"):
        experiment(real=False, changes=BUFFERED | {f"federation.{key}": 2}, backends=ONE_REHEARSED)


def guarded(experiment):
    """Return a federation that is put together, and the guard of its budgets."""
    federation = assemble(experiment, None, None)
    sizes = Sizes.of(experiment, federation.data.shards.sizes.tolist(), 4, 0)
    return federation, BudgetGuard(experiment, federation.registry, circuit_for(experiment.model, 2), sizes)


def test_a_run_begins_only_if_the_tasks_on_their_way_can_be_paid_too(experiment):
    """Before step 3 of 4: one task of step 1 on its way, and one each for the steps that are left."""
    file = ONE_REHEARSED | {"assignment": {"default": "manila"}}
    (each,) = {
        item.work.qpu_seconds for item in plan_experiment(experiment(real=False, changes=BUFFERED, backends=file)).items
    }
    for tasks, number in (({3: [(0, "manila")]}, 2), ({1: [(1, "manila")], 3: [(0, "manila")]}, 3)):
        for budget, fits in ((number * each + 0.1, True), (number * each - 0.1, False)):
            federation, guard = guarded(
                experiment(real=False, changes=BUFFERED, backends=file | {"budget_seconds": budget})
            )
            if fits:
                guard.check_run(3, tasks, allow_partial=False)
            else:
                with pytest.raises(BudgetError, match=rf"^The 2 rounds left need {number * each:.1f} QPU seconds"):
                    guard.check_run(3, tasks, allow_partial=False)
            federation.registry.dispatcher.journal.close()


@pytest.mark.slow
def test_a_run_is_resumed_only_if_the_tasks_on_their_way_can_be_paid_too(server, experiment, tmp_path):
    """Nairobi's queue stands still: of its client's two jobs one waits there, and the other one is to come."""
    server.devices["ibm_nairobi"].hold()
    changes = BUFFERED | {"federation.batch_size": 2, "evaluation.backends": []}
    file = TWO_DEVICES | {"budget_seconds": 1e4}
    with pytest.raises(Interrupt):
        run_federation(experiment(changes=changes, backends=file), tmp_path / "run", observer=StopAfter(2, -1))
    submissions = RunFolder(tmp_path / "run").submissions()
    of_nairobi = [s for s in submissions if s.backend == "nairobi"]
    assert len(of_nairobi) == 1
    each, spent = of_nairobi[0].planned_seconds, sum(s.charged_seconds for s in submissions)
    for short in (4.5, 4.9):  # two jobs for each of two steps, and the one that is to come
        with pytest.raises(BudgetError, match="^The 2 rounds left need .* Nothing was sent"):
            resume_federation(tmp_path / "run", budgets={None: spent + short * each})
    assert len(server.jobs) == len(submissions)
    threading.Timer(0.5, server.devices["ibm_nairobi"].release).start()
    resumed = resume_federation(tmp_path / "run", budgets={None: spent + 5.1 * each})
    assert len(resumed.rounds) == STEPS
    check_no_job_twice(server, tmp_path / "run")


def test_jobs_of_updates_that_have_arrived_pay_for_no_other_client(experiment, monkeypatch):
    file = ONE_REHEARSED | {"assignment": {"default": "manila"}, "budget_seconds": 1e6}
    made = experiment(real=False, changes=BUFFERED, backends=file)
    federation, guard = guarded(made)
    guard.check_run(1, {1: [(0, "manila"), (1, "manila")]}, allow_partial=False)
    need = guard._missing(1, [(1, "manila")], [], is_tested=False)["manila"].qpu_seconds
    for client, is_short in ((0, True), (None, True), (1, False)):
        done = Submission(
            *("tag", JobKey(1, client, 0, "train"), "", 0, "manila", "device", None, "print", {}, 1, 8, need, "done"),
            job_id="job",
        )
        monkeypatch.setattr(guard._journal, "all", lambda done=done: [done])
        monkeypatch.setattr(guard._journal, "spent_seconds", lambda *_, **__: 1e6 - need / 2)
        assert (guard.shortage(2, {1: [(1, "manila")]}) is not None) == is_short
    federation.registry.dispatcher.journal.close()


def test_a_buffer_of_all_that_are_at_work_is_refused(experiment):
    every = {"federation.algorithm": {"buffered": {"buffer": 2}}}
    with pytest.raises(ConfigurationError, match="waits on devices for each client that is at work"):
        experiment(real=False, changes=BUFFERED | every, backends=ONE_REHEARSED)
