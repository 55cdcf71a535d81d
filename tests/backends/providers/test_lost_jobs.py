"""What a kill leaves of a provider's job: found by its id where that is possible, else said, and never sent twice."""

import numpy as np
import pytest

from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.backends.devices.request import JobWaiting
from qiskit_fedqml.backends.providers.machine import LOST, ProviderMachine
from qiskit_fedqml.errors import JobError
from tests.backends.ibm.test_resuming import Killed, killing
from tests.backends.providers.shop import Answer


@pytest.mark.parametrize("factory", ["Shop", "Keeper"])
@pytest.mark.parametrize(("where", "line"), [(Journal, "sent"), (Journal, "done"), (ProviderMachine, "result")])
def test_job_is_found_again_by_its_id(customer, monkeypatch, factory, where, line):
    undisturbed = customer("Shop").ask(round=9)
    first = customer(factory)
    killing(monkeypatch, where, line)
    with pytest.raises(Killed):
        first.ask()
    resumed = customer(factory)
    assert np.array_equal(resumed.ask(), undisturbed), "the seed of the shop's outcomes comes from the angles"
    assert len(resumed.vendor.orders()) == 2
    assert [s.state for s in resumed.submissions] == ["done", "done"]
    assert np.array_equal(customer(factory).ask(), undisturbed), "from the journal"


def test_job_of_many_parts_has_one_name_and_is_found_whole(customer, monkeypatch):
    arguments = {"max_circuits": 5}
    first = customer(arguments=arguments)
    killing(monkeypatch, Journal, "done")
    with pytest.raises(Killed):
        first.ask()
    number = len(first.vendor.orders())
    assert number == -(-first.submissions[0].circuits // 5)
    resumed = customer(arguments=arguments)
    resumed.vendor.max_circuits = 3  # the provider takes fewer circuits a job by now
    resumed.ask()
    assert len(resumed.vendor.orders()) == number
    assert resumed.submissions[0].job_id == f"order-0000 and {number - 1} more"


@pytest.mark.parametrize("on_lost_job", ["stop", "resubmit"])
@pytest.mark.parametrize(
    ("factory", "killed_at", "says"),
    [
        ("Shop", "remember", "nobody knows whether it was accepted: look at the provider's own list of jobs"),
        ("Vendor", "done", "the process that sent it has ended, and Vendor has no method retrieve_job"),
    ],
)
def test_job_that_cannot_be_found(customer, monkeypatch, factory, killed_at, says, on_lost_job):
    first = customer(factory)
    killing(monkeypatch, Journal, killed_at, after=1 if killed_at == "remember" else 0)
    with pytest.raises(Killed):
        first.ask()
    assert len(first.vendor.orders()) == 1
    resumed = customer(factory, on_lost_job=on_lost_job)
    if on_lost_job == "stop":
        with pytest.raises(JobError, match=f"failed: .*{says}.*is sent again when the run is resumed"):
            resumed.ask()
        assert len(resumed.vendor.orders()) == 1, "nothing is sent without the user's word"
        resumed = customer(factory)
    resumed.ask()
    assert len(resumed.vendor.orders()) == 2
    assert [s.state for s in resumed.submissions] == ["failed", "done"]
    spent = resumed.dispatcher.journal.spent_executions("mine")
    assert spent == 2 * resumed.submissions[0].executions, "what may have been charged counts"


def test_connection_that_breaks_while_a_job_is_sent(customer):
    bought = customer()
    bought.vendor.refusals = [ConnectionResetError("reset by peer")]
    with pytest.raises(JobError, match=f"job {LOST}fq[0-9a-f]* failed: .*nobody knows"):
        bought.ask()
    bought.ask()
    assert len(bought.vendor.orders()) == 1


def test_job_that_its_provider_knows_no_longer(customer, monkeypatch):
    first = customer()
    killing(monkeypatch, Journal, "done")
    with pytest.raises(Killed):
        first.ask()
    first.vendor.orders()[0].unlink()
    with pytest.raises(JobError, match=r"cannot find a job again \(KeyError: 'no order order-0000'\)"):
        customer().ask()


def test_limit_of_requests_is_waited_for(customer):
    class TooMany(Exception):
        status_code = 429

    bought = customer()
    bought.vendor.refusals = [TooMany("slower"), TooMany("slower")]
    bought.ask()
    assert len(bought.vendor.orders()) == 1


def test_parts_of_a_job_that_is_refused_are_cancelled(customer):
    bought = customer(arguments={"max_circuits": 5, "state": "QUEUED"})
    bought.vendor.refusals = [None, None, ValueError("the third part is too much")]
    with pytest.raises(JobError, match="2 parts of it were taken and then cancelled: .*the third part is too much"):
        bought.ask()
    assert bought.dispatcher.journal.spent_executions("mine") > 0, "they may have been charged"
    states = [order["state"] for order in bought.vendor.written()]
    assert states == ["CANCELLED", "CANCELLED"]


@pytest.mark.parametrize(("state", "says"), [("ERROR", "RuntimeError: the trap lost its ion"), ("CANCELLED", "it was")])
def test_job_that_ends_without_an_answer(customer, state, says):
    bought = customer(arguments={"state": state})
    with pytest.raises(JobError, match=says):
        bought.ask()


def test_results_that_cannot_be_read_are_those_of_a_lost_job(customer, monkeypatch):
    bought = customer()
    monkeypatch.setattr(Answer, "get_counts", lambda _: 1 / 0)
    with pytest.raises(JobError, match=r"results cannot be used: .*ZeroDivisionError.*; a resumed run sends it again"):
        bought.ask()
    monkeypatch.undo()
    bought.ask()
    assert [s.state for s in bought.submissions] == ["failed", "done"]


def test_queue_is_waited_in_and_left_on_request(customer):
    bought, seen = customer(arguments={"state": "QUEUED"}), []

    def look(waiting: JobWaiting):
        seen.append(waiting.status.state)
        if seen.count("queued") == 3:
            (path,) = bought.vendor.orders()
            path.write_text(path.read_text().replace("QUEUED", "DONE"))

    bought.dispatcher.on_waiting = look
    bought.ask()
    assert seen == ["preparing", "sending", "queued", "queued", "queued", "done"]
    assert bought.backend.machine.cancel(bought.submissions[0].job_id) is False


def test_open_job_is_cancelled_from_another_process(customer, monkeypatch):
    first = customer(arguments={"state": "RUNNING"})
    killing(monkeypatch, Journal, "sent", after=1)
    with pytest.raises(Killed):
        first.ask()
    other = customer()
    (submission,) = other.dispatcher.journal.open("mine")
    fates = other.dispatcher.cancel(other.backend.machine, submission, other.backend.entry.waiting)
    assert fates == {"order-0000": "cancelled"}
    assert other.vendor.written()[0]["state"] == "CANCELLED"
