"""Asking a service again, with growing pauses, until an outage has lasted too long or the run is stopped."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from qiskit_fedqml.backends.devices.machine import RateLimitedError, UnreachableError
from qiskit_fedqml.errors import BackendError

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


class StoppedError(Exception):
    """The run is being stopped; its jobs live."""


class Patience:
    """How a run waits for services; usable by several threads."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    def stop(self) -> None:
        """Let every thread that waits stop waiting."""
        self._stop.set()

    def check(self) -> None:
        """Raise StoppedError if the run is being stopped."""
        if self._stop.is_set():
            raise StoppedError

    def sleep(self, seconds: float) -> None:
        """Wait, or until the run is stopped."""
        self._stop.wait(seconds)

    def ask(self, question: Callable[[], Answer], outage_seconds: float) -> Answer:
        """Ask until the service answers.

        Args:
            question: What to ask; it raises UnreachableError or RateLimitedError where there is no answer, none that
                can be read, or a refusal.
            outage_seconds: How long that may last.

        Raises:
            BackendError: The service gave no answer for too long.
            StoppedError: The run is being stopped.
        """
        pauses = Pauses(outage_seconds)
        while True:
            self.check()
            try:
                return question()
            except (UnreachableError, RateLimitedError) as error:
                self.pause(pauses, error)

    def ask_once(self, question: Callable[[], Answer], otherwise: Answer) -> Answer:
        """Ask for what the run can do without."""
        try:
            return question()
        except (UnreachableError, RateLimitedError, BackendError) as error:
            logger.info("The service gave no answer: %s", error)
            return otherwise

    def pause(self, pauses: "Pauses", error: Exception) -> None:
        """Wait before the next try.

        Raises:
            BackendError: The outage has lasted too long.
        """
        seconds = pauses.next()
        if seconds is None:
            raise BackendError(
                f"the service has not done what was asked for {pauses.outage_seconds:g} s ({error}); jobs that it "
                "accepted live on, and the run can be resumed."
            ) from error
        logger.warning("%s; it is asked again in %.1f s", _sentence(error), seconds)
        self.sleep(seconds)


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]


class Pauses:
    """Pauses of growing length, until an outage has lasted too long.

    Args:
        outage_seconds: How long it may last.
    """

    def __init__(self, outage_seconds: float) -> None:
        self.outage_seconds = outage_seconds
        self._began: float | None = None
        self._pause = _FIRST_PAUSE

    def next(self) -> float | None:
        """Return the next pause in seconds, or None if the outage has lasted too long."""
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        if now - self._began >= self.outage_seconds:
            return None
        pause, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE)
        return min(pause, max(self.outage_seconds / 10, 0.05))
