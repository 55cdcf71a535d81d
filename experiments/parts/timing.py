"""Ways to do the same thing, checked to agree and timed in turns."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from qiskit.primitives import BaseEstimatorV2

from qiskit_fedqml.tables import markdown_table

TURNS = 10
"""The ways are timed in turns, so that a disturbance meets all of them."""
WARM_UP = 20
"""Steps before each turn, of ways that take less than a tenth of a second: the one before leaves threads that spin."""
TOLERANCE = 1e-5
"""Outputs of layers are single precision."""

Step = Callable[[], tuple[np.ndarray, ...]]


class CountingEstimator(BaseEstimatorV2):
    """An estimator that counts the PUBs and jobs that it passes on."""

    def __init__(self, inner: BaseEstimatorV2) -> None:
        self.inner = inner
        self.pubs = self.jobs = 0

    def run(self, pubs, *, precision=None):
        """Count, and pass on."""
        pubs = list(pubs)
        self.jobs += 1
        self.pubs += len(pubs)
        return self.inner.run(pubs, precision=precision)


@dataclass
class Way:
    """One way to take a step.

    Args:
        name: Its name.
        step: Takes the step and returns its numbers.
        repeats: How often it is timed.
        prepare: Called before its numbers are compared, or None.
        is_compared: Whether its numbers must be those of the others.
        counter: The estimator that it goes through, or None.
        counts: PUBs and jobs of a step, as text.
        seconds: What was timed so far.
    """

    name: str
    step: Step
    repeats: int
    prepare: Callable[[], None] | None = None
    is_compared: bool = True
    counter: CountingEstimator | None = None
    counts: tuple[str, str] = ("–", "–")
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median seconds of a step."""
        return statistics.median(self.seconds)


def compare(case: str, ways: Sequence[Way]) -> list[dict[str, Any]]:
    """Check that all ways give the same numbers, time them in turns, print a table, and return its rows as values.

    Args:
        case: What is timed, in words.
        ways: The ways; ratios are to the first.

    Raises:
        AssertionError: The numbers of two ways differ.
    """
    warm_up = _check(ways)
    for turn in range(TURNS):
        for way in ways:
            if turn < way.repeats:
                _take_turn(way, turn, warm_up[way.name])
    heading = "Training step" if "step" in case else "Values and Jacobian"
    print(f"\n{case}; results agree.\n")
    print(markdown_table([_row(way, ways[0], heading) for way in ways]), flush=True)
    first = ways[0].median
    return [{"case": case, "name": w.name, "median_ms": 1000 * w.median, "times_ours": w.median / first} for w in ways]


def _check(ways: Sequence[Way]) -> dict[str, int]:
    """Compare the numbers of all ways; return how many steps each needs to warm up."""
    expected: tuple[np.ndarray, ...] | None = None
    warm_up = {}
    for way in ways:
        if way.prepare:
            way.prepare()
        if way.counter:
            way.counter.pubs = way.counter.jobs = 0
        started = time.perf_counter()
        found = way.step()
        warm_up[way.name] = WARM_UP if time.perf_counter() - started < 0.1 else 0
        if way.counter:
            way.counts = f"{way.counter.pubs:,}", str(way.counter.jobs)
        if way.is_compared:
            expected = expected or found
            for mine, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(mine, other, atol=TOLERANCE, rtol=0, err_msg=way.name)
    return warm_up


def _take_turn(way: Way, turn: int, warm_up: int) -> None:
    for _ in range(warm_up):
        way.step()
    for _ in range(turn, way.repeats, TURNS):
        started = time.perf_counter()
        way.step()
        way.seconds.append(time.perf_counter() - started)


def _row(way: Way, first: Way, heading: str) -> dict[str, str]:
    return {
        heading: way.name,
        "PUBs": way.counts[0],
        "Jobs": way.counts[1],
        "Median": f"{1000 * way.median:,.3f} ms",
        "Times this package's": f"{way.median / first.median:,.1f}",
    }
