"""Clients of simulators in several processes, each with a model and compiled circuits of its own.

Every client's numbers derive from its own seeds, so they are the same to the bit for any number of processes and in
whatever order clients end.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from qiskit_fedqml.backends.job import Usage
from qiskit_fedqml.errors import TrainingError
from qiskit_fedqml.federation.executors.parcels import Delivery, Kit, Order
from qiskit_fedqml.federation.interruption import check_interrupted
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, Status

_PROGRAM = "qiskit_fedqml.federation.executors.worker_process"
_LOOK_SECONDS = 0.2
"""Longest wait for workers in one go, so that Ctrl-C arrives."""
_END_SECONDS = 5.0
"""How long a worker gets to end by itself."""


def usable_cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class ProcessExecutor:
    """Runs tasks in worker processes, which are started with the first of them and kept from step to step.

    Args:
        kit: What the workers are made of.
        workers: How many there are.
    """

    kit: Kit
    workers: int
    _running: "list[_WorkerProcess]" = field(default_factory=list, init=False)
    _shown: set[tuple[str, str]] = field(default_factory=set, init=False)

    def run(self, tasks: Sequence[ClientTask]) -> Iterator[ClientUpdate]:
        """Run tasks; give their updates as they finish.

        A client whose worker dies is recorded as failed where ``on_client_failure`` is ``"skip"``, and another worker
        takes its place.

        Raises:
            FedQMLError: What :func:`~qiskit_fedqml.federation.clients.client.train_client` raises.
            TrainingError: A worker died, and ``on_client_failure`` is ``"stop"``.
        """
        handed_out, waiting = time.perf_counter(), deque(tasks)
        self._start(min(self.workers, len(tasks)))
        idle, busy = deque(self._running), dict[object, _Busy]()
        while waiting or busy:
            check_interrupted()
            while waiting and idle:
                worker, task = idle.popleft(), waiting.popleft()
                busy[worker.connection] = _Busy(worker, task, time.perf_counter() - handed_out)
                worker.send(Order.of(task))
            for connection in wait([of.worker.connection for of in busy.values()], _LOOK_SECONDS):
                of = busy.pop(connection)
                try:
                    update = self._received(of)
                    idle.append(of.worker)
                except _DeathError as death:
                    update = self._failed(of, death)
                    idle.append(self._replaced(of.worker))
                yield replace(update, waited_seconds=of.waited)

    def stop(self) -> None:
        """End the workers; what they still work on is lost."""
        workers, self._running = self._running, []
        for worker in workers:
            worker.end()

    def _start(self, count: int) -> None:
        """Start workers, so that there are so many; they import what they need at the same time."""
        self._running += [_WorkerProcess(self.kit) for _ in range(count - len(self._running))]

    def _replaced(self, worker: "_WorkerProcess") -> "_WorkerProcess":
        worker.end()
        place = self._running.index(worker)
        self._running[place] = _WorkerProcess(self.kit)
        return self._running[place]

    def _received(self, of: "_Busy") -> ClientUpdate:
        delivery = of.worker.receive()
        self._log(delivery.logged)
        return delivery.open()

    def _log(self, records: Sequence[logging.LogRecord]) -> None:
        """Log what a worker logged; what all of them say of a machine, once."""
        for record in records:
            said = record.name, record.getMessage()
            if said not in self._shown:
                self._shown.add(said)
                logging.getLogger(record.name).handle(record)

    def _failed(self, of: "_Busy", death: "_DeathError") -> ClientUpdate:
        task = of.task
        if self.kit.config.on_client_failure == "stop":
            raise TrainingError(f"Round {task.server_step}, client {task.client_id}: {death}") from death
        return ClientUpdate(
            client_id=task.client_id,
            backend=task.backend,
            simulator="none",
            num_examples=len(self.kit.data.open(task.client_id)),
            train_loss=None,
            seconds=time.perf_counter() - of.since,
            usage=Usage(),
            status=Status.FAILED,
            reason=str(death),
        )


@dataclass(frozen=True)
class _Busy:
    """A worker at work."""

    worker: "_WorkerProcess"
    task: ClientTask
    waited: float
    since: float = field(default_factory=time.perf_counter)


class _DeathError(Exception):
    """A worker's process has died."""


class _WorkerProcess:
    """A process that works on one task at a time.

    It is a program of its own: Python's `multiprocessing` would run the user's script in it once more, unless that has
    a guard.
    """

    def __init__(self, kit: Kit) -> None:
        here, there = socket.socketpair()
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _PROGRAM, str(there.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                pass_fds=[there.fileno()],
                start_new_session=True,  # so that Ctrl-C reaches this process alone, which stops the others
            )
        self.connection: Connection[Any, Any] = Connection(here.detach())
        self.send(kit)

    def send(self, message: Kit | Order) -> None:
        """Send the kit, or an order; of a process that has died this shows when its answer is read."""
        with suppress(ConnectionError):
            self.connection.send(message)

    def receive(self) -> Delivery:
        """Return what became of the order that was sent last.

        Raises:
            _DeathError: The process has died.
        """
        try:
            delivery: Delivery = self.connection.recv()
        except (EOFError, ConnectionError) as error:
            raise self._death() from error
        return delivery

    def end(self) -> None:
        """End the process; what it still works on is lost."""
        self.connection.close()
        self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _death(self) -> _DeathError:
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return _DeathError("its worker process no longer answers.")
        reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return _DeathError(f"its worker process died ({reason}), perhaps for want of memory.")
