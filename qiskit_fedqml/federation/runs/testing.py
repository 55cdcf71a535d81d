"""Tests of the models of server steps, which may run while the next steps train, and are kept in the order of steps."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.progress.observer import Observer
from qiskit_fedqml.results.records import RoundRecord

MOST_WAITING = 2
"""So many models at most wait to be tested, each of which is in memory; a stopped run trains their steps again."""

Event = Callable[[Observer], None]
"""Something that an observer is notified of."""


@dataclass
class _Waiting:
    """A step whose model is being tested, and what happened since, which is shown after the step's record."""

    server: ServerState
    record: Future[RoundRecord]
    since: list[Event] = field(default_factory=list)


class Testing:
    """Tests models one after another, in a thread of its own or at once.

    Args:
        keep: Keeps the state after a step, with the step's record.
        observer: Notified of what happens, or None.
    """

    def __init__(self, keep: Callable[[ServerState, RoundRecord], None], observer: Observer | None) -> None:
        self._keep, self._observer = keep, observer
        self._thread = ThreadPoolExecutor(1, "test")
        self._waiting: deque[_Waiting] = deque()
        self._ended = 0.0

    def test(
        self, server: ServerState, record: Callable[[float], RoundRecord], started: float, *, meanwhile: bool
    ) -> None:
        """Test the model after a step, and keep its record.

        Args:
            server: The state after the step.
            record: Tests its model and makes the record, of when the step started.
            started: When it did; where steps overlap, no time is counted twice.
            meanwhile: Whether that may wait until later calls.

        Raises:
            FedQMLError: What the test raises, or one before.
        """

        def tested() -> RoundRecord:
            found = record(max(started, self._ended))
            self._ended = time.perf_counter()
            return found

        if meanwhile:
            self.settle(MOST_WAITING - 1)
            self._waiting.append(_Waiting(server, self._thread.submit(tested)))
        else:
            self.settle()
            self._keep(server, tested())

    def settle(self, most: int = 0) -> None:
        """Keep the records of all steps that are tested, and wait until at most so many are not.

        Raises:
            FedQMLError: What a test raises; the steps after it are dropped.
        """
        while self._waiting and (len(self._waiting) > most or self._waiting[0].record.done()):
            first = self._waiting[0]
            try:
                record = first.record.result()
            except Exception:
                self._drop()
                raise
            self._waiting.popleft()
            try:
                self._keep(first.server, record)
                for event in first.since:
                    self.notify(event)
            except BaseException:
                self._drop()
                raise

    def show(self, event: Event) -> None:
        """Notify the observer, once it was notified of all steps before."""
        if self._waiting:
            self._waiting[-1].since.append(event)
        else:
            self.notify(event)

    def notify(self, event: Event) -> None:
        """Notify the observer."""
        if self._observer:
            event(self._observer)

    def close(self) -> None:
        """End the thread, once it has ended what it works on."""
        self._thread.shutdown(cancel_futures=True)

    def _drop(self) -> None:
        for waiting in self._waiting:
            waiting.record.cancel()
        self._waiting.clear()
