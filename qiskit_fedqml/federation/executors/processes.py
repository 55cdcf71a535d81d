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
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from qiskit_fedqml.errors import TrainingError
from qiskit_fedqml.federation.executors import worker_process
from qiskit_fedqml.federation.executors.parcels import Delivery, Order
from qiskit_fedqml.federation.executors.worker_process import Kit
from qiskit_fedqml.federation.interruption import check_interrupted
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate

_LOOK_SECONDS = 0.2
"""Longest wait for workers in one go, so that Ctrl-C arrives."""
_END_SECONDS = 5.0
"""How long a worker gets to end by itself."""


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
    _shown: set[str] = field(default_factory=set, init=False)

    def run(self, tasks: Sequence[ClientTask]) -> Iterator[ClientUpdate]:
        """Run tasks; give their updates as they finish.

        Raises:
            FedQMLError: What :func:`~qiskit_fedqml.federation.clients.client.train_client` raises.
            TrainingError: A worker's process died.
        """
        handed_out, waiting = time.perf_counter(), deque(tasks)
        self._start(min(self.workers, len(tasks)))
        idle = deque(self._running)
        busy: dict[object, _WorkerProcess] = {}
        starts: dict[int, float] = {}
        while waiting or busy:
            check_interrupted()
            while waiting and idle:
                worker, task = idle.popleft(), waiting.popleft()
                starts[task.client_id] = time.perf_counter() - handed_out
                worker.send(Order.of(task))
                busy[worker.connection] = worker
            for connection in wait([worker.connection for worker in busy.values()], _LOOK_SECONDS):
                worker = busy.pop(connection)
                idle.append(worker)
                delivery = worker.receive()
                self._show(delivery.logged)
                update = delivery.open()
                yield replace(update, waited_seconds=starts[update.client_id])

    def stop(self) -> None:
        """End the workers."""
        workers, self._running = self._running, []
        for worker in workers:
            worker.end()

    def _start(self, count: int) -> None:
        """Start workers, so that there are so many; they import what they need at the same time."""
        new = [_WorkerProcess() for _ in range(count - len(self._running))]
        self._running += new
        for worker in new:
            worker.send(self.kit)

    def _show(self, records: Sequence[logging.LogRecord]) -> None:
        """Log what workers logged; what all of them say of the same machine, once."""
        for record in records:
            if record.getMessage() not in self._shown:
                self._shown.add(record.getMessage())
                logging.getLogger(record.name).handle(record)


class _WorkerProcess:
    """A process that works on one task at a time.

    It is a program of its own: Python's `multiprocessing` would run the user's script in it once more, unless that has
    a guard.
    """

    def __init__(self) -> None:
        here, there = socket.socketpair()
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-m", worker_process.__name__, str(there.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                pass_fds=[there.fileno()],
                start_new_session=True,  # so that Ctrl-C reaches this process alone, which stops the others
            )
        self.connection: Connection[Any, Any] = Connection(here.detach())

    def send(self, message: object) -> None:
        """Send the kit, or an order.

        Raises:
            TrainingError: The process has died.
        """
        try:
            self.connection.send(message)
        except (BrokenPipeError, ConnectionError) as error:
            raise self._death() from error

    def receive(self) -> Delivery:
        """Return what became of the order that was sent last.

        Raises:
            TrainingError: The process has died.
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

    def _death(self) -> TrainingError:
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return TrainingError("A worker process no longer answers.")
        reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return TrainingError(f"A worker process died ({reason}), perhaps for want of memory.")
