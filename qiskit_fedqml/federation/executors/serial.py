"""One client after another, in this thread."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from qiskit_fedqml.federation.clients.client import train_client
from qiskit_fedqml.federation.clients.worker import Worker
from qiskit_fedqml.federation.interruption import check_interrupted
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
        for task in tasks:
            check_interrupted()
            waited = time.perf_counter() - handed_out
            yield replace(train_client(self.worker, task), waited_seconds=waited)

    def stop(self) -> None:
        """Do nothing: nothing waits."""
