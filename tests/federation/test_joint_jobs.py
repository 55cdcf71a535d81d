"""Joint jobs of blocks over HTTP: planned, killed, halved, budgeted, and on a device whose calibration changes."""

import signal
from collections import Counter

import numpy as np
import pytest

from qiskit_fedqml import RunResult, resume_federation, run_federation
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.errors import BudgetError
from qiskit_fedqml.planning.planner import plan_experiment
from qiskit_fedqml.results.folder import RunFolder
from tests.federation.conftest import fedqml, same_model, start
from tests.federation.test_devices import KILLS, Silent

BLOCKS = {"separation": 0, "least_success": 0.3}
ALL = {"assignment": {"default": "manila", "server": "ideal"}}
ENTRY = {"manila": {"blocks": BLOCKS}}


@pytest.fixture
def joint(experiment):
    """Return a function that makes an experiment of three clients on one device, which is cut into two blocks."""

    def make(entries=None, **more):
        entry = {**ENTRY["manila"], **(entries or {})}
        return experiment(entries={"manila": entry}, backends=ALL | more.pop("backends", {}), **more)

    return make


def test_a_round_is_one_job_a_step(server, joint, tmp_path):
    over_http = run_federation(joint(), tmp_path / "http")
    assert len(server.jobs) == 2 * 2, "two rounds of two steps, whatever the number of clients"
    rehearsed = run_federation(joint(real=False), tmp_path / "rehearsed")
    assert over_http.rounds[0].clients[0].jobs == over_http.rounds[0].clients[2].jobs
    submissions = RunFolder(tmp_path / "http").submissions()
    assert {s.key.clients for s in submissions} == {(0, 1, 2)}
    assert sum(s.executions for s in submissions) == sum(job.executions for job in server.jobs)
    record = over_http.rounds[0]
    assert record.executions == sum(job.executions for job in server.jobs) / 2
    assert record.qpu_seconds == pytest.approx(sum(job.quantum_seconds for job in server.jobs[:2]), rel=0.01)
    for run in (over_http, rehearsed):
        shares = [client.planned_seconds for client in run.rounds[0].clients]
        assert shares == pytest.approx([run.rounds[0].planned_seconds / 3] * 3), "each of them has as many examples"
    charged = [client.qpu_seconds for client in record.clients]
    assert charged == pytest.approx([record.qpu_seconds / 3] * 3)
    assert len(record.devices["manila"]["blocks"]) == 2
    assert rehearsed.rounds[0].planned_seconds == pytest.approx(record.planned_seconds, rel=0.01)
    alone = run_federation(joint({"blocks": None, "joint": False}, real=False), tmp_path / "alone")
    assert record.circuits <= alone.rounds[0].circuits / 2 + 2, "two blocks"


