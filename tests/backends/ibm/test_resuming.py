"""What a resumed or disturbed run must not do: send twice, lose what was paid, pass a budget, show a secret."""

import json
import threading
import time

import numpy as np
import pytest

from qiskit_fedqml import quantum_layer
from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.devices.finder import Finder
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.config.backends import BackendsFile
from qiskit_fedqml.errors import BackendError, BudgetError, JobError
from tests.backends.conftest import FAST, Client


class Killed(BaseException):
    """Stands for a kill at one line of the package."""


def killing(monkeypatch, where, name, after=0):
    """Let a method die once, after it has done its work ``after`` times."""
    original, left = getattr(where, name), [after]

    def method(*arguments, **keywords):
        if left[0] == 0:
            monkeypatch.setattr(where, name, original)
            raise Killed
        left[0] -= 1
        return original(*arguments, **keywords)

    monkeypatch.setattr(where, name, method)


def completed(server):
    return [job for job in server.jobs if job.state == "Completed"]


@pytest.mark.parametrize("line", ["sent", "done", "drop_duplicates", "reported"])
def test_killed_after_the_service_took_a_submission_twice(server, undisturbed, tmp_path, monkeypatch, line):
    server.faults.answer("POST /jobs", status=503, processed=True)
    killing(monkeypatch, Finder if line.startswith("drop") else Journal, line)
    with pytest.raises(Killed):
        Client(tmp_path / "j").ask()
    server.wait_for(lambda s: len(completed(s)) + sum(j.state == "Cancelled" for j in s.jobs) == 2)
    resumed = Client(tmp_path / "j")
    assert np.array_equal(resumed.ask(), undisturbed)
    resumed.backend.settle()
    assert len(server.jobs) == 2
    (submission,) = resumed.journal.all()
    assert len(submission.duplicates) == 1
    ran = len(completed(server))
    assert resumed.journal.spent_seconds() == pytest.approx(ran * submission.planned_seconds, rel=0.01)


def test_accepted_and_then_refused(server, undisturbed):
    """The library's first post is accepted and answered by 503; its second, of which it tells, is refused."""
    server.faults.answer("POST /jobs", status=503, processed=True)
    server.faults.answer("POST /jobs", status=400)
    assert np.array_equal(Client().ask(), undisturbed)
    assert len(server.jobs) == 1


@pytest.mark.slow
@pytest.mark.parametrize("route", ["POST /sessions", "GET /instances/usage", "POST /jobs"])
def test_request_that_was_given_up_sends_no_job_later(server, undisturbed, route):
    after = 1 if route == "GET /instances/usage" else 0  # the second is the library's own, right before the job
    server.faults.call(route, lambda: time.sleep(5), after=after)
    client = Client(waiting={"request_seconds": 1.5})
    with client.backend.together():
        assert np.array_equal(client.ask(), undisturbed)
    time.sleep(5)
    client.backend.settle()
    (submission,) = client.journal.all()
    assert len(server.jobs) == 1 + len(submission.duplicates)
    assert len(server.jobs) <= (2 if route == "POST /jobs" else 1), (
        "a late job finds its batch closed, or is a duplicate"
    )
    assert len(completed(server)) == 1 + sum(fate == "ran" for fate in submission.duplicates.values())


def test_layout_that_changes_before_an_intended_job_is_sent(server, tmp_path, monkeypatch):
    killing(monkeypatch, type(Client().backend.machine), "submit")
    first = Client(tmp_path / "j", initial_layout=[0, 1])
    with pytest.raises(Killed):
        first.ask()
    second = Client(tmp_path / "j", initial_layout=[3, 4])
    fewer = second.network.program.shifting(range(8))
    second.network.program, second.network.programs = fewer, {**second.network.programs, "all": fewer}
    second.ask()
    (submission,) = second.journal.all()
    assert submission.request["shifted"] == list(second.network.program.shifted)
    (job,) = server.jobs
    assert (submission.executions, submission.circuits) == (job.executions, job.circuits)


def test_layout_that_changes_after_a_job_was_sent(server, tmp_path, monkeypatch):
    """The answer is read with the angles that were shifted then."""
    killing(monkeypatch, Journal, "done")
    first = Client(tmp_path / "j")
    first.network.program = first.network.program.shifting(range(7))
    with pytest.raises(Killed):
        first.ask()
    second = Client(tmp_path / "j")
    second.network.reseed(7, JobKey(1, 4, 0, "train"))
    _, jacobian = second.network.evaluate(second.inputs, second.weights, jacobian=True)
    assert jacobian.any()
    assert len(server.jobs) == 1


@pytest.mark.slow
@pytest.mark.parametrize("what", ["paused", "account", "budget"])
def test_intended_job_is_checked_again_before_it_is_sent(server, undisturbed, tmp_path, monkeypatch, what):
    killing(monkeypatch, type(Client().backend.machine), "submit")
    with pytest.raises(Killed):
        Client(tmp_path / "j").ask()
    if what == "paused":
        server.devices["ibm_manila"].status = "internal"
    elif what == "account":
        server.usage.consumed_seconds = server.usage.limit_seconds
    with pytest.raises((BackendError, BudgetError), match="paused" if what == "paused" else "are missing"):
        Client(tmp_path / "j", budget=1.0 if what == "budget" else None).ask()
    assert not server.jobs
    server.devices["ibm_manila"].status, server.usage.consumed_seconds = "active", 0
    assert np.array_equal(Client(tmp_path / "j").ask(), undisturbed)


