"""Clients of one device in lockstep: each step of all of them is one job.

Each client trains in a thread of its own, by the same code as alone. Where it would ask the device, it waits until
every other client has asked too, or has ended; then one of them asks for all. One thread computes at a time, so that
nothing is gained or lost by threads but the waiting for each other.
"""

import queue
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qiskit_fedqml.backends.base import JointBackend
from qiskit_fedqml.backends.devices.patience import StoppedError
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.program import Asked, Evaluation, Program
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.federation.clients.client import train_client
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate

if TYPE_CHECKING:
    from qiskit_fedqml.federation.clients.worker import Worker

MOST_TOGETHER = 32
"""Most clients in lockstep, each of which has a model in memory; more follow each other in groups."""
_LOOK_SECONDS = 0.2
"""Longest wait for the others in one go, so that a stop is noticed."""
_GRACE_SECONDS = 5.0
"""How long clients get to notice it."""


@dataclass(frozen=True)
class _Step:
    """What one client asks the device."""

    program: Program
    asked: Asked
    jacobian: bool
    key: JobKey

    @property
    def sort(self) -> Hashable:
        """What must be equal for steps of several clients to travel in one job."""
        return self.jacobian, self.key.kind, self.key.server_step, self.program.shifted


@dataclass
class Lockstep:
    """Brings the questions of clients together.

    Args:
        backend: The device.
        clients: The clients that take part.
    """

    backend: JointBackend
    clients: Sequence[int]
    _active: set[int] = field(init=False)
    _waiting: dict[int, _Step] = field(default_factory=dict, init=False)
    _answers: dict[int, Evaluation | BaseException] = field(default_factory=dict, init=False)
    _counts: dict[Hashable, int] = field(default_factory=dict, init=False)
    _turn: threading.Condition = field(default_factory=threading.Condition, init=False)
    _is_stopped: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._active = set(self.clients)

    def run(self, client: int, work: Callable[[], None]) -> None:
        """Let a client work, in its own thread: whenever another one waits."""
        with self._turn:
            try:
                work()
            finally:
                self._active.discard(client)
                self._ask_if_all_wait()

    def stop(self) -> None:
        """Let all clients end at their next step."""
        self._is_stopped = True

    def ask(self, program: Program, asked: Asked, *, jacobian: bool, key: JobKey) -> Evaluation:
        """Ask the device together with the other clients; called by the thread of the client that asks.

        Raises:
            BackendError: As :meth:`JointBackend.evaluate_jointly`, for all that asked.
            StoppedError: The clients are to end.
        """
        client = asked.client
        assert client is not None, "the server takes no part"
        self._waiting[client] = _Step(program, asked, jacobian, key)
        self._ask_if_all_wait()
        while client not in self._answers:
            if self._is_stopped:
                raise StoppedError("The run is being stopped.")
            self._turn.wait(_LOOK_SECONDS)
        answer = self._answers.pop(client)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _ask_if_all_wait(self) -> None:
        """Ask for all, once every client that still works has asked."""
        if self._is_stopped or not self._waiting or self._waiting.keys() != self._active:
            return
        steps, self._waiting = [self._waiting[client] for client in self.clients if client in self._waiting], {}
        sorts = dict.fromkeys(step.sort for step in steps)
        for sort in sorts:
            alike = [step for step in steps if step.sort == sort]
            members = [step.asked.client for step in alike]
            try:
                answers: Sequence[Evaluation | BaseException] = self._evaluate(alike)
            except BaseException as error:
                answers = [error] * len(alike)
            self._answers.update(zip((m for m in members if m is not None), answers, strict=True))
        self._turn.notify_all()

    def _evaluate(self, steps: Sequence[_Step]) -> list[Evaluation]:
        first = steps[0]
        clients = tuple(step.key.client for step in steps if step.key.client is not None)
        counted = (first.key.server_step, first.key.kind, clients)
        number = self._counts.get(counted, 0)
        self._counts[counted] = number + 1
        key = JobKey(first.key.server_step, None, number, first.key.kind, clients)
        asked = [step.asked for step in steps]
        return self.backend.evaluate_jointly(first.program, asked, jacobian=first.jacobian, key=key)


def train_together(
    lead: "Worker", others: "Sequence[Worker]", tasks: Sequence[ClientTask], backend: JointBackend
) -> Iterator[ClientUpdate]:
    """Train clients in lockstep; give their updates as they finish.

    Args:
        lead: The device's worker, which has the circuit compiled for it.
        others: A worker for each task.
        tasks: The tasks, all on the same device.
        backend: The device.

    Raises:
        FedQMLError: What a client raises; the others end at their next step.
    """
    lockstep = Lockstep(backend, [task.client_id for task in tasks])
    finished = queue.SimpleQueue[ClientUpdate | BaseException]()
    has_twins = lead.blueprint.has_circuit
    if has_twins:
        try:
            lead.layer_on(tasks[0].backend).neural_network.refresh()
        except BackendError:  # each client finds that out by itself, and is skipped or ends the run
            has_twins = False

    def run(worker: "Worker", task: ClientTask) -> None:
        def work() -> None:
            if has_twins:
                worker.use_twin_of(lead, task.backend, lockstep.ask)
            finished.put(train_client(worker, task))

        try:
            lockstep.run(task.client_id, work)
        except BaseException as error:
            finished.put(error)

    threads = [
        threading.Thread(target=run, args=pair, name=f"client {pair[1].client_id}", daemon=True)
        for pair in zip(others, tasks, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in tasks:
            update = finished.get()
            if isinstance(update, BaseException):
                raise update
            yield update
    finally:
        lockstep.stop()
        for thread in threads:
            thread.join(_GRACE_SECONDS)
