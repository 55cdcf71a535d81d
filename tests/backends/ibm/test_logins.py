"""Logins that expire, are refused, or cannot be renewed: at every request, for a moment and for good."""

import logging
import threading
import time
import traceback
import warnings

import numpy as np
import pytest

from qiskit_fedqml.errors import BackendError, JobError
from tests.backends.conftest import Client

REQUESTS = {
    "asking for the device's state": "GET /backends/ibm_manila/status",
    "asking what the account has left": "GET /instances/usage",
    "opening a batch": "POST /sessions",
    "submitting": "POST /jobs",
    "looking a job up": "GET /jobs",
    "polling": "GET /jobs/[^/]+",
    "reading results": "GET /jobs/[^/]+/results",
    "asking for the charge": "GET /jobs/[^/]+/metrics",
    "closing the batch": "(PATCH|DELETE) /sessions/.*",
    "reading the calibration": "GET /backends/ibm_manila/properties",
}


@pytest.fixture(scope="module")
def value():
    """What one sample gives when nothing goes wrong."""
    return Client(device="FakeManilaV2", layout_trials=1).ask(rows=1, jacobian=False)


def round_of(client):
    """Do what a round does with a device: read its calibration, send one job in a batch, settle charges."""
    client.backend.refresh()
    with client.backend.together():
        answer = client.ask(rows=1, jacobian=False)
    client.backend.close_round(1, [])
    return answer


def check_one_job(server, client):
    """Check that one job was accepted, charged and written down, and that its batch is closed."""
    (submission,) = client.journal.all()
    (job,) = server.jobs
    assert (submission.state, submission.job_id, submission.duplicates) == ("done", job.id, {})
    assert submission.reported_seconds == pytest.approx(job.quantum_seconds)
    assert [session.state for session in server.sessions if session.jobs] == ["closed"]


@pytest.mark.parametrize("during", REQUESTS)
def test_login_is_refused_once(server, value, outcome, during):
    client = Client.quick()
    server.faults.answer(REQUESTS[during], status=401)
    assert np.array_equal(round_of(client), value)
    check_one_job(server, client)
    assert server.faults.pending == 0
    assert server.count("POST", "/jobs") == (2 if during == "submitting" else 1)
    outcome(f"401 while {during}", "logged in again, 1 job accepted, 0 duplicates")


@pytest.mark.slow
@pytest.mark.parametrize("processed", [False, True])
def test_token_is_revoked_at_any_request(server, value, outcome, processed):
    """Before each of a round's requests in turn, and between its being carried out and its answer."""
    client = Client.quick()
    server.requests.clear()
    round_of(client)
    num_requests = len(server.requests)
    for number in range(num_requests):
        server.reset()
        client = Client.quick()
        server.faults.call(".*", server.revoke_tokens, processed=processed, after=number)
        assert np.array_equal(round_of(client), value)
        check_one_job(server, client)
    moment = "after" if processed else "before"
    outcome(f"token revoked {moment} each of {num_requests} requests", "each time 1 job accepted, 0 duplicates")


@pytest.mark.parametrize("seconds", [0.7, pytest.param(3.0, marks=pytest.mark.slow)])
def test_identity_service_is_down_when_a_token_is_renewed(server, value, outcome, seconds):
    """Tokens count for a second; the job waits for longer, so that all of them expire."""
    server.account.token_seconds = 1
    client = Client.quick(waiting={"outage_seconds": 30})
    server.devices["ibm_manila"].hold()
    server.faults.outage("POST /identity/token", seconds, status=503)
    threading.Timer(seconds + 0.5, server.devices["ibm_manila"].release).start()
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        assert np.array_equal(round_of(client), value)
    check_one_job(server, client)
    outcome(f"identity service down for {seconds:g} s at a renewal", "waited, logged in again, 1 job, no duplicate")


