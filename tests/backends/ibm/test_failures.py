"""Every failure that was found of the service and its client library, ordered from the server, and what comes of it.

The outcomes are told in a table at the end of the test run.
"""

import logging
import threading
import time

import numpy as np
import pytest

from qiskit_fedqml.backends.devices.patience import StoppedError
from qiskit_fedqml.errors import BackendError, BudgetError, JobError
from tests.backends.conftest import Client


def finished(server):
    return [job for job in server.jobs if job.state == "Completed"]


def test_nothing_goes_wrong(server, undisturbed, outcome):
    client = Client()
    assert np.array_equal(client.ask(), undisturbed)
    assert [job.pubs for job in server.jobs] == [1]
    assert np.array_equal(client.ask(), undisturbed), "the journal answers the same key"
    assert len(server.jobs) == 1
    outcome("nothing", "1 job; asked again, the journal answers")


def test_job_waits_longer_than_the_user_will(server, undisturbed, outcome, tmp_path):
    server.devices["ibm_manila"].hold()
    with pytest.raises(
        JobError, match=r"'mine', round 1, client 4, train step 0, job \w+: it still waits .* it lives on"
    ):
        Client(tmp_path / "j", waiting={"queue_seconds": 0.5}).ask()
    server.devices["ibm_manila"].release()
    assert np.array_equal(Client(tmp_path / "j").ask(), undisturbed)
    assert len(server.jobs) == 1
    outcome("still queued at the timeout", "stops with the job's id; resumed by it, 1 job")


def test_waiting_tells_how_many_jobs_wait(server):
    device = server.devices["ibm_manila"]
    device.hold()
    device.queue_length = 14
    client = Client()
    threading.Timer(0.7, device.release).start()
    client.ask()
    queued = [told for told in client.told if told.status.state == "queued"]
    assert queued[0].status.pending == 14
    assert queued[-1].seconds > 0.3
    assert (queued[0].device, queued[0].key.client) == ("ibm_manila", 4)
    assert client.told[-1].status.state == "done"


@pytest.mark.slow
@pytest.mark.parametrize("route", ["GET /jobs/[^/]+", "GET /jobs/[^/]+/results"])
def test_server_stalls_in_the_middle_of_an_answer(server, undisturbed, outcome, route):
    server.faults.stall(route, seconds=30)
    started = time.monotonic()
    assert np.array_equal(Client(waiting={"request_seconds": 2}).ask(), undisturbed)
    assert time.monotonic() - started < 15
    assert len(server.jobs) == 1
    outcome(f"server stalls in {route}", "given up after request_seconds, new login, same job")


@pytest.mark.slow
def test_server_stalls_while_it_answers_a_submission(server, undisturbed, outcome):
    server.faults.stall("POST /jobs", seconds=30)
    assert np.array_equal(Client(waiting={"request_seconds": 2}).ask(), undisturbed)
    assert len(server.jobs) == 1
    outcome("server stalls in POST /jobs", "the job is found by its tag, 1 job")


@pytest.mark.slow
def test_outage_while_polling(server, undisturbed, outcome):
    server.faults.answer("GET /jobs/[^/]+", status=503, times=8)
    assert np.array_equal(Client(waiting={"outage_seconds": 60}).ask(), undisturbed)
    assert len(server.jobs) == 1
    outcome("503 eight times while polling", "asked again by id, 1 job")


def test_answer_is_lost_while_polling(server, undisturbed, outcome):
    server.faults.drop("GET /jobs/[^/]+", times=2)
    assert np.array_equal(Client().ask(), undisturbed)
    assert len(server.jobs) == 1
    outcome("connection drops while polling", "asked again by id, 1 job")


def test_503_after_the_job_was_accepted(server, undisturbed, outcome, caplog):
    """The library sends the submission again without a word, so that there are two jobs."""
    server.devices["ibm_manila"].hold()
    server.faults.answer("POST /jobs", status=503, processed=True)
    client = Client()
    threading.Timer(2.0, server.devices["ibm_manila"].release).start()
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(client.ask(), undisturbed)
    assert sorted(job.state for job in server.jobs) == ["Cancelled", "Completed"]
    (submission,) = client.journal.all()
    assert list(submission.duplicates.values()) == ["cancelled"]
    assert "took the same submission again" in caplog.text
    assert submission.charged_seconds == pytest.approx(submission.planned_seconds)
    outcome("503 on submit, accepted all the same", "2 jobs accepted, the duplicate found by tag and cancelled, 1 ran")


def test_duplicate_that_has_run_is_counted(server, undisturbed):
    server.faults.answer("POST /jobs", status=503, processed=True)
    server.faults.call("GET /jobs", lambda: server.wait_for(lambda s: len(finished(s)) == 2))
    client = Client()
    assert np.array_equal(client.ask(), undisturbed)
    (submission,) = client.journal.all()
    assert list(submission.duplicates.values()) == ["ran"]
    assert client.journal.spent_seconds() == pytest.approx(2 * submission.planned_seconds)


