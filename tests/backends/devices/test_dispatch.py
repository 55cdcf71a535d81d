"""The dispatcher on a machine of the test's own, for what a service seldom does: late listings, races, budgets."""

import threading

import numpy as np
import pytest

from qiskit_fedqml.backends.devices.cost import JobCost, Timing
from qiskit_fedqml.backends.devices.dispatch import Dispatcher
from qiskit_fedqml.backends.devices.machine import JobStatus, RateLimitedError, UnreachableError
from qiskit_fedqml.backends.devices.request import JobRequest, Policy
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.config.devices import Waiting
from qiskit_fedqml.errors import BudgetError, JobError

POLICY = Policy(Waiting(poll_seconds=0.01, outage_seconds=0.5))


class Machine:
    """A machine that answers at once; ``listed_after`` looks a job is listed by its tag."""

    device, account = "mine", "crn"

    def __init__(self, listed_after=0):
        self.jobs, self.looks, self.listed_after = {}, 0, listed_after
        self.cancelled, self.refuse, self.lose, self.double = set(), [], 0, 0

    def check_ready(self):
        pass

    def remaining_seconds(self):
        return None

    def submit(self, pub, tag, shots=None):
        if self.refuse:
            raise self.refuse.pop()
        for _ in range(1 + self.double):
            self.jobs[f"job-{len(self.jobs)}"] = tag
        self.double = 0
        if self.lose:
            self.lose -= 1
            raise UnreachableError("the line broke")
        return f"job-{len(self.jobs) - 1}"

    def find(self, tag):
        self.looks += 1
        return [job for job, of in self.jobs.items() if of == tag] if self.looks > self.listed_after else []

    def status(self, job_id):
        return JobStatus("cancelled") if job_id in self.cancelled else JobStatus("done")

    def result(self, job_id):
        return np.ones((2, 1, 1))

    def usage(self, job_id):
        return 3.0

    def cancel(self, job_id):
        return False


def _shape(details):
    return 2, 1, 1


def request(step=0, seconds=2.0, fingerprint="same"):
    key, angles = JobKey(1, 0, step, "train"), np.zeros((2, 3))
    return JobRequest("mine", key, "", fingerprint, angles, {}, lambda: None, JobCost(1, 1, seconds), _shape)


@pytest.mark.parametrize("listed_after", [0, 1, 2])
def test_accepted_job_that_is_listed_late_is_not_sent_again(listed_after):
    machine = Machine(listed_after)
    machine.lose = 1
    Dispatcher().run(machine, request(), POLICY)
    assert list(machine.jobs) == ["job-0"]


def test_duplicate_that_is_listed_late_is_counted():
    machine = Machine(listed_after=1)
    machine.double = 1
    dispatcher = Dispatcher()
    _, submission = dispatcher.run(machine, request(seconds=5.0), POLICY)
    assert submission.duplicates == {"job-0": "ran"}
    assert dispatcher.journal.spent_seconds() == 3.0 + 5.0


def test_pauses_end_when_an_outage_lasts_too_long():
    machine = Machine()
    machine.refuse = [RateLimitedError("429")] * 1000
    with pytest.raises(JobError, match=r"'mine', round 1, client 0, train step 0: the service has not done"):
        Dispatcher().run(machine, request(), POLICY)
    assert not machine.jobs


def test_other_question_under_the_same_key():
    dispatcher, machine = Dispatcher(), Machine()
    dispatcher.run(machine, request(), POLICY)
    with pytest.raises(JobError, match="holds another question under this key"):
        dispatcher.run(machine, request(fingerprint="other"), POLICY)
    assert len(machine.jobs) == 1


def test_budget_of_the_run_holds_for_threads_together():
    """Twenty threads, each with a job of 2 s, and 11 s: no more than five jobs."""
    dispatcher, machines, stopped = Dispatcher(budget_seconds=11.0), [Machine() for _ in range(20)], []
    for machine in machines:
        machine.usage = lambda _: 2.0

    def run(step):
        try:
            dispatcher.run(machines[step], request(step), POLICY)
        except BudgetError as error:
            stopped.append(str(error))

    threads = [threading.Thread(target=run, args=(step,)) for step in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(machine.jobs) for machine in machines) == 5
    assert len(stopped) == 15
    assert (
        "of the run's budget, 11 s, 10.0 s are spent or under way: 1.0 s are missing. Nothing was sent." in stopped[0]
    )


def test_budget_counts_what_was_reported():
    dispatcher, policy = Dispatcher(), Policy(POLICY.waiting, budget_seconds=7.0)
    machine = Machine()  # charges 3 s where 2 s were planned
    dispatcher.run(machine, request(0), policy)
    dispatcher.run(machine, request(1), policy)
    with pytest.raises(BudgetError, match="of the budget of backend 'mine', 7 s, 6.0 s are spent"):
        dispatcher.run(machine, request(2), policy)
    dispatcher.run(machine, request(1), policy)  # what was paid for is still answered
    assert len(machine.jobs) == 2


def test_budget_is_not_passed_by_rounding():
    """0.1 + 0.2 is a little more than 0.3."""
    dispatcher, machine, policy = Dispatcher(budget_seconds=0.3), Machine(), Policy(POLICY.waiting, budget_seconds=0.3)
    machine.usage = lambda _: 0.1
    dispatcher.run(machine, request(0, seconds=0.1), policy)
    dispatcher.run(machine, request(1, seconds=0.2), policy)
    assert len(machine.jobs) == 2
    with pytest.raises(BudgetError):
        dispatcher.run(machine, request(2, seconds=0.1001), policy)


def test_cost_of_a_job():
    """2 s + (length + repetition delay) · executions: such as 4 µs circuits, 250 µs delay."""
    cost = Timing(4e-6, 250e-6).cost(1000, 4_000_000)
    assert cost.seconds == pytest.approx(2 + 254e-6 * 4e6)