def test_account_is_not_passed_by_devices_together(server):
    server.usage.limit_seconds = server.usage.consumed_seconds + 3.0
    server.metrics_pending = True
    client = Client()
    client.ask()
    with pytest.raises(BudgetError, match="of which 2.3 s are under way"):
        client.ask(round=2)


def test_charge_cannot_be_read(server, undisturbed):
    server.faults.answer("GET /jobs/[^/]+/metrics", status=404, times=2)
    client = Client()
    assert np.array_equal(client.ask(), undisturbed)
    (submission,) = client.journal.all()
    assert submission.reported_seconds is None
    assert not client.dispatcher.settle(client.backend.machine, "mine")
    assert client.dispatcher.settle(client.backend.machine, "mine")


def test_deleted_job(server, undisturbed, tmp_path):
    server.devices["ibm_manila"].hold()
    with pytest.raises(JobError, match="still waits"):
        Client(tmp_path / "j", waiting={"queue_seconds": 0.3}).ask()
    server.faults.answer("GET /jobs/[^/]+", status=404)
    with pytest.raises(JobError, match=r"job \w+ failed: it was deleted"):
        Client(tmp_path / "j").ask()
    server.devices["ibm_manila"].release()
    assert np.array_equal(Client(tmp_path / "j").ask(), undisturbed)


def test_what_a_skipped_client_left_behind_is_cancelled(server):
    server.devices["ibm_manila"].hold()
    client = Client(waiting={"queue_seconds": 0.3})
    with pytest.raises(JobError, match="still waits"):
        client.ask()
    client.backend.close_round(1, [4])
    assert [job.state for job in server.jobs] == ["Cancelled"]
    assert client.journal.open() == []
    assert client.journal.spent_seconds() == 0


def test_jobs_of_other_rounds_and_clients_are_left_alone(server, undisturbed, tmp_path):
    """A checkpoint may be two rounds late, so that a replay's end finds jobs of a later round."""
    server.devices["ibm_manila"].hold()
    client = Client(tmp_path / "j", waiting={"queue_seconds": 0.3})
    with pytest.raises(JobError):
        client.ask(round=2)
    client.backend.close_round(1, [4])
    client.backend.close_round(2, [5])
    assert [job.state for job in server.jobs] == ["Queued"]
    server.devices["ibm_manila"].release()
    assert np.array_equal(client.ask(round=2), undisturbed)
    assert len(server.jobs) == 1


@pytest.mark.slow
def test_duplicate_that_could_not_be_cancelled_at_once(server, undisturbed):
    server.devices["ibm_manila"].hold()
    server.faults.answer("POST /jobs", status=503, processed=True)
    server.faults.answer("POST /jobs/[^/]+/cancel", status=429)
    client = Client()
    threading.Timer(4.0, server.devices["ibm_manila"].release).start()
    assert np.array_equal(client.ask(), undisturbed)
    assert sorted(job.state for job in server.jobs) == ["Cancelled", "Completed"]


def test_results_that_are_gone(server, undisturbed, tmp_path):
    server.faults.answer("GET /jobs/[^/]+/results", status=404)
    with pytest.raises(
        JobError, match=r"job \w+: its results cannot be used: the service knows nothing of it .*404.* sends it again"
    ):
        Client(tmp_path / "j").ask()
    resumed = Client(tmp_path / "j")
    assert np.array_equal(resumed.ask(), undisturbed)
    assert [s.state for s in resumed.journal.all()] == ["failed", "done"]
    assert resumed.journal.spent_seconds() == pytest.approx(2 * server.jobs[0].quantum_seconds)


def test_rehearsal_s_plan_counts_in_another_process_too(tmp_path):
    first = Client(tmp_path / "j", device="FakeManilaV2")
    first.ask()
    spent = first.journal.spent_seconds()
    second = Client(tmp_path / "j", device="FakeManilaV2")
    assert second.dispatcher.settle(second.backend.machine, "mine")
    assert second.journal.spent_seconds() == spent > 2


def test_place_of_an_error_stands_once(server):
    server.faults.fail_job("nonsense", 1524)
    with pytest.raises(JobError) as error:
        Client().ask()
    assert str(error.value).count("client 4") == 1


def test_job_that_is_not_listed_is_cancelled_by_its_id(server):
    server.devices["ibm_manila"].hold()
    client = Client(waiting={"queue_seconds": 0.3})
    with pytest.raises(JobError):
        client.ask()
    server.faults.answer("GET /jobs", status=200, body={"jobs": [], "count": 0}, times=9)
    (submission,) = client.journal.open()
    fates = client.dispatcher.cancel(client.backend.machine, submission, client.backend.entry.waiting)
    assert list(fates.values()) == ["cancelled"]
    assert [job.state for job in server.jobs] == ["Cancelled"]


