"""Observers, which are notified of what happens in a run."""

from collections.abc import Callable
from typing import Protocol

from qiskit_fedqml.backends.devices.request import JobWaiting
from qiskit_fedqml.federation.messages import ClientUpdate
from qiskit_fedqml.progress.size import RunSize
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


class PreparationObserver(Observer, Protocol):
    """Notified of what happens before a round too; observers need not be, and those of your own may have either."""

    def preparing(self, what: str, done: int, total: int) -> None:
        """A phase of the preparation: ``done`` of ``total`` parts, which is 0 where there are none to count.

        Phases come before the first round, and where a machine or a loop is used for the first time; then perhaps in
        another thread.
        """

    def prepared(self, size: RunSize) -> None:
        """A new run is put together, and is about to begin."""


Preparing = Callable[[str, int, int], None]
"""As :meth:`PreparationObserver.preparing`."""


def preparing_of(observer: Observer | None) -> Preparing:
    """Return what notifies an observer of phases; it does nothing where the observer has no use for them."""
    found: Preparing = getattr(observer, "preparing", _nothing)
    return found


def prepared_of(observer: Observer | None) -> Callable[[Callable[[], RunSize]], None]:
    """Return what notifies an observer of a run's size, which is only looked at for one that has a use for it."""
    prepared: Callable[[RunSize], None] | None = getattr(observer, "prepared", None)

    def notify(size: Callable[[], RunSize]) -> None:
        if prepared is not None:
            prepared(size())

    return notify


def _nothing(what: str, done: int, total: int) -> None:
    pass
