"""Means with intervals: of a few seeds, and of differences between pairs of runs.

An interval by Student's t needs three values or more. Of two it would be more than twelve times as wide as they lie
apart, so their range is shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

_FEWEST = 3
"""So few values at least have an interval."""


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval, or with the range of fewer than three values.

    Args:
        mean: The mean.
        half_width: Half of the interval's width; None of fewer than three values.
        count: Number of values.
        least: The least of them; None where they are not known.
        greatest: The greatest of them; None where they are not known.
    """

    mean: float
    half_width: float | None
    count: int
    least: float | None = field(default=None, compare=False)
    greatest: float | None = field(default=None, compare=False)

    @property
    def low(self) -> float:
        """The lower end of the interval, or of the range; the mean of one value."""
        if self.half_width is not None:
            return self.mean - self.half_width
        return self.mean if self.least is None else self.least

    @property
    def high(self) -> float:
        """The upper end of the interval, or of the range; the mean of one value."""
        if self.half_width is not None:
            return self.mean + self.half_width
        return self.mean if self.greatest is None else self.greatest

    @property
    def has_ends(self) -> bool:
        """Whether it has an interval or a range, because there are two values or more."""
        return self.half_width is not None or (self.count > 1 and self.least is not None)

    def excludes(self, value: float) -> bool:
        """Whether a value lies outside the interval; False where there is none."""
        return self.half_width is not None and not self.low <= value <= self.high

    def __sub__(self, value: float) -> "Interval":
        ends = (None if end is None else end - value for end in (self.least, self.greatest))
        return Interval(self.mean - value, self.half_width, self.count, *ends)


def mean_interval(values: Iterable[float], confidence: float = 0.95) -> Interval:
    """Return a mean and its interval by Student's t distribution; of fewer than three values, the mean and the range.

    Args:
        values: At least one value, such as a figure of each seed.
        confidence: From 0 to 1.
    """
    array = np.array(list(values), dtype=float)
    mean, ends = float(array.mean()), (float(array.min()), float(array.max()))
    if len(array) < _FEWEST:
        return Interval(mean, None, len(array), *ends)
    quantile = stdtrit(len(array) - 1, (1 + confidence) / 2)
    return Interval(mean, float(quantile * array.std(ddof=1) / np.sqrt(len(array))), len(array), *ends)


def bands(values: NDArray[np.float64], confidence: float = 0.95) -> tuple[NDArray[np.float64], ...]:
    """Return means, and lower and upper ends of their intervals, or of the ranges of fewer than three values.

    Args:
        values: Of shape (values, points), such as a curve of each seed.
        confidence: From 0 to 1.
    """
    mean = values.mean(axis=0)
    if len(values) < _FEWEST:
        return mean, values.min(axis=0), values.max(axis=0)
    quantile = stdtrit(len(values) - 1, (1 + confidence) / 2)
    width = quantile * values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return mean, mean - width, mean + width


def paired_difference(
    values: Mapping[int, float], reference: Mapping[int, float], confidence: float = 0.95
) -> Interval:
    """Return the mean of ``values − reference`` over the seeds that both have, and its interval.

    What both runs of a seed share (data, shards, clients drawn, initial weights) cancels in their difference.

    Raises:
        ValueError: They have no seed in common.
    """
    seeds = [seed for seed in values if seed in reference]
    if not seeds:
        raise ValueError("A paired difference needs a seed that both have.")
    return mean_interval((values[seed] - reference[seed] for seed in seeds), confidence)


def p_value(interval: Interval, confidence: float = 0.95) -> float:
    """Return the two-sided p-value of Student's t test that the mean is 0; 1 where there is no interval.

    Args:
        interval: A mean with its interval.
        confidence: That of the interval.
    """
    if interval.half_width is None or not interval.half_width:
        return 1.0 if interval.half_width is None or not interval.mean else 0.0
    error = interval.half_width / stdtrit(interval.count - 1, (1 + confidence) / 2)
    return float(2 * stdtr(interval.count - 1, -abs(interval.mean) / error))


def differ_by_holm(intervals: Sequence[Interval], level: float = 0.05) -> list[bool]:
    """Return which means differ from 0, by Holm's method: all of these tests together err with at most ``level``."""
    values = [p_value(interval) for interval in intervals]
    found = [False] * len(values)
    for rank, place in enumerate(np.argsort(values, kind="stable")):
        if values[place] > level / (len(values) - rank):
            break
        found[place] = True
    return found


def in_points(interval: Interval, *, signed: bool = False) -> str:
    """Return an interval of shares in percentage points, such as ``"+0.12 ± 0.30"``."""
    return in_decimals(interval, 2, scale=100.0, signed=signed)


def in_decimals(
    interval: Interval, decimals: int, *, scale: float = 1.0, signed: bool = False, kind: Literal["f", "e"] = "f"
) -> str:
    """Return an interval with so many decimals, such as ``"+0.012 ± 0.030"``; of kind "e" in powers of ten.

    Two values have no interval; their range is given: ``"68.40 (54.16 to 82.64)"``.
    """

    def text(value: float) -> str:
        return f"{scale * value:{'+' if signed else ''}.{decimals}{kind}}"

    if interval.half_width is not None:
        return f"{text(interval.mean)} ± {scale * interval.half_width:.{decimals}{kind}}"
    if interval.has_ends:
        return f"{text(interval.mean)} ({text(interval.low)} to {text(interval.high)})"
    return text(interval.mean)


def over_seeds(count: int) -> str:
    """Return what a text says of means and what is written next to them: of so many seeds, with which intervals."""
    if count < _FEWEST:
        return "of one seed" if count == 1 else f"with the range of {count} seeds in brackets"
    return f"over {count} seeds with 95% intervals (Student's t)"


def spread_of(count: int) -> str:
    """Return what a figure's title says of what is drawn: of so many seeds, with which intervals."""
    if count < _FEWEST:
        return "one seed" if count == 1 else f"mean and range of {count} seeds"
    return f"means of {count} seeds with 95% intervals"
