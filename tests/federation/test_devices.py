"""Federated runs over HTTP through the real client library: equal to rehearsals, planned, budgeted, and never lost."""

import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter

import numpy as np
import pytest
import torch

from qiskit_fedqml import RunResult, cli, resume_federation, run_federation
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.errors import BudgetError, ResultError
from qiskit_fedqml.planning.jobs import job_rows, job_sentence
from qiskit_fedqml.planning.planner import plan_experiment
from qiskit_fedqml.planning.settling import cancel_jobs
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.results.folder import RunFolder
from tests.federation.conftest import fedqml, same_model, start


class Silent:
    """An observer that does nothing."""

    def __getattr__(self, name):
        return lambda *_: None


ALONE = {"assignment": {"clients": {0: "manila"}, "default": "noisy"}}


@pytest.mark.slow
def test_run_over_http_equals_its_rehearsal(server, experiment, tmp_path):
    over_http = run_federation(experiment(), tmp_path / "http")
    rehearsed = run_federation(experiment(real=False), tmp_path / "rehearsed")
    assert same_model(over_http, rehearsed)
    assert [r.test_loss for r in over_http.rounds] == [r.test_loss for r in rehearsed.rounds]
    assert not server.count("POST", "/sessions") % 2
    assert len({job.session_id for job in server.jobs}) == 4, "one batch a device and round"
    of_each = Counter(job.backend for job in server.jobs)
    assert of_each == {"ibm_manila": 4, "ibm_nairobi": 4}, "one job a step"
    record = over_http.rounds[0]
    assert [c.simulator for c in record.clients] == ["ibm", "ibm", "sweep"]
    assert record.clients[0].jobs == tuple(j.id for j in server.jobs if j.backend == "ibm_manila")[:2]
    assert record.qpu_seconds == pytest.approx(sum(j.quantum_seconds for j in server.jobs) / 2)
    assert record.devices["manila"]["device"] == "ibm_manila"
    assert record.devices["manila"]["date"].startswith("2024")
    assert all(figures["t1_seconds"] > 0 for figures in record.devices["manila"]["qubits"].values())
    assert not (tmp_path / "http" / "journal.sqlite-journal").exists()
    everything = "".join(p.read_text(errors="ignore") for p in (tmp_path / "http").iterdir() if p.is_file())
    assert server.token not in everything
    loaded = RunResult.load(tmp_path / "http")
    assert loaded.rounds == over_http.rounds


@pytest.mark.slow
def test_logins_that_expire_and_an_identity_service_that_is_down_cost_no_round(server, experiment, tmp_path, outcome):
    """Tokens count for a second, and in the middle of the run they are revoked while no new one can be had."""
    server.account.token_seconds = 1

    def revoke():
        server.revoke_tokens()
        server.faults.outage("POST /identity/token", seconds=3.0)

    server.faults.call("POST /jobs", revoke, after=3)
    started = time.monotonic()
    disturbed = run_federation(experiment(), tmp_path / "run")
    seconds = time.monotonic() - started
    assert same_model(disturbed, run_federation(experiment(real=False), tmp_path / "rehearsed"))
    assert Counter(job.backend for job in server.jobs) == {"ibm_manila": 4, "ibm_nairobi": 4}, "one job a step"
    submissions = RunFolder(tmp_path / "run").submissions()
    assert not any(s.duplicates for s in submissions)
    assert all(s.reported_seconds is not None for s in submissions)
    outcome(
        "federated run with tokens of 1 s, revoked once, identity service down for 3 s",
        f"8 jobs accepted, 0 duplicates, {server.count('POST', '/identity/token')} logins, {seconds:.1f} s; same model",
    )


