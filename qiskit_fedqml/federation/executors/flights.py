"""Tasks that are on their way across server steps: a thread for each device, and one for all simulators.

A task is handed out once, when the state that holds it is on disk, and its update is kept here until the server steps.
Which updates made a step is written down in the journal of jobs before the step is taken. So a run that is resumed
hands the tasks of its checkpoint out again, the journal answers what was sent before, and a step that was taken once is
taken from the same updates again.
"""

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from qiskit_fedqml.backends.base import QueuedBackend
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.errors import BackendError, FedQMLError, ResultError
from qiskit_fedqml.federation.clients.client import train_client
from qiskit_fedqml.federation.clients.worker import Worker
from qiskit_fedqml.federation.executors.arrivals import GRACE_SECONDS, Arrivals, next_arrival
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, Status

logger = logging.getLogger(__name__)

_SIMULATORS = ""
"""Stands for all simulators in the place of a device's name."""


@dataclass
class FlightExecutor:
    """Lets tasks be on their way while the server steps.

    Args:
        devices: Names of the backends whose jobs wait in a queue.
        make_worker: Makes the worker of a device.
        make_simulators_worker: Makes the worker of all simulators.
        let_go: Lets all threads stop waiting for jobs; the jobs live on.
        journal: Where it is written down which updates made a step.
    """

    devices: Collection[str]
    make_worker: Callable[[], Worker]
    make_simulators_worker: Callable[[], Worker]
    let_go: Callable[[], None]
    journal: Journal
    _waiting: dict[str, "queue.SimpleQueue[_HandedOut | None]"] = field(default_factory=dict, init=False)
    _threads: list[threading.Thread] = field(default_factory=list, init=False)
    _handed_out: dict[tuple[int, int], float] = field(default_factory=dict, init=False)
    _step_began: float = field(default=0.0, init=False)
    _arrivals: Arrivals = field(default_factory=queue.SimpleQueue, init=False)
    _held: dict[int, ClientUpdate] = field(default_factory=dict, init=False)
    _has_ended: threading.Event = field(default_factory=threading.Event, init=False)

    def arriving(
        self, tasks: Sequence[ClientTask], server_step: int, is_enough: Callable[[Sequence[int]], bool]
    ) -> list[ClientTask]:
        """Hand out what is not on its way yet, and wait until enough updates for a step have arrived.

        Args:
            tasks: All tasks on their way.
            server_step: The step, from 1.
            is_enough: Says of clients whether their updates are enough.

        Returns:
            The tasks whose updates make the step, by client.

        Raises:
            ResultError: The journal cannot be read or written, or names clients that have no task.
            FedQMLError: What a client raises.
        """
        self._step_began = time.perf_counter()
        for task in tasks:
            if (task.client_id, task.server_step) not in self._handed_out:
                self._hand_out(task)
        name = f"updates of step {server_step}"
        written = self.journal.recall(name)
        by_client = {task.client_id: task for task in tasks}
        chosen = self._first(is_enough) if written is None else self._written(name, written, by_client)
        if written is None:
            self.journal.remember(name, json.dumps(chosen))
        while not self._held.keys() >= {*chosen}:
            self._take()
        return [by_client[client] for client in sorted(chosen)]

    def run(self, tasks: Sequence[ClientTask]) -> Iterator[ClientUpdate]:
        """Give the updates of tasks that have arrived; those that began before this step have waited less than 0 s."""
        for task in tasks:
            update, handed_out = self._held.pop(task.client_id), self._handed_out[task.client_id, task.server_step]
            yield replace(update, waited_seconds=update.waited_seconds + handed_out - self._step_began)

    def stop(self) -> None:
        """Let all threads end, each after the task that it works on; jobs live on."""
        self._has_ended.set()
        self.let_go()
        for waiting in self._waiting.values():
            waiting.put(None)
        for thread in self._threads:
            thread.join(GRACE_SECONDS)
        self._waiting.clear()
        self._threads.clear()

    def _written(self, name: str, text: str, known: Collection[int]) -> list[int]:
        """Return the clients that were written down."""
        try:
            chosen: list[int] = [int(client) for client in json.loads(text)]
        except (ValueError, TypeError, RecursionError) as error:
            raise ResultError(f"The journal {self.journal.name} is damaged: its {name} cannot be read.") from error
        if not {*known} >= {*chosen}:
            raise ResultError(f"The journal {self.journal.name} is that of another run: its {name} are of others.")
        return chosen

    def _first(self, is_enough: Callable[[Sequence[int]], bool]) -> list[int]:
        """Wait for enough updates; return the clients of those that came first."""
        chosen: list[int] = []
        while not is_enough(chosen):
            while len(self._held) == len(chosen):
                self._take()
            chosen.append(list(self._held)[len(chosen)])
        return chosen

    def _take(self) -> None:
        update = next_arrival(self._arrivals)
        self._held[update.client_id] = update

    def _hand_out(self, task: ClientTask) -> None:
        place = task.backend if task.backend in self.devices else _SIMULATORS
        if place not in self._waiting:
            waiting = self._waiting[place] = queue.SimpleQueue()
            make_worker = self.make_simulators_worker if place == _SIMULATORS else self.make_worker
            args = (make_worker, waiting, self._arrivals, self._has_ended)
            thread = threading.Thread(target=_work, args=args, name=place or "simulators", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._handed_out[task.client_id, task.server_step] = now = time.perf_counter()
        self._waiting[place].put(_HandedOut(task, now))


@dataclass(frozen=True)
class _HandedOut:
    """A task, and when it was handed out."""

    task: ClientTask
    at: float


def _work(
    make_worker: Callable[[], Worker],
    waiting: "queue.SimpleQueue[_HandedOut | None]",
    arrivals: Arrivals,
    has_ended: threading.Event,
) -> None:
    """Work on one task after another, until there is None or the run has ended."""
    try:
        worker = make_worker()
        while (item := waiting.get()) is not None and not has_ended.is_set():
            waited = time.perf_counter() - item.at
            arrivals.put(replace(_trained(worker, item.task), waited_seconds=waited))
    except BaseException as error:
        arrivals.put(error)


def _trained(worker: Worker, task: ClientTask) -> ClientUpdate:
    try:
        backend = worker.backends[task.backend]
    except BackendError:  # the client finds that out by itself, and is skipped or ends the run
        return train_client(worker, task)
    if not isinstance(backend, QueuedBackend):
        return train_client(worker, task)
    with backend.together():
        update = train_client(worker, task)
    try:
        backend.close_round(task.server_step, [task.client_id] if update.status is Status.FAILED else [])
    except FedQMLError as error:  # nothing is lost by it, so the run continues
        logger.warning("Backend %r: a task could not be tidied up: %s", backend.name, error)
    return update
