"""One group of clients after another, in this thread."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from qiskit_fedqml.federation.clients.worker import Worker
from qiskit_fedqml.federation.executors.groups import groups, train_group
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate


@dataclass(frozen=True)
class SerialExecutor:
    """Runs tasks one after another; simulators are bound by the processor, so nothing is gained by threads.

    Args:
        worker: Trains the clients.
    """

    worker: Worker

    def run(self, tasks: Sequence[ClientTask]) -> Iterator[ClientUpdate]:
        """Run tasks; give their updates in the same order."""
        handed_out = time.perf_counter()
        for group in groups(tasks, self.worker.config):
            waited = time.perf_counter() - handed_out
            for updates in train_group(self.worker, group):
                for update in updates:
                    yield replace(update, waited_seconds=waited)

    def stop(self) -> None:
        """Do nothing: nothing waits."""