@pytest.mark.slow
def test_plan_is_what_the_server_counts(server, experiment, tmp_path):
    """Uneven batches, two epochs, SPSA on one device, tests of the server on the other."""
    planned = experiment(
        entries={"nairobi": {"gradient": {"spsa": {}}}},
        changes={"federation.local_epochs": 2, "federation.batch_size": 3, "evaluation.backends": ["manila"]},
    )
    plan = plan_experiment(planned)
    assert not server.jobs, "a plan sends nothing"
    result = run_federation(planned, tmp_path / "run")
    total = plan.total()
    assert total.jobs == len(server.jobs)
    assert total.circuits == sum(job.circuits for job in server.jobs)
    assert total.executions == sum(job.executions for job in server.jobs)
    assert total.qpu_seconds == pytest.approx(sum(job.quantum_seconds for job in server.jobs), rel=0.1)
    assert total.payload_bytes == pytest.approx(sum(job.payload_bytes for job in server.jobs), rel=0.1)
    by_round = [plan.total(lambda item, r=r: item.round == r) for r in (1, 2)]
    assert [work.qpu_seconds for work in by_round] == pytest.approx([r.planned_seconds for r in result.rounds])
    submissions = RunFolder(tmp_path / "run").submissions()
    assert sum(s.executions for s in submissions) == total.executions
    assert all(s.reported_seconds is not None for s in submissions)
    assert {row["Difference"] for row in job_rows(submissions)} <= {"+0.0%", "-0.0%", "+0.1%", "-0.1%"}
    told = job_sentence(submissions)
    assert told.startswith(f"{total.jobs} jobs, 0 of them still open, 0 duplicates; ")
    assert f"for {total.jobs} jobs, +0.0% of the plan." in told
    assert list(table_rows({"run": result})[0])[-1] == "QPU time"
    assert plan.array_seconds() < plan.one_machine_seconds()
    json.dumps(plan.as_json())


@pytest.mark.slow
def test_clients_that_only_test(server, experiment, tmp_path):
    result = run_federation(experiment(entries={"nairobi": {"task": "evaluate"}}), tmp_path / "run")
    tested = result.rounds[0].clients[1]
    assert tested.status == "tested"
    assert 0 <= tested.accuracy <= 1
    nairobi = [job for job in server.jobs if job.backend == "ibm_nairobi"]
    assert [job.circuits for job in nairobi] == [4, 4], "values alone, one job a round"
    assert result.rounds[0].examples == 8
    alone = run_federation(
        experiment(changes={"federation.rounds": 1}, entries={"nairobi": {"task": "evaluate"}}), tmp_path / "alone"
    )
    assert alone.rounds[0].train_loss == result.rounds[0].train_loss


@pytest.mark.slow
def test_charges_that_come_late_are_in_the_records(server, experiment, tmp_path):
    server.metrics_pending = True

    class Reckoning(Silent):
        def round_finished(self, record):
            if record.round == 2:
                assert record.qpu_seconds is None
                threading.Timer(0.3, lambda: setattr(server, "metrics_pending", False)).start()

    result = run_federation(experiment(), tmp_path / "run", observer=Reckoning())
    assert [r.qpu_seconds for r in result.rounds] == pytest.approx([r.planned_seconds for r in result.rounds], rel=0.01)
    assert RunResult.load(tmp_path / "run").rounds == result.rounds


@pytest.mark.slow
def test_skipped_client_leaves_no_job_behind(server, experiment, tmp_path):
    """One device never runs its jobs; the run continues without its clients, and cancels them."""
    server.devices["ibm_nairobi"].hold()
    entry = {"waiting": {"poll_seconds": 0.1, "queue_seconds": 0.3}}
    skipping = experiment(entries={"nairobi": entry}, changes={"federation.on_client_failure": "skip"})
    result = run_federation(skipping, tmp_path / "run")
    assert [c.status.split(":")[0] for c in result.rounds[0].clients] == ["ok", "failed", "ok"]
    assert "still waits" in result.rounds[0].clients[1].reason
    assert {job.state for job in server.jobs if job.backend == "ibm_nairobi"} == {"Cancelled"}
    assert not any(s.is_open for s in RunFolder(tmp_path / "run").submissions())


def test_server_on_a_device_is_in_the_record(server, experiment, tmp_path):
    tested = experiment(changes={"evaluation.backends": ["nairobi"], "federation.rounds": 1}, backends=ALONE)
    (record,) = run_federation(tested, tmp_path / "run").rounds
    assert record.devices.keys() == {"manila", "nairobi"}
    assert record.server_jobs == tuple(job.id for job in server.jobs if job.backend == "ibm_nairobi")
    assert record.planned_seconds == pytest.approx(sum(job.quantum_seconds for job in server.jobs), rel=0.01)


@pytest.mark.slow
def test_observer_that_fails_stops_the_threads(server, experiment, tmp_path):
    class Failing(Silent):
        def client_finished(self, client):
            raise RuntimeError("no more")

    server.devices["ibm_nairobi"].run_seconds = 1.0
    with pytest.raises(RuntimeError, match="no more") as held:
        run_federation(experiment(), tmp_path / "run", observer=Failing())
    time.sleep(1.5)
    num_jobs = len(server.jobs)
    time.sleep(2.0)
    assert len(server.jobs) == num_jobs
    assert held.value is not None
    rehearsed = run_federation(experiment(real=False), tmp_path / "rehearsed")
    assert same_model(resume_federation(tmp_path / "run"), rehearsed)


