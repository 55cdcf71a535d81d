"""A pool of worker processes: orders in, answers out as they come, whatever becomes of a process."""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any, Generic, Protocol, TypeVar

from qiskit_fedqml.errors import TrainingError
from qiskit_fedqml.federation.interruption import check_interrupted
from qiskit_fedqml.workers.memory import Memory, Rooms
from qiskit_fedqml.workers.messages import Answer, Setup
from qiskit_fedqml.workers.process import DeathError, WorkerProcess

_LOOK_SECONDS = 0.2
"""Longest wait for workers in one go, so that Ctrl-C arrives."""


def usable_cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Order(Protocol):
    """What a worker is asked to do."""

    @property
    def count(self) -> int:
        """How many answers it wants."""

    @property
    def seconds(self) -> float | None:
        """How long it may take; None is as long as it takes."""

    def sent(self, inbox: Memory) -> Any:
        """Return what is sent of it; large arrays are put into the worker's inbox."""
        ...


OrderT = TypeVar("OrderT", bound=Order)
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True)
class Lost:
    """What comes in the place of the answers that are missing.

    Args:
        reason: Why they are, in words.
        seconds: How long the worker was busy.
    """

    reason: str
    seconds: float


@dataclass
class _Job(Generic[OrderT]):
    """A worker and what it works on."""

    worker: WorkerProcess
    order: OrderT
    started: float = field(default_factory=time.perf_counter)
    answered: int = 0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    @property
    def is_over_time(self) -> bool:
        is_late = self.order.seconds is not None and self.seconds > self.order.seconds
        return is_late and not self.worker.connection.poll()  # an answer that waits is only read late


@dataclass
class WorkerPool:
    """Worker processes, which are started when they are first needed and kept.

    Args:
        setup: What each of them is set up with.
        count: How many there are at most.
        common: Shared memory that all of them read.
        is_fresh: Whether each order gets a process of its own.
    """

    setup: Setup
    count: int
    common: Memory
    is_fresh: bool = False
    _workers: "list[WorkerProcess]" = field(default_factory=list, init=False)
    _starting: "set[WorkerProcess]" = field(default_factory=set, init=False)
    _shown: set[tuple[str, str]] = field(default_factory=set, init=False)

    def start(self, count: int) -> None:
        """Start workers, so that there are so many, or as many as the pool has; they import what they need meanwhile.

        Workers that have died since they were last used are replaced.
        """
        for worker in [worker for worker in self._workers if not worker.is_alive]:
            self._drop(worker)
        while len(self._workers) < min(count, self.count):
            self._add()

    @property
    def is_ready(self) -> bool:
        """Whether a worker waits for orders, or has failed to start."""
        return any(worker not in self._starting or worker.connection.poll() for worker in self._workers)

    def run(
        self, orders: Sequence[OrderT], opened: Callable[[Any, Rooms], Sequence[AnswerT]]
    ) -> Iterator[tuple[OrderT, Sequence[AnswerT] | Lost, float]]:
        """Run orders; give answers as they come, with their order and when that was begun.

        Where a worker dies or takes too long, one :class:`Lost` comes in the place of the answers that are missing, and
        another worker takes its place.

        Args:
            orders: The orders, in the order in which they are begun.
            opened: Makes a list of what was sent as answers and of the rooms of the worker's outbox.

        Raises:
            FedQMLError: What a worker raises; what it does otherwise is lost.
            TrainingError: A worker died as it started.
        """
        waiting, busy = deque(orders), dict[WorkerProcess, _Job[OrderT]]()
        self.start(len(waiting))
        try:
            while waiting or busy:
                check_interrupted()
                for worker in self._idle(busy):
                    if waiting:
                        busy[worker] = self._given(worker, waiting.popleft())
                for worker in self._heard(busy):
                    if worker in self._starting:
                        self._greet(worker)
                    else:
                        job = busy[worker]
                        yield job.order, self._answers(job, opened, busy, is_needed=bool(waiting)), job.started
                for job in [job for job in busy.values() if job.is_over_time]:
                    reason = f"its worker process was ended after its time limit of {job.order.seconds:g} s."
                    yield job.order, self._lost(job, reason, busy, is_needed=bool(waiting)), job.started
        finally:
            for worker in busy:  # the caller has gone, or something was raised: what they work on is of no use
                if worker in self._workers:  # and the pool has not been stopped meanwhile
                    self._drop(worker)

    def stop(self) -> None:
        """End the workers; what they still work on is lost."""
        for worker in self._workers:
            worker.ask_to_end()
        for worker in list(self._workers):
            self._drop(worker)

    def _idle(self, busy: Container[WorkerProcess]) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker not in busy and worker not in self._starting]

    def _heard(self, busy: Iterable[WorkerProcess]) -> list[WorkerProcess]:
        """Wait for workers; return those that have something to say."""
        by_connection = {worker.connection: worker for worker in (*busy, *self._starting)}
        return [by_connection[connection] for connection in wait(list(by_connection), _LOOK_SECONDS)]  # type: ignore[index]

    def _given(self, worker: WorkerProcess, order: OrderT) -> _Job[OrderT]:
        job = _Job(worker, order)
        worker.send((order.count, order.sent(worker.memories.inbox), worker.rooms.lend()))
        return job

    def _greet(self, worker: WorkerProcess) -> None:
        """Read what a worker that has started says.

        Raises:
            FedQMLError: What it raises.
            TrainingError: It has died.
        """
        self._starting.discard(worker)
        try:
            answer = worker.receive()
        except DeathError as death:
            self._drop(worker)
            raise TrainingError(f"A worker process could not start: {death}") from death
        self._raised(answer)

    def _answers(
        self,
        job: _Job[OrderT],
        opened: Callable[[Any, Rooms], Sequence[AnswerT]],
        busy: dict[WorkerProcess, _Job[OrderT]],
        *,
        is_needed: bool,
    ) -> Sequence[AnswerT] | Lost:
        """Return a job's next answers."""
        try:
            answer = job.worker.receive()
        except DeathError as death:
            return self._lost(job, str(death), busy, is_needed=is_needed)
        self._raised(answer)
        values = opened(answer.content, job.worker.rooms)
        job.answered += len(values)
        if job.answered < job.order.count:
            job.worker.send(job.worker.rooms.lend())
            return values
        del busy[job.worker]
        if self.is_fresh:
            self._replace(job.worker, is_needed=is_needed)
        return values

    def _raised(self, answer: Answer) -> None:
        """Log what a worker logged; raise what it raised.

        Raises:
            FedQMLError: It raised something.
        """
        for record in answer.logged:
            said = record.name, record.getMessage()
            if said not in self._shown:  # what all of them say of a machine is shown once
                self._shown.add(said)
                logging.getLogger(record.name).handle(record)
        if answer.failure is not None:
            raise answer.failure.error()

    def _lost(
        self, job: _Job[OrderT], reason: str, busy: dict[WorkerProcess, _Job[OrderT]], *, is_needed: bool
    ) -> Lost:
        del busy[job.worker]
        self._replace(job.worker, is_needed=is_needed)
        return Lost(reason, job.seconds)

    def _replace(self, worker: WorkerProcess, *, is_needed: bool) -> None:
        self._drop(worker)
        if is_needed:
            self._add()

    def _add(self) -> None:
        worker = WorkerProcess(self.setup, self.common)
        self._workers.append(worker)
        self._starting.add(worker)

    def _drop(self, worker: WorkerProcess) -> None:
        self._workers.remove(worker)
        self._starting.discard(worker)
        worker.end()
