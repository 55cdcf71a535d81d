"""Who trains which client: simulators share one worker; each device has a worker of its own, in its own thread.

Simulated clients are bound by the processor, so they run one after another. Clients on devices wait in queues, so
devices work beside each other and beside the simulators; the clients of one device follow each other, and their jobs go
in one batch. The result is the same whichever way, to the bit.
"""

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from qiskit_fedqml.backends.base import QueuedBackend
from qiskit_fedqml.errors import FedQMLError
from qiskit_fedqml.federation.clients.client import Worker, train_client
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 5.0
"""How long devices' threads get to notice that the run stops."""


@dataclass
class Workers:
    """The workers of a run.

    Args:
        shared: Trains the clients of simulators, and tests for the centre.
        make: Makes the worker of a device, by its backend's name.
        queued: Says whether a backend's jobs wait in a queue elsewhere.
        stop: Lets all threads stop waiting for jobs; the jobs live.
        of_devices: The workers of devices that were used so far.
    """

    shared: Worker
    make: Callable[[str], Worker]
    queued: Callable[[str], bool]
    stop: Callable[[], None]
    of_devices: dict[str, Worker] = field(default_factory=dict)

    def worker_for(self, backend: str) -> Worker:
        """Return the worker that trains a backend's clients."""
        if not self.queued(backend):
            return self.shared
        if backend not in self.of_devices:
            self.of_devices[backend] = self.make(backend)
        return self.of_devices[backend]

    def all(self) -> list[Worker]:
        """Return all workers that there are so far."""
        return [self.shared, *self.of_devices.values()]


def run_clients(workers: Workers, tasks: Sequence[ClientTask]) -> Iterator[ClientUpdate]:
    """Run tasks, and give their updates in the order of the tasks.

    Raises:
        BackendError: As :func:`~qiskit_fedqml.federation.clients.client.train_client`.
        BudgetError: As :func:`~qiskit_fedqml.federation.clients.client.train_client`.
    """
    on_devices: dict[str, list[ClientTask]] = {}
    for task in tasks:
        if workers.queued(task.backend):
            on_devices.setdefault(task.backend, []).append(task)
    if on_devices:
        yield from _run_beside_devices(workers, tasks, on_devices)
        return
    for task in tasks:
        yield train_client(workers.shared, task)


def _run_beside_devices(
    workers: Workers, tasks: Sequence[ClientTask], on_devices: dict[str, list[ClientTask]]
) -> Iterator[ClientUpdate]:
    arrived: queue.SimpleQueue[ClientUpdate | BaseException] = queue.SimpleQueue()
    threads = [
        threading.Thread(
            target=_run_on_device, args=(workers.worker_for(name), of_device, arrived), name=name, daemon=True
        )
        for name, of_device in on_devices.items()
    ]
    for thread in threads:
        thread.start()
    done: dict[int, ClientUpdate] = {}
    num_given = 0
    try:
        for task in tasks:
            if task.backend not in on_devices:
                done[task.client_id] = _with_own_tensors(train_client(workers.shared, task))
                while not arrived.empty():  # what went wrong on a device must not wait for the simulators
                    update = _next(arrived)
                    done[update.client_id] = update
        for task in tasks:
            while task.client_id not in done:
                update = _next(arrived)
                done[update.client_id] = update
            if len(done) + num_given == len(tasks):
                for thread in threads:  # a device's thread still closes its batch and asks what was charged
                    while thread.is_alive():
                        thread.join(0.2)  # in short waits, so that Ctrl-C arrives
            yield done.pop(task.client_id)
            num_given += 1
    except BaseException:
        workers.stop()
        for thread in threads:
            thread.join(_GRACE_SECONDS)
        raise


def _run_on_device(
    worker: Worker, tasks: Sequence[ClientTask], arrived: "queue.SimpleQueue[ClientUpdate | BaseException]"
) -> None:
    try:
        layer = worker.use_backend(tasks[0].backend)
        backend = layer.neural_network.backend if layer else None
        assert isinstance(backend, QueuedBackend)
        failed = []
        with backend.together():
            for task in tasks:
                update = train_client(worker, task)
                failed += [update.client_id] if update.status.startswith("failed") else []
                arrived.put(_with_own_tensors(update))
        try:
            backend.close_round(tasks[0].round, failed)
        except FedQMLError as error:  # nothing is lost by it, so that the round goes on
            logger.warning("Backend %r: the round could not be tidied up: %s", backend.name, error)
    except BaseException as error:
        arrived.put(error)


def _next(arrived: "queue.SimpleQueue[ClientUpdate | BaseException]") -> ClientUpdate:
    """Wait for an update; in short waits, so that Ctrl-C arrives."""
    while True:
        try:
            item = arrived.get(timeout=0.2)
        except queue.Empty:
            continue
        if isinstance(item, BaseException):
            raise item
        return item


def _with_own_tensors(update: ClientUpdate) -> ClientUpdate:
    """Return an update that stays as it is when its worker trains the next client."""
    if update.state is None:
        return update
    return replace(update, state={name: tensor.clone() for name, tensor in update.state.items()})
