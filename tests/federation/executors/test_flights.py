"""Tasks on their way across server steps: handed out once, and a step's updates are those that are written down."""

import json
from functools import partial
from threading import Event

import pytest
import torch

from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.config.buffered import BufferedOptions
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.federation.algorithms.buffered_on_devices import BufferedOnDevices
from qiskit_fedqml.federation.executors import flights
from qiskit_fedqml.federation.executors.executor import in_task_order
from qiskit_fedqml.federation.executors.flights import FlightExecutor
from qiskit_fedqml.federation.runs.assembly import assemble
from qiskit_fedqml.federation.server_state import ServerState

OPTIONS = BufferedOptions(buffer=2)


def flight_executor(federation, journal):
    def make_worker():
        return federation.executor.worker

    return FlightExecutor((), make_worker, make_worker, lambda: None, journal)


@pytest.fixture
def run(tiny):
    """Return a function that takes server steps with a journal, and gives the states after them."""
    federation = assemble(tiny(federation__clients=6, federation__clients_per_round=4), None, None)
    algorithm = BufferedOnDevices(federation.algorithm.setting, OPTIONS)

    def steps(journal, server=None, count=3):
        executor = flight_executor(federation, journal)
        states = [server or algorithm.init(federation.initial.model)]
        try:
            for _ in range(count):
                server = states[-1]
                is_enough = partial(algorithm.is_enough, server)
                tasks = executor.arriving(algorithm.next_tasks(server), server.step + 1, is_enough)
                assert len(tasks) == 2
                states.append(algorithm.apply(server, in_task_order(tasks, executor.run(tasks)))[0])
                assert len(states[-1].flights) == 4
        finally:
            executor.stop()
        return states

    return steps


def equal(one, other):
    return all(torch.equal(one.model[name], other.model[name]) for name in one.model)


def test_steps_are_repeated_from_any_checkpoint(run):
    journal = Journal()
    states = run(journal)
    assert states[3].dispatched == 4 + 3 * 2
    assert not equal(states[2], states[3])
    for first in (0, 1, 2):
        server = ServerState.from_named(*states[first].named())
        assert equal(run(journal, server, 3 - first)[-1], states[3])


def test_what_is_written_down_counts_and_not_who_is_first(run):
    (start, usual) = run(Journal(), count=1)
    arrived = {f.client_id for f in start.flights} - {f.client_id for f in usual.flights if f.model_version == 0}
    others = sorted({f.client_id for f in start.flights} - arrived)[:2]
    journal = Journal()
    journal.remember("updates of step 1", json.dumps(others))
    (_, other) = run(journal, count=1)
    assert {f.client_id for f in other.flights if f.model_version == 0} == {f.client_id for f in start.flights} - {
        *others
    }
    assert not equal(usual, other)


def test_journal_of_another_run_is_refused(run):
    journal = Journal()
    journal.remember("updates of step 1", json.dumps([0, 99]))
    with pytest.raises(ResultError, match="that of another run: its updates of step 1 are of others"):
        run(journal, count=1)


def test_tasks_that_wait_are_not_begun_once_the_run_has_ended(tiny, monkeypatch):
    federation = assemble(tiny(federation__clients=6, federation__clients_per_round=4), None, None)
    algorithm = BufferedOnDevices(federation.algorithm.setting, BufferedOptions(buffer=1))
    executor, begun, train, may_end = flight_executor(federation, Journal()), [], flights.train_client, Event()

    def watched(worker, task):
        begun.append(task.client_id)
        if len(begun) == 2:
            may_end.wait(10)
        return train(worker, task)

    monkeypatch.setattr(flights, "train_client", watched)
    monkeypatch.setattr(flights, "GRACE_SECONDS", 0.01)
    server = algorithm.init(federation.initial.model)
    executor.arriving(algorithm.next_tasks(server), 1, partial(algorithm.is_enough, server))
    (thread,) = executor._threads
    executor.stop()
    may_end.set()
    thread.join(10)
    assert not thread.is_alive()
    assert 1 <= len(begun) <= 2


def test_a_task_that_began_in_an_earlier_step_has_waited_less_than_nothing(tiny):
    federation = assemble(tiny(federation__clients=6, federation__clients_per_round=4), None, None)
    algorithm = BufferedOnDevices(federation.algorithm.setting, OPTIONS)
    executor = flight_executor(federation, Journal())
    server = algorithm.init(federation.initial.model)
    tasks = algorithm.next_tasks(server)
    try:
        arrived = executor.arriving(tasks, 1, lambda clients: len(clients) == 4)
        assert all(update.waited_seconds >= 0 for update in executor.run(arrived[:2]))
        began = executor._step_began
        executor.arriving(arrived[2:], 2, lambda clients: len(clients) == 2)
        between = executor._step_began - began
        for update in executor.run(arrived[2:]):
            assert -between <= update.waited_seconds < 0
            assert update.waited_seconds + update.seconds <= 0, "it had ended before the step"
    finally:
        executor.stop()