ALONE = {"blocks": None}
KINDS = {
    "blocks filled by samples": {},
    "blocks of clients": {"blocks": {**BLOCKS, "spread": "clients"}},
    "blocks, a job for each client": {"joint": False},
    "blocks of clients, a job for each client": {"blocks": {**BLOCKS, "spread": "clients"}, "joint": False},
    "one circuit, joint jobs": {**ALONE, "joint": True},
    "one circuit, a job for each client": ALONE,
    "random shifts": {"gradient": {"random_shifts": {"fraction": 0.4}}},
    "random shifts of one circuit": {**ALONE, "gradient": {"random_shifts": {"fraction": 0.4}}},
    "SPSA": {"gradient": {"spsa": {}}},
    "shots of tests": {"test_shots": 5},
    "a short pause": {"rep_delay_seconds": 3e-5},
    "readout mitigated": {"mitigation": {"readout": True}},
    "readout of one circuit mitigated": {**ALONE, "joint": True, "mitigation": {"readout": True}},
    "tests alone": {"task": "evaluate", "test_shots": 5},
}
"""What an entry may say that changes jobs, circuits, executions or QPU time."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_plan_is_what_the_server_counts(server, joint, tmp_path, kind):
    """Shards of four examples in batches of three, two epochs, and tests of the server."""
    run = {"federation.batch_size": 3, "federation.local_epochs": 2, "evaluation.backends": ["manila"]}
    planned = joint(KINDS[kind], changes={**run, "federation.rounds": 1})
    plan = plan_experiment(planned)
    total = plan.total()
    assert not server.jobs
    result = run_federation(planned, tmp_path / "run")
    counted = [(job.circuits, job.executions, job.quantum_seconds) for job in server.jobs]
    circuits, executions, seconds = (sum(of_job) for of_job in zip(*counted, strict=True))
    assert (total.jobs, total.circuits, total.executions) == (len(server.jobs), circuits, executions)
    assert total.qpu_seconds == pytest.approx(seconds, rel=0.01)
    submissions = RunFolder(tmp_path / "run").submissions()
    assert total.qpu_seconds == pytest.approx(sum(s.planned_seconds for s in submissions))
    assert total.executions == sum(s.executions for s in submissions)
    assert total.qpu_seconds == pytest.approx(sum(record.planned_seconds for record in result.rounds))
    if plan.devices["manila"].blocks is not None:
        assert plan.devices["manila"].blocks.unpacked.executions >= executions


@pytest.mark.slow
def test_joint_false_restores_one_job_a_client_and_step(server, joint, tmp_path):
    run_federation(joint({"joint": False}, changes={"federation.rounds": 1}), tmp_path / "run")
    assert len(server.jobs) == 3 * 2
    assert {s.key.clients for s in RunFolder(tmp_path / "run").submissions()} == {()}


@pytest.mark.slow
@pytest.mark.parametrize("moment", KILLS)
def test_killed_run_of_joint_jobs(server, joint, tmp_path, outcome, moment):
    order, written, happened, num_rounds = KILLS[moment]
    order(server, lambda: process.kill())  # noqa: PLW0108 - the process comes later
    process = start(joint, tmp_path)
    assert process.wait(400) == -signal.SIGKILL
    *_, last = RunFolder(tmp_path / "run").submissions()
    assert last.key.clients == (0, 1, 2)
    assert last.state == written
    if happened == "Completed":
        server.wait_for(lambda s: s.jobs[-1].state == happened)
    assert len((tmp_path / "run" / "rounds.jsonl").read_text().splitlines()) == num_rounds
    server.devices["ibm_manila"].release()
    resumed = fedqml("resume", tmp_path / "run")
    _, err = resumed.communicate(timeout=400)
    assert resumed.returncode == 0, err
    assert set(Counter(tag for job in server.jobs for tag in job.tags).values()) == {1}, "a submission is one job"
    assert len(server.jobs) == 4, "as many jobs as in a run that is not disturbed"
    undisturbed = run_federation(joint(), tmp_path / "undisturbed")
    assert same_model(RunResult.load(tmp_path / "run"), undisturbed)
    outcome(f"kill -9 of a joint job {moment}", "4 jobs in all after resume; same model")


@pytest.mark.slow
def test_a_joint_job_that_is_too_long_is_halved(server, joint, tmp_path):
    server.faults.fail_job("Too long", 1305)
    halved = run_federation(joint(changes={"federation.rounds": 1}), tmp_path / "halved")
    assert len(server.jobs) == 1 + 2 + 1, "the first step in halves, the second one whole"
    parts = [(s.key.step, s.part) for s in RunFolder(tmp_path / "halved").submissions()]
    assert parts == [(0, ""), (0, "0"), (0, "1"), (1, "")]
    assert [len(client.jobs) for client in halved.rounds[0].clients] == [2, 3, 2], "client 1 has samples in both halves"
    assert all(np.isfinite(client.train_loss) for client in halved.rounds[0].clients)


@pytest.mark.slow
def test_a_budget_that_the_second_round_would_pass(server, joint, tmp_path):
    whole = run_federation(joint(), tmp_path / "whole")
    spent = sum(job.quantum_seconds for job in server.jobs)
    short = joint(backends={"budget_seconds": spent * 0.8})
    with pytest.raises(BudgetError, match=r"^The run's 2 rounds need .*: 1 of them fits\. Nothing was sent;"):
        run_federation(short, tmp_path / "short")
    assert len(server.jobs) == 4
    stopped = run_federation(short, tmp_path / "short", allow_partial=True)
    assert len(stopped.rounds) == 1
    assert Journal(tmp_path / "short" / "journal.sqlite").spent_seconds() == pytest.approx(spent / 2, rel=0.01)
    resumed = resume_federation(tmp_path / "short", budgets={None: spent + 1})
    assert same_model(resumed, whole)
    assert len(server.jobs) == 2 * 4, "no job was sent twice"


@pytest.mark.slow
def test_a_calibration_that_changes_between_rounds(server, joint, tmp_path):
    class Recalibrating(Silent):
        def round_finished(self, record):
            if record.round == 1:
                server.devices["ibm_manila"].recalibrate(factor=3.0)

    result = run_federation(joint(), tmp_path / "run", observer=Recalibrating())
    first, second = (record.devices["manila"] for record in result.rounds)
    assert first["date"] != second["date"]
    assert all(first["blocks"][block] > second["blocks"][block] for block in first["blocks"])
    assert len(server.jobs) == 4
