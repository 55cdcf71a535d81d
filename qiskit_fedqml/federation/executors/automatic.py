"""Clients in this process, until it is known that worker processes would save time."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from qiskit_fedqml.federation.clients.threads import one_thread
from qiskit_fedqml.federation.clients.worker import Worker
from qiskit_fedqml.federation.executors.groups import groups, train_group
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate

if TYPE_CHECKING:
    from qiskit_fedqml.federation.executors.processes import ProcessExecutor

_WORTHWHILE_SECONDS = 30.0
"""So long must the clients that are missing take in one process for workers, which take seconds to start, to pay."""


@dataclass
class AutomaticExecutor:
    """Trains clients here, with one of torch's threads as a worker has, and measures how long that takes.

    If those that are missing take long enough, workers are started, and take over once they are ready. The bits are
    those of worker processes from the start.

    Args:
        worker: Trains clients in this process.
        processes: Trains them in workers.
    """

    worker: Worker
    processes: "ProcessExecutor"
    _seconds: list[float] = field(default_factory=list, init=False)
    _has_begun: bool = field(default=False, init=False)
    has_taken_over: bool = field(default=False, init=False)
    """Whether all clients train in workers from now on."""

    def run(self, tasks: Sequence[ClientTask]) -> Iterator[ClientUpdate]:
        """Run tasks; give their updates as they finish."""
        handed_out, waiting = time.perf_counter(), groups(tasks, self.worker.config)
        while waiting:
            if self._is_ready(waiting):
                yield from self.processes.run_groups(waiting, handed_out)
                return
            group, *waiting = waiting
            started = time.perf_counter()
            training = train_group(self.worker, group)
            while updates := _next(training):
                for update in updates:
                    yield replace(update, waited_seconds=started - handed_out)
            self._seconds.append((time.perf_counter() - started) / len(group))

    def stop(self) -> None:
        """End the workers; what they still work on is lost."""
        self.processes.stop()

    def _is_ready(self, waiting: Sequence[Sequence[ClientTask]]) -> bool:
        """Start workers once they pay; return whether they can take over, or have: one that dies is replaced."""
        if self.has_taken_over:
            return True
        if not self._has_begun and self._seconds_left(waiting) > _WORTHWHILE_SECONDS:
            self.processes.pool.start(self.processes.workers)
            self._has_begun = True
        self.has_taken_over = self._has_begun and self.processes.pool.is_ready
        return self.has_taken_over

    def _seconds_left(self, waiting: Sequence[Sequence[ClientTask]]) -> float:
        """Return how long all clients that are missing in the run would take here; 0 where that is not known yet."""
        known = self._seconds[1:]  # the first one also compiles
        if not known:
            return 0.0
        config = self.worker.config
        rounds = config.rounds - waiting[0][0].server_step
        return sum(known) / len(known) * (sum(map(len, waiting)) + rounds * config.clients_per_round)


def _next(training: Iterator[list[ClientUpdate]]) -> list[ClientUpdate]:
    """Let the next clients of a group train in one thread; empty where there are none."""
    with one_thread():
        return next(training, [])
