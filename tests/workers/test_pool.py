"""Worker processes: what becomes of orders, and of workers that raise, die, or take too long."""

import logging
import os
import threading
import time
from dataclasses import dataclass

import pytest

from qiskit_fedqml.errors import DataError, TrainingError
from qiskit_fedqml.workers.memory import Memory
from qiskit_fedqml.workers.messages import Failure, Setup
from qiskit_fedqml.workers.pool import Lost, WorkerPool


@dataclass(frozen=True)
class Say:
    """An order: what a worker does, and how many answers it wants."""

    what: str
    count: int = 1
    seconds: float | None = None

    def sent(self, inbox):
        return self.what


def make(kit, memories):
    """What does the work; runs in the worker."""
    if kit == "broken":
        raise DataError("no data.")

    def work(what):
        if what == "die":
            os._exit(3)
        if what == "sleep":
            time.sleep(600)
        if what == "nap":
            time.sleep(0.5)
        if what == "raise":
            raise ZeroDivisionError("by zero")
        if what == "unpicklable":
            yield [lambda: None]
        lock = {"lock": threading.Lock()}  # which no message can hold
        logging.getLogger("qiskit_fedqml.x").warning("The calibration has gaps.", extra=lock)
        yield [f"{what} 1"]
        if what == "die later":
            os._exit(3)
        yield [f"{what} 2", f"{what} 3"]

    return work


@pytest.fixture
def pool():
    made = []

    def start(kit="", count=1, **options):
        made.append(WorkerPool(Setup(make, kit, threads=1), count, Memory(), **options))
        return made[-1]

    yield start
    for each in made:
        each.stop()


def run(pool, *orders):
    return [(order.what, answers) for order, answers, _ in pool.run(orders, lambda content, _: content)]


@pytest.mark.slow
def test_what_becomes_of_orders(pool, caplog):
    """One pool, because a worker takes a second to start."""
    workers = pool()
    assert run(workers, Say("a"), Say("b", count=3)) == [("a", ["a 1"]), ("b", ["b 1"]), ("b", ["b 2", "b 3"])]
    assert caplog.text.count("The calibration has gaps.") == 1, "what workers log is shown once"
    with pytest.raises(TrainingError, match=r"^ZeroDivisionError: by zero \(test_pool.py, line \d+\)$"):
        run(workers, Say("raise"))
    with pytest.raises(TrainingError, match=r"^\w+: .*pickle"):
        run(workers, Say("unpicklable"))
    first, second, third = run(workers, Say("die"), Say("sleep", seconds=0.2), Say("c"))
    assert isinstance(first[1], Lost)
    assert first[1].reason == "its worker process died (exit code 3), perhaps for want of memory."
    assert second[1].reason == "its worker process was ended after its time limit of 0.2 s."
    assert second[1].seconds < 30
    assert third == ("c", ["c 1"])
    answered, lost = run(workers, Say("die later", count=3))
    assert answered == ("die later", ["die later 1"])
    assert isinstance(lost[1], Lost)


@pytest.mark.slow
def test_an_answer_that_is_read_late_is_not_lost(pool):
    """Whoever takes the answers may do something else in between, such as waiting for a test."""
    workers, found = pool(count=2), []
    workers.start(2)
    while workers._starting:
        run(workers, Say("a"))
    for order, answer, _ in workers.run([Say("a", seconds=2.0), Say("nap", seconds=2.0)], lambda content, _: content):
        found.append((order.what, answer))
        time.sleep(2.2 if len(found) == 1 else 0.0)
    assert found == [("a", ["a 1"]), ("nap", ["nap 1"])]


@pytest.mark.slow
def test_a_worker_that_cannot_be_set_up_is_a_clear_error(pool):
    with pytest.raises(DataError, match=r"^no data\.$"):
        run(pool("broken"), Say("a"))


@pytest.mark.slow
def test_each_order_may_have_a_process_of_its_own(pool):
    workers = pool(is_fresh=True)
    pids = []
    for order in ("a", "b"):
        for _ in workers.run([Say(order)], lambda content, _: content):
            pids += [worker.pid for worker in workers._workers]
    assert not workers._workers
    assert len(set(pids)) == len(pids)


def test_errors_travel_as_their_kind():
    assert isinstance(Failure.of(DataError("no file.")).error(), DataError)
    assert str(Failure.of(DataError("no file.")).error()) == "no file."
    assert str(Failure.of(ZeroDivisionError("by zero")).error()) == "ZeroDivisionError: by zero"