@pytest.mark.slow
def test_evaluation_of_a_finished_run_on_a_device(server, experiment, tmp_path, monkeypatch, capsys):
    """A job that outlives its process is taken up by the next call."""
    waiting = {"waiting": {"poll_seconds": 0.1, "queue_seconds": 0.3}}
    run_federation(experiment(entries={"nairobi": waiting}, changes={"federation.rounds": 1}), tmp_path / "run")
    num_jobs = len(server.jobs)
    server.devices["ibm_nairobi"].hold()
    monkeypatch.setattr("sys.argv", ["fedqml", "evaluate", str(tmp_path / "run"), "--backend", "nairobi"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "still waits in the queue" in capsys.readouterr().err
    server.devices["ibm_nairobi"].release()
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert "nairobi: loss" in capsys.readouterr().out
    assert len(server.jobs) == num_jobs + 1
    assert not list((tmp_path / "run" / "evaluations").glob("*.journal"))
    told = json.loads((tmp_path / "run" / "evaluations" / "nairobi.json").read_text())
    assert told["machine"]["device"] == "ibm_nairobi"
    assert [receipt["job_id"] for receipt in told["receipts"]] == [server.jobs[-1].id]


@pytest.mark.slow
def test_new_examples_are_classified_on_a_device(server, experiment, tmp_path, monkeypatch, capsys):
    """As an evaluation, a prediction that was stopped takes up its job; another file is another question."""
    waiting = {"waiting": {"poll_seconds": 0.1, "queue_seconds": 0.3}}
    run_federation(experiment(entries={"nairobi": waiting}, changes={"federation.rounds": 1}), tmp_path / "run")
    for name in ("new", "other"):
        np.savez(tmp_path / f"{name}.npz", x=np.full((2, 3), float(len(name))))
    num_jobs = len(server.jobs)

    def predict(name):
        words = ["predict", tmp_path / "run", tmp_path / f"{name}.npz", "--backend", "nairobi", "--json", "-"]
        monkeypatch.setattr("sys.argv", ["fedqml", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr()

    server.devices["ibm_nairobi"].hold()
    assert "still waits in the queue" in predict("new")[1].err
    server.devices["ibm_nairobi"].release()
    code, told = predict("new")
    assert not code
    assert [receipt["job_id"] for receipt in json.loads(told.out)["receipts"]] == [server.jobs[-1].id]
    assert len(server.jobs) == num_jobs + 1
    assert not predict("other")[0]
    assert len(server.jobs) == num_jobs + 2
    assert not list((tmp_path / "run" / "evaluations").glob("*.journal"))


@pytest.mark.slow
def test_budget_stops_the_run_which_then_goes_on(server, experiment, tmp_path):
    whole = run_federation(experiment(), tmp_path / "whole")
    num_jobs = len(server.jobs)
    spent = sum(job.quantum_seconds for job in server.jobs)
    short = experiment(backends={"budget_seconds": 0.6 * spent})
    with pytest.raises(BudgetError, match=r"^The run's 2 rounds need .*: 1 of them fits\. Nothing was sent;"):
        run_federation(short, tmp_path / "short")
    assert len(server.jobs) == num_jobs
    assert not (tmp_path / "short").exists()
    stopped = run_federation(short, tmp_path / "short", allow_partial=True)
    assert len(stopped.rounds) == 1
    journal = Journal(tmp_path / "short" / "journal.sqlite")
    assert journal.spent_seconds() == pytest.approx(spent / 2)
    resumed = resume_federation(tmp_path / "short", budgets={None: spent + 1, "manila": spent})
    assert same_model(resumed, whole)
    assert len(server.jobs) == 2 * num_jobs, "no job was sent twice"
    assert RunResult.load(tmp_path / "short").experiment.backends.budget_seconds == spent + 1


@pytest.mark.slow
def test_folder_of_a_run_that_goes_on_is_left_alone(server, experiment, tmp_path):
    class Nosy(Silent):
        def round_finished(self, record):
            if record.round == 1:
                with pytest.raises(ResultError, match="another process works on it"):
                    run_federation(experiment(real=False), tmp_path / "run", overwrite=True)
                with pytest.raises(ResultError, match="another process works on it"):
                    resume_federation(tmp_path / "run")
                with pytest.raises(ResultError, match="another process works on it"):
                    list(cancel_jobs(RunFolder(tmp_path / "run")))
                assert len(RunFolder(tmp_path / "run").submissions()) == 4, "it can be looked at"

    result = run_federation(experiment(), tmp_path / "run", observer=Nosy())
    assert result.is_complete
    assert resume_federation(tmp_path / "run").rounds == result.rounds


@pytest.mark.slow
def test_folder_with_live_jobs_is_not_overwritten(server, experiment, tmp_path):
    whole = experiment(entries={"manila": {"waiting": {"poll_seconds": 0.1, "queue_seconds": 0.5}}})
    server.devices["ibm_manila"].hold()
    with pytest.raises(Exception, match="still waits"):
        run_federation(whole, tmp_path / "run")
    alive = [job for job in server.jobs if job.state == "Queued"]
    assert alive
    with pytest.raises(ResultError, match=r"may still wait or run on devices: resume the run with `fedqml resume"):
        run_federation(whole, tmp_path / "run", overwrite=True)
    told = list(cancel_jobs(RunFolder(tmp_path / "run")))
    assert any(f"job {alive[0].id} cancelled" in line for line in told)
    assert alive[0].state == "Cancelled"
    server.devices["ibm_manila"].release()
    result = resume_federation(tmp_path / "run")
    assert same_model(result, run_federation(experiment(real=False), tmp_path / "rehearsed"))


@pytest.mark.slow
def test_resumed_run_keeps_the_least_busy_device(server, experiment, tmp_path):
    least = {"device": {"least_busy": {"min_qubits": 5}}, "waiting": {"poll_seconds": 0.1, "queue_seconds": 0.5}}
    server.devices["ibm_nairobi"].queue_length = 40
    both = experiment(
        entries={"manila": least},
        backends={"assignment": {"clients": {0: "manila"}}},
        changes={"federation.clients": 1, "federation.clients_per_round": 1, "federation.rounds": 1},
    )
    server.devices["ibm_manila"].hold()
    with pytest.raises(Exception, match="still waits"):
        run_federation(both, tmp_path / "run")
    server.devices["ibm_nairobi"].queue_length = 0
    server.devices["ibm_manila"].queue_length = 90
    server.devices["ibm_manila"].release()
    resume_federation(tmp_path / "run")
    assert {job.backend for job in server.jobs} == {"ibm_manila"}


def before_submit(server, kill):
    server.faults.call("GET /instances/usage", kill, after=4)  # for the plan, before the intent, right before the job


def before_the_answer(server, kill):
    server.faults.call("POST /jobs", kill, processed=True, after=1)


def while_queued(server, kill):
    server.devices["ibm_manila"].hold()
    server.faults.call("GET /jobs/[^/]+", kill, after=3)


def while_reading(server, kill):
    server.faults.stall("GET /jobs/[^/]+/results", seconds=4, after=1)

    def kill_in_the_middle():
        server.wait_for(lambda s: sum(path.endswith("/results") for _, path in s.requests) == 2, seconds=400)
        time.sleep(1.0)
        kill()

    threading.Thread(target=kill_in_the_middle, daemon=True).start()


def between_rounds(server, kill):
    server.faults.call("POST /sessions", kill, after=1)  # the second round's first request


KILLS = {
    "before submit": (before_submit, "intended", None, 0),
    "between the server's acceptance and the client's reading": (before_the_answer, "intended", "Completed", 0),
    "while queued": (while_queued, "sent", "Queued", 0),
    "while reading results": (while_reading, "sent", "Completed", 0),
    "between rounds": (between_rounds, "intended", None, 1),
}
"""For each moment: how it is found, the journal's state of the last submission then, its job's state, rounds done."""


@pytest.mark.slow
@pytest.mark.parametrize("moment", KILLS)
def test_killed_run_loses_nothing_and_sends_nothing_twice(server, experiment, tmp_path, outcome, moment):
    order, written, happened, num_rounds = KILLS[moment]
    order(server, lambda: process.kill())  # noqa: PLW0108 - the process comes later
    process = start(experiment, tmp_path, backends=ALONE)
    assert process.wait(400) == -signal.SIGKILL
    *_, last = RunFolder(tmp_path / "run").submissions()
    if happened == "Completed":  # it runs on after its client has died
        server.wait_for(lambda s: s.jobs[-1].state == happened)
    jobs = {tag: job for job in server.jobs for tag in job.tags}
    assert last.state == written
    assert (jobs[last.tag].state if last.tag in jobs else None) == happened
    assert len((tmp_path / "run" / "rounds.jsonl").read_text().splitlines()) == num_rounds
    accepted, paid = len(server.jobs), sum(job.state == "Completed" for job in server.jobs)
    server.devices["ibm_manila"].release()
    resumed = fedqml("resume", tmp_path / "run")
    _, err = resumed.communicate(timeout=400)
    assert resumed.returncode == 0, err
    assert set(Counter(tag for job in server.jobs for tag in job.tags).values()) == {1}, "a submission is one job"
    assert len(server.jobs) == 4, "as many jobs as in a run that is not disturbed"
    server.wait_for(lambda s: all(job.state == "Completed" and job.results_read for job in s.jobs))
    rehearsed = run_federation(experiment(real=False, backends=ALONE), tmp_path / "rehearsed")
    result = RunResult.load(tmp_path / "run")
    assert same_model(result, rehearsed)
    assert [r.test_loss for r in result.rounds] == [r.test_loss for r in rehearsed.rounds]
    outcome(f"kill -9 {moment}", f"{accepted} jobs accepted ({paid} done) before, 4 in all after resume; same model")


@pytest.mark.slow
def test_killed_run_of_two_devices(server, experiment, tmp_path, outcome):
    for device in server.devices.values():
        device.run_seconds = 0.3
    server.faults.call("POST /jobs", lambda: process.kill(), processed=True, after=2)  # noqa: PLW0108
    process = start(experiment, tmp_path)
    assert process.wait(400) == -signal.SIGKILL
    resumed = fedqml("resume", tmp_path / "run")
    _, err = resumed.communicate(timeout=400)
    assert resumed.returncode == 0, err
    assert len(server.jobs) == len({tag for job in server.jobs for tag in job.tags}) == 8
    assert same_model(RunResult.load(tmp_path / "run"), run_federation(experiment(real=False), tmp_path / "rehearsed"))
    outcome("kill -9 of a run on two devices", "8 jobs in all after resume; same model")


def interrupt(process):
    """Press Ctrl-C, once more if nothing comes of it: Python drops one that arrives in a weak reference's callback."""
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=60)[1]
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        return process.communicate(timeout=400)[1]


@pytest.mark.slow
def test_ctrl_c_leaves_live_jobs_which_can_be_cancelled(server, experiment, tmp_path):
    for device in server.devices.values():
        device.hold()
    process = start(experiment, tmp_path)
    server.wait_for(lambda s: len(s.jobs) == 2, seconds=400)
    time.sleep(1.0)
    err = interrupt(process)
    assert process.returncode == 130, err
    assert "continues from the last finished round. 2 jobs live on at the devices, and will be used;" in err
    assert [job.state for job in server.jobs] == ["Queued", "Queued"]
    cancelling = fedqml("jobs", tmp_path / "run", "--cancel")
    out, err = cancelling.communicate(timeout=400)
    assert cancelling.returncode == 0, err
    assert out.count("cancelled") == 2
    assert [job.state for job in server.jobs] == ["Cancelled", "Cancelled"]


@pytest.mark.ibm_live
def test_one_step_on_a_real_device(tmp_path):
    """Trains one step within 10 QPU seconds: pytest -m ibm_live; the account is the saved one."""
    from qiskit_fedqml import paper_circuit, quantum_layer
    from qiskit_fedqml.backends.array.registry import BackendRegistry
    from qiskit_fedqml.backends.job import JobKey

    entry = {"type": "ibm", "device": {"least_busy": {}}, "shots": 64, "mode": "job", "budget_seconds": 10}
    if name := os.environ.get("FEDQML_IBM_DEVICE"):
        entry["device"] = name
    registry = BackendRegistry.from_mapping({"backends": {"real": entry, "ideal": {"type": "aer"}}})
    layer = quantum_layer(paper_circuit(), registry["real"])
    layer.neural_network.reseed(1, JobKey(1, 0, 0, "train"))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    before = layer.weight.detach().clone()
    inputs = torch.linspace(-1, 1, 8).reshape(2, 4)
    loss = torch.nn.functional.cross_entropy(layer(inputs), torch.tensor([0, 1]))
    loss.backward()
    optimizer.step()
    assert not torch.equal(before, layer.weight)
    (receipt,) = layer.neural_network.usage.receipts
    assert receipt.planned_seconds < 10
    assert receipt.reported_seconds is None or receipt.reported_seconds < 10
    exact = quantum_layer(paper_circuit(), registry["ideal"], initial_weights=before)
    assert torch.allclose(exact(inputs), layer(inputs).detach(), atol=0.6)
