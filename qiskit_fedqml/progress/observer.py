"""Observers, which are notified of what happens in a run."""

from typing import Protocol

from qiskit_fedqml.backends.devices.request import JobWaiting
from qiskit_fedqml.federation.messages import ClientUpdate
from qiskit_fedqml.results.records import RoundRecord


class Observer(Protocol):
    """Notified of what happens, as it happens."""

    def features_extracted(self, what: str, done: int, total: int) -> None:
        """``done`` of ``total`` images have gone through the backbone."""

    def round_started(self, round: int, num_rounds: int, num_clients: int) -> None:
        """A round starts."""

    def client_finished(self, client: ClientUpdate) -> None:
        """A client has returned, or failed."""

    def job_waiting(self, job: JobWaiting) -> None:
        """A client waits for a device's job; called at each look, by the thread that waits."""

    def round_finished(self, record: RoundRecord) -> None:
        """A round has been recorded."""