@pytest.mark.slow
@pytest.mark.parametrize("accepted", [True, False])
def test_503_on_every_attempt_to_submit(server, undisturbed, outcome, accepted):
    server.devices["ibm_manila"].hold()
    server.faults.answer("POST /jobs", status=503, times=6, processed=accepted)
    client = Client(waiting={"outage_seconds": 90})
    threading.Timer(18.0, server.devices["ibm_manila"].release).start()
    assert np.array_equal(client.ask(), undisturbed)
    assert len(finished(server)) == 1
    assert len(server.jobs) == (6 if accepted else 1)
    (submission,) = client.journal.all()
    assert list(submission.duplicates.values()) == ["cancelled"] * (5 if accepted else 0)
    outcome(
        f"503 six times on submit, {'accepted each time' if accepted else 'never accepted'}",
        f"looked up by tag: {'5 duplicates cancelled' if accepted else 'sent again'}, 1 ran",
    )


@pytest.mark.parametrize("accepted", [True, False])
def test_connection_drops_on_submit(server, undisturbed, outcome, accepted):
    server.faults.drop("POST /jobs", processed=accepted)
    assert np.array_equal(Client().ask(), undisturbed)
    assert len(server.jobs) == 1
    how = "found by its tag" if accepted else "looked up by tag, then sent again"
    outcome(f"connection drops on submit, {'accepted' if accepted else 'not accepted'}", f"{how}, 1 job")


@pytest.mark.parametrize("status", [400, 413])
def test_wrong_input_is_not_sent_again(server, undisturbed, outcome, tmp_path, status):
    server.faults.answer("POST /jobs", status=status)
    client = Client(tmp_path / "j")
    with pytest.raises(BackendError, match=rf"'mine', round 1, client 4, train step 0: .*{status}"):
        client.ask()
    assert server.count("POST", "/jobs") == 1
    assert [s.state for s in client.journal.all()] == ["failed"]
    assert client.journal.spent_seconds() == 0
    assert np.array_equal(Client(tmp_path / "j").ask(), undisturbed), "resumed, it is tried again"
    outcome(f"{status} on submit", "an error at once, nothing is charged; a resumed run tries again")


@pytest.mark.slow
def test_429_is_waited_out(server, undisturbed, outcome):
    server.faults.answer("POST /jobs", status=429, times=2)
    assert np.array_equal(Client().ask(), undisturbed)
    assert server.count("POST", "/jobs") == 3
    outcome("429 twice on submit", "waited with growing pauses, sent again, 1 job")


def test_usage_limit_reported_on_submit(server, outcome):
    server.faults.answer("POST /jobs", status=409, body={"errors": [{"message": "Usage exceeds instance limit"}]})
    with pytest.raises(BudgetError, match="usage limit is reached"):
        Client().ask()
    outcome("409 on submit, usage exceeded", "BudgetError: stops, can be resumed")


