"""Queue times of machines: drawn from a distribution, or as they were recorded."""

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Protocol

from qiskit_fedqml.config.scheduling import Lognormal, Queue
from qiskit_fedqml.seeds import numpy_generator


class QueueTimes(Protocol):
    """How long a task waits in the queue of a machine."""

    def drawn_seconds(self, now_seconds: float, seed: int) -> float:
        """Return the queue time of one task that is dispatched now, which derives from a seed."""
        ...

    def expected_seconds(self, now_seconds: float) -> float:
        """Return the mean queue time of a task that is dispatched now, as far as the server can know it."""
        ...


@dataclass(frozen=True)
class LognormalTimes:
    """median · exp(σ z), z standard normal; its mean is median · exp(σ² / 2).

    Args:
        median_seconds: The median.
        sigma: σ.
    """

    median_seconds: float
    sigma: float

    def drawn_seconds(self, now_seconds: float, seed: int) -> float:
        """Return a queue time, drawn from a seed alone."""
        return self.median_seconds * math.exp(self.sigma * float(numpy_generator(seed).standard_normal()))

    def expected_seconds(self, now_seconds: float) -> float:
        """Return the mean."""
        return self.median_seconds * math.exp(self.sigma**2 / 2)


@dataclass(frozen=True)
class RecordedTimes:
    """Queue times as they were recorded: each holds from its time on, the first also before, the last for ever.

    Args:
        times: When they were recorded, increasing, in seconds since the run's start.
        seconds: The queue times.
    """

    times: tuple[float, ...]
    seconds: tuple[float, ...]

    def drawn_seconds(self, now_seconds: float, seed: int) -> float:
        """Return the queue time in force."""
        return self.expected_seconds(now_seconds)

    def expected_seconds(self, now_seconds: float) -> float:
        """Return the queue time in force."""
        return self.seconds[max(0, bisect_right(self.times, now_seconds) - 1)]


def open_queue(config: Queue) -> QueueTimes:
    """Return the queue times that a configuration states."""
    if isinstance(config, Lognormal):
        return LognormalTimes(config.lognormal.median_seconds, config.lognormal.sigma)
    times, seconds = zip(*config.trace, strict=True)
    return RecordedTimes(times, seconds)