@pytest.mark.parametrize(
    "body",
    [
        "no JSON",
        *(
            pytest.param(body, marks=pytest.mark.slow)
            for body in ("", {}, {"access_token": "nonsense", "expires_in": 1}, {"items": []})
        ),
    ],
)
@pytest.mark.parametrize("route", ["POST /identity/token", "POST /v3/resources/search", "GET /backends"])
def test_new_login_is_answered_with_nonsense(server, value, route, body):
    client = Client.quick(waiting={"outage_seconds": 3})
    server.faults.answer("GET /jobs/[^/]+", status=401)
    server.faults.answer(route, status=200, body=body)
    assert np.array_equal(round_of(client), value)
    check_one_job(server, client)
    assert server.faults.pending == 0


def test_account_loses_its_access_for_a_while(server, value, outcome):
    """403 is waited for where the same request was answered before, without new logins."""
    client = Client.quick(waiting={"outage_seconds": 3})
    client.ask(round=2, rows=1, jacobian=False)
    server.store.jobs.clear()
    server.faults.answer("POST /jobs", status=403, times=4)
    assert np.array_equal(client.ask(rows=1, jacobian=False), value)
    assert len(server.jobs) == 1
    assert server.count("POST", "/v3/resources/search") == 1
    outcome("403 four times on submit, after it worked", "waited for, 1 job")


@pytest.mark.parametrize(("status", "route"), [(401, "POST /jobs"), (403, "POST /jobs"), (401, "POST /sessions")])
def test_account_that_never_had_access_ends_the_run_quickly(server, outcome, status, route):
    client = Client.quick(waiting={"outage_seconds": 3})
    server.faults.answer(route, status=status, times=1000)
    started = time.monotonic()
    with (
        pytest.raises(
            JobError, match=rf"client 4, train step 0: the service refuses the account \({status}: As .*3 times"
        ),
        client.backend.together(),
    ):
        client.ask(rows=1, jacobian=False)
    assert time.monotonic() - started < 2.8
    assert not server.jobs
    assert client.journal.spent_seconds() == 0
    outcome(f"{status} on every {route} from the beginning", "an error after three logins")


def test_account_that_opens_nothing(server):
    server.faults.answer("GET /(backends|instances).*", status=401, times=1000)
    with pytest.raises(
        BackendError, match=r"Backend 'mine': the service cannot be opened: .* refuses the account \(401"
    ):
        Client.quick(waiting={"outage_seconds": 2})
    assert server.count("POST", "/v3/resources/search") == 3


@pytest.mark.parametrize("outage", [2, pytest.param(900, marks=pytest.mark.slow)])
def test_wrong_key(server, outcome, monkeypatch, outage):
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "wrong-but-secret")
    started = time.monotonic()
    with pytest.raises(
        BackendError, match=r"the identity service refuses the account's key \(400: Provided API"
    ) as error:
        Client.quick(waiting={"outage_seconds": outage})
    assert time.monotonic() - started < 10
    assert "wrong-but-secret" not in str(error.value)
    assert server.count("POST", "/identity/token") >= 3
    outcome("wrong key", "an error after three logins, without the key")


def test_identity_service_is_down_when_a_run_begins(server, value):
    server.faults.answer("POST /identity/token", status=503)
    assert np.array_equal(Client.quick().ask(rows=1, jacobian=False), value)
    server.faults.answer("POST /identity/token", status=503, times=1000)
    with pytest.raises(BackendError, match="the identity service is out of order .503"):
        Client.quick(waiting={"outage_seconds": 2})
    server.faults.drop("POST /identity/token", times=1000)
    server.faults._faults.pop(0)
    with pytest.raises(
        BackendError, match="identity service gives no answer, since the connection fails or breaks off"
    ):
        Client.quick(waiting={"outage_seconds": 2})