def test_no_account(monkeypatch, tmp_path):
    monkeypatch.delenv("QISKIT_IBM_TOKEN", raising=False)
    monkeypatch.setattr("qiskit_ibm_runtime.accounts.management._DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "a"))
    with pytest.raises(BackendError, match="There is no IBM Quantum account. Save one") as error:
        Client()
    assert all(words in str(error.value) for words in ("https://quantum.cloud.ibm.com", "`device: FakeFez`"))


def test_no_such_device(server):
    with pytest.raises(BackendError, match="Backend 'mine': .* no device 'ibm_nowhere'"):
        Client(device="ibm_nowhere", waiting={"outage_seconds": 2})


def test_job_fails_for_the_service_s_own_reasons(server, undisturbed, outcome):
    server.faults.fail_job("Internal error", 9999)
    client = Client()
    assert np.array_equal(client.ask(), undisturbed)
    assert [(s.attempt, s.state) for s in client.journal.all()] == [(0, "failed"), (1, "done")]
    outcome("job fails with 9999", "sent again once, under a new tag")


def test_job_fails_twice(server, undisturbed, outcome, tmp_path):
    server.faults.fail_job("Internal error", 9999, times=2)
    with pytest.raises(JobError, match=r"'mine', round 1, client 4, train step 0, job \w+ failed: .*Internal error"):
        Client(tmp_path / "j").ask()
    assert len(server.jobs) == 2
    assert np.array_equal(Client(tmp_path / "j").ask(), undisturbed)
    outcome("job fails with 9999 twice", "an error with the job's id; a resumed run tries again")


def test_job_fails_for_the_circuit_s_reasons(server, outcome):
    server.faults.fail_job("The circuit is nonsense", 1524)
    with pytest.raises(JobError, match=r"job \w+ failed: .*nonsense"):
        Client().ask()
    assert len(server.jobs) == 1
    outcome("job fails with another code", "an error with the job's id, not sent again")


def test_job_runs_too_long(server, undisturbed, outcome):
    server.faults.fail_job("Too long", 1305)
    client = Client()
    answer = client.ask()
    assert [(s.part, s.state) for s in client.journal.all()] == [("", "too long"), ("0", "done"), ("1", "done")]
    assert answer.shape == undisturbed.shape
    assert np.array_equal(client.ask(), answer), "the journal answers in the same parts"
    assert len(server.jobs) == 3
    assert client.network.usage.jobs == 4
    outcome("past max_execution_time (1305)", "split in halves, 1 + 2 jobs")


def test_one_sample_runs_too_long(server, outcome):
    server.faults.fail_job("Too long", 1305)
    with pytest.raises(JobError, match="one sample is too long"):
        Client().ask(rows=1)


@pytest.mark.parametrize("policy", ["stop", "resubmit"])
def test_somebody_cancels_the_job(server, undisturbed, outcome, tmp_path, policy):
    device = server.devices["ibm_manila"]
    device.hold()

    def cancel():
        server.wait_for(lambda s: s.jobs)
        server.jobs[0].end("Cancelled", "by a colleague")
        device.release()

    threading.Thread(target=cancel).start()
    client = Client(tmp_path / "j", on_cancellation=policy)
    if policy == "resubmit":
        assert np.array_equal(client.ask(), undisturbed)
    else:
        with pytest.raises(JobError, match=r"job \w+ cancelled"):
            client.ask()
        assert client.journal.spent_seconds() == 0
        assert np.array_equal(Client(tmp_path / "j").ask(), undisturbed)
    assert len(server.jobs) == 2
    outcome(
        f"job cancelled, on_cancellation: {policy}", "sent again" if policy == "resubmit" else "an error; resumable"
    )


def test_batch_is_closed(server, undisturbed, outcome):
    client = Client()
    with client.backend.together():
        client.ask(round=1)
        server.close_sessions()
        client.ask(round=2)
    assert len({job.session_id for job in server.jobs}) == 2
    assert len(finished(server)) == 2
    outcome("batch closed between two jobs", "another batch is opened, 2 jobs")


@pytest.mark.parametrize("what", ["offline", "paused"])
def test_device_is_not_there(server, undisturbed, outcome, tmp_path, what):
    device = server.devices["ibm_manila"]
    if what == "offline":
        device.operational = False
    else:
        device.status = "internal"
    with pytest.raises(BackendError, match=f"ibm_manila is {what}"):
        Client(tmp_path / "j").ask()
    assert not server.jobs
    device.operational, device.status = True, "active"
    assert np.array_equal(Client(tmp_path / "j").ask(), undisturbed)
    outcome(f"device {what}", "nothing is sent; an error, resumable")


def test_usage_limit_is_near(server, outcome):
    server.usage.consumed_seconds = server.usage.limit_seconds - 1.5
    with pytest.raises(BudgetError, match=r"needs 2\.\d QPU seconds, but the account has 1\.5 s left, .* \d\.\d s are"):
        Client().ask()
    assert not server.jobs
    outcome("usage limit reached", "nothing is sent; BudgetError says what is missing, resumable")


def test_calibration_changes(server, outcome):
    client = Client()
    before, date = client.network.program, client.network.calibration()["date"]
    client.network.refresh()
    assert client.network.program is before
    server.devices["ibm_manila"].recalibrate(factor=3.0)
    client.network.refresh()
    assert client.network.program is not before
    assert client.network.calibration()["date"] > date
    client.ask()
    outcome("calibration changes", "read again each round, the circuit is transpiled again")


def test_waiting_can_be_stopped(server, undisturbed, tmp_path):
    """Ctrl-C: the run's threads stop waiting, and the job lives."""
    server.devices["ibm_manila"].hold()
    client = Client(tmp_path / "j", waiting={"poll_seconds": 30})
    threading.Timer(1.0, client.dispatcher.patience.stop).start()
    started = time.monotonic()
    with pytest.raises(StoppedError):
        client.ask()
    assert time.monotonic() - started < 10
    assert [job.state for job in server.jobs] == ["Queued"]
    server.devices["ibm_manila"].release()
    assert np.array_equal(Client(tmp_path / "j").ask(), undisturbed)
    assert len(server.jobs) == 1


@pytest.mark.slow
def test_service_stays_out_of_reach(server, outcome):
    client = Client(waiting={"outage_seconds": 1.5})
    server.devices["ibm_manila"].hold()
    server.faults.drop("GET /jobs.*", times=1000)
    with pytest.raises(JobError, match="has not done what was asked for 1.5 s .* live on"):
        client.ask()
    assert len(server.jobs) == 1
    outcome("service out of reach for longer than outage_seconds", "an error; the job lives, resumable")
