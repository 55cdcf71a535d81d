"""A thread for each device, while the calling thread runs the simulators.

Clients on devices wait in queues, so devices work at the same time as each other and as the simulators; the clients of
one device follow each other, or train in lockstep, and their jobs go in one batch.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from qiskit_fedqml.backends.base import JointBackend, QueuedBackend
from qiskit_fedqml.errors import FedQMLError
from qiskit_fedqml.federation.clients.client import train_client
from qiskit_fedqml.federation.clients.worker import Worker
from qiskit_fedqml.federation.executors.arrivals import GRACE_SECONDS, LOOK_SECONDS, Arrivals, next_arrival
from qiskit_fedqml.federation.executors.executor import Executor
from qiskit_fedqml.federation.executors.lockstep import MOST_TOGETHER, train_together
from qiskit_fedqml.federation.interruption import check_interrupted
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, Status

logger = logging.getLogger(__name__)


@dataclass
class DeviceExecutor:
    """Runs the clients of each device in a thread of its own, and those of simulators in the calling thread.

    Args:
        simulators: Runs the clients of simulators.
        devices: Names of the backends whose jobs wait in a queue.
        make_worker: Makes the worker of a device.
        let_go: Lets all threads stop waiting for jobs; the jobs live on.
    """

    simulators: Executor
    devices: Collection[str]
    make_worker: Callable[[], Worker]
    let_go: Callable[[], None]
    _workers: dict[str, list[Worker]] = field(default_factory=dict, init=False)

    def run(self, tasks: Sequence[ClientTask]) -> Iterator[ClientUpdate]:
        """Run tasks; give their updates as they finish, and end when all devices have closed their batches."""
        handed_out = time.perf_counter()
        arrivals: Arrivals = queue.SimpleQueue()
        of_devices: dict[str, list[ClientTask]] = {}
        for task in tasks:
            if task.backend in self.devices:
                of_devices.setdefault(task.backend, []).append(task)
        threads = [
            threading.Thread(
                target=_run_on_device,
                args=(partial(self._worker, name), some, arrivals, handed_out),
                name=name,
                daemon=True,
            )
            for name, some in of_devices.items()
        ]
        for thread in threads:
            thread.start()
        num_awaited = sum(map(len, of_devices.values()))
        try:
            for update in self.simulators.run([task for task in tasks if task.backend not in self.devices]):
                yield update
                while not arrivals.empty():  # what went wrong on a device must not wait for the simulators
                    yield next_arrival(arrivals)
                    num_awaited -= 1
            for _ in range(num_awaited):
                yield next_arrival(arrivals)
            for thread in threads:  # a device's thread still closes its batch and asks what was charged
                while thread.is_alive():
                    thread.join(LOOK_SECONDS)
                    check_interrupted()
        except BaseException:
            self.stop()
            for thread in threads:
                thread.join(GRACE_SECONDS)
            raise

    def stop(self) -> None:
        """Let devices' threads stop waiting, and whatever runs the simulators end; jobs live on."""
        self.let_go()
        self.simulators.stop()

    def _worker(self, device: str, number: int) -> Worker:
        """Return one of a device's workers; several are needed for clients that train in lockstep."""
        workers = self._workers.setdefault(device, [])
        while len(workers) <= number:
            workers.append(self.make_worker())
        return workers[number]


def _run_on_device(
    worker: Callable[[int], Worker], tasks: Sequence[ClientTask], arrivals: Arrivals, handed_out: float
) -> None:
    try:
        backend = worker(0).backends[tasks[0].backend]
        assert isinstance(backend, QueuedBackend)
        failed = []
        with backend.together():
            for waited, update in _trained(worker, tasks, backend, handed_out):
                failed += [update.client_id] if update.status is Status.FAILED else []
                arrivals.put(replace(update, waited_seconds=waited))
        try:
            backend.close_round(tasks[0].server_step, failed)
        except FedQMLError as error:  # nothing is lost by it, so the run continues
            logger.warning("Backend %r: the round could not be tidied up: %s", backend.name, error)
    except BaseException as error:
        arrivals.put(error)


def _trained(
    worker: Callable[[int], Worker], tasks: Sequence[ClientTask], backend: QueuedBackend, handed_out: float
) -> Iterator[tuple[float, ClientUpdate]]:
    """Train the clients of a device; give each update with the time for which its task had waited."""
    if isinstance(backend, JointBackend) and backend.is_joint and len(tasks) > 1:
        for start in range(0, len(tasks), MOST_TOGETHER):
            some, waited = tasks[start : start + MOST_TOGETHER], time.perf_counter() - handed_out
            others = [worker(1 + place) for place in range(len(some))]
            for update in train_together(worker(0), others, some, backend):
                yield waited, update
        return
    for task in tasks:
        waited = time.perf_counter() - handed_out
        yield waited, train_client(worker(0), task)