def test_login_that_stays_refused_ends_with_the_outage(server, value, outcome, tmp_path):
    """The job lives; a resumed run takes it up."""
    client = Client.quick(tmp_path / "j", waiting={"outage_seconds": 0.6})
    server.devices["ibm_manila"].hold()
    told = []

    def refuse(job):
        told.append(job)
        if len(told) == 4:
            server.faults.answer("GET /jobs/[^/]+", status=401, times=1000)

    client.dispatcher.on_waiting = refuse
    with pytest.raises(JobError, match=r"job \w+: the service has not done what was asked for 0.6 s \(the service ref"):
        client.ask(rows=1, jacobian=False)
    server.faults.clear()
    server.devices["ibm_manila"].release()
    assert np.array_equal(Client.quick(tmp_path / "j").ask(rows=1, jacobian=False), value)
    assert len(server.jobs) == 1
    outcome("401 for longer than outage_seconds", "an error; the job lives, taken up by the resumed run")


def test_login_is_refused_while_a_job_is_cancelled(server):
    server.devices["ibm_manila"].hold()
    client = Client.quick(waiting={"queue_seconds": 0.1})
    with pytest.raises(JobError, match="still waits"):
        client.ask(rows=1, jacobian=False)
    server.faults.answer("POST /jobs/[^/]+/cancel", status=401)
    client.backend.close_round(1, [4])
    assert [job.state for job in server.jobs] == ["Cancelled"]


def test_submission_is_accepted_once_and_then_refused_with_401(server, value, outcome):
    """The library sends again after a 503, without a word; the second answer, a 401, is the one that it tells."""
    server.faults.answer("POST /jobs", status=503, processed=True)
    server.faults.answer("POST /jobs", status=401)
    client = Client.quick()
    assert np.array_equal(client.ask(rows=1, jacobian=False), value)
    assert len(server.jobs) == 1
    outcome("503 on submit, accepted; then 401", "found by its tag, 1 job")


def test_batch_that_is_gone_after_a_new_login(server, value):
    client = Client.quick()
    with client.backend.together():
        client.ask(round=2, rows=1, jacobian=False)
        server.faults.answer("POST /jobs", status=401)
        server.faults.answer("GET /sessions/[^/]+", status=404, times=2)
        assert np.array_equal(client.ask(rows=1, jacobian=False), value)
    assert len(server.sessions) == 2
    assert len(server.jobs) == 2


def everything_in(error):
    """Return all that an error and those that hang on to it hold."""
    seen, todo = "", [error]
    while todo:
        one = todo.pop()
        seen += "".join(traceback.format_exception(one)) + repr(vars(one))
        request = getattr(one, "request", None)
        seen += repr(getattr(request, "headers", "")) + repr(getattr(request, "body", ""))
        todo += [e for e in (one.__cause__, one.__context__) if e is not None]
    return seen


@pytest.mark.parametrize("status", [401, 403, 400])
def test_error_holds_no_secret_however_deep_one_looks(server, status):
    client = Client.quick(waiting={"outage_seconds": 1})
    server.faults.answer("POST /jobs", status=status, times=100)
    with pytest.raises(BackendError) as caught:
        client.ask(rows=1, jacobian=False)
    seen = everything_in(caught.value)
    assert server.token not in seen
    assert "Bearer ey" not in seen


def test_no_secret_in_logs_and_warnings(server, tmp_path, caplog):
    """Also where the library falls back on the key itself, because it cannot renew a token."""
    caplog.set_level(logging.DEBUG, logger="qiskit_fedqml")
    server.account.token_seconds = 1
    client = Client.quick(tmp_path / "j")
    time.sleep(1.1)
    server.faults.answer("POST /identity/token", status=400, times=2, body={"errorMessage": server.token})
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        client.ask(rows=1, jacobian=False)
    assert any("API Key will be used" in str(w.message) for w in warned), "the library has fallen back"
    assert "new login" in caplog.text
    assert server.token not in caplog.text
    assert server.token not in (tmp_path / "j").read_bytes().decode(errors="ignore")