def test_service_fails_while_a_device_is_opened(server):
    server.faults.answer("GET /backends/ibm_manila/properties", status=400, times=100)
    with pytest.raises(BackendError, match="Backend 'mine': the service refuses the request"):
        Client()


@pytest.mark.slow
def test_service_stalls_while_a_device_is_opened(server):
    server.faults.stall("GET /backends/ibm_manila/properties", seconds=20, times=9)
    started = time.monotonic()
    with pytest.raises(BackendError, match="no answer within 1 s"):
        Client(waiting={"request_seconds": 1})
    assert time.monotonic() - started < 15


def test_second_circuit_on_a_device_sees_its_new_calibration_too(server):
    client = Client()
    other = quantum_layer(client.spec, client.backend).neural_network
    before = other.program
    server.devices["ibm_manila"].recalibrate(factor=2.0)
    client.network.refresh()
    other.refresh()
    assert other.program is not before


def test_replay_in_another_environment_may_differ_by_rounding(server, undisturbed, tmp_path):
    Client(tmp_path / "j").ask()
    near = Client(tmp_path / "j")
    near.inputs = near.inputs + 1e-6
    assert np.allclose(near.ask(), undisturbed, atol=1e-4)
    far = Client(tmp_path / "j")
    far.inputs = far.inputs + 0.1
    with pytest.raises(JobError, match="the journal holds another question under this key"):
        far.ask()
    assert len(server.jobs) == 1


def test_backends_do_not_answer_for_each_other():
    """Without keys, evaluations of two devices are numbered alike."""
    entries = {name: {"type": "ibm", "device": fake, "shots": 64} for name, fake in _FAKES.items()}
    file = BackendsFile.model_validate({"backends": {"ideal": {"type": "aer"}, **entries}})
    registry = BackendRegistry(file, None)
    answers = [
        quantum_layer(Client.spec, registry[name], initial_weights=Client.weights).neural_network.evaluate(
            Client.inputs, Client.weights, jacobian=False
        )[0]
        for name in _FAKES
    ]
    assert not np.array_equal(*answers)
    assert len(registry.dispatcher.journal.all()) == 2


_FAKES = {"a": "FakeManilaV2", "b": "FakeQuitoV2"}


def test_spsa_without_a_seed_has_one_direction_for_points_and_derivatives(monkeypatch):
    client, sent = Client(device="FakeManilaV2", gradient={"spsa": {}}), []
    machine, program = client.backend.machine, client.network.program
    submit = machine.submit
    monkeypatch.setattr(machine, "submit", lambda pub, tag, shots=None: sent.append(pub) or submit(pub, tag))
    angles = np.linspace(-1, 1, 2 * len(program.angles)).reshape(2, -1)
    jacobian = client.backend.evaluate(program, angles, jacobian=True).jacobian
    points = next(iter(sent[0][2].values()))
    direction = np.sign(points[:, 1] - points[:, 0])
    slopes = jacobian * direction[:, None, :]
    assert np.allclose(slopes, slopes[:, :, :1]), "the same slope along the direction for every angle"
    assert slopes.any()


def test_frozen_weights_are_not_shifted(server):
    client = Client()
    _, jacobian = client.network.evaluate(client.inputs, client.weights, jacobian=True, of="inputs")
    (job,) = server.jobs
    assert job.circuits == 2 * (1 + 2 * 4), "four gates of two inputs"
    assert not jacobian[:, :, 2:].any()
    assert jacobian[:, :, :2].any()


def test_least_busy_device_is_kept_when_none_is_free(server, tmp_path):
    chosen = Client(tmp_path / "j", device={"least_busy": {}}).backend.machine.device
    for device in server.devices.values():
        device.online = False
    assert Client(tmp_path / "j", device={"least_busy": {}}).backend.machine.device == chosen


def test_secret_is_in_no_file_and_no_log(server, tmp_path, caplog):
    caplog.set_level("DEBUG", logger="qiskit_fedqml")
    server.faults.drop("POST /jobs")
    Client(tmp_path / "j").ask()
    assert server.token not in (tmp_path / "j").read_bytes().decode(errors="ignore")
    assert server.token not in caplog.text


def test_two_threads_of_one_run_do_not_mix_up_their_answers(server):
    clients = [Client(device=name) for name in ("ibm_manila", "ibm_quito")]
    alone = [client.ask() for client in clients]
    together = {}
    threads = [
        threading.Thread(target=lambda i=i, c=c: together.update({i: c.ask(round=2)})) for i, c in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(together[i], alone[i]) for i in range(2))


def test_entry_s_options_are_stored_as_they_were_given(tmp_path):
    entry = {"type": "ibm", "device": "FakeManilaV2", "options": {"twirling": {"enable_measure": True}}}
    file = BackendsFile.model_validate({"backends": {"ideal": {"type": "aer"}, "mine": entry | {"waiting": FAST}}})
    again = BackendsFile.model_validate(json.loads(json.dumps(file.model_dump(mode="json"))))
    assert again == file
