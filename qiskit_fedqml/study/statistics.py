"""Means with intervals: of a few seeds, and of differences between pairs of runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import t as student_t


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval.

    Args:
        mean: The mean.
        half_width: Half of the interval's width; None where one value alone shows no spread.
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
        """The lower end; the mean where there is no interval."""
        return self.mean - (self.half_width or 0.0)

    @property
    def high(self) -> float:
        """The upper end; the mean where there is no interval."""
        return self.mean + (self.half_width or 0.0)

    def excludes(self, value: float) -> bool:
        """Whether a value lies outside the interval; False where there is none."""
        return self.half_width is not None and not self.low <= value <= self.high

    def __sub__(self, value: float) -> "Interval":
        ends = (None if end is None else end - value for end in (self.least, self.greatest))
        return Interval(self.mean - value, self.half_width, self.count, *ends)


def mean_interval(values: Iterable[float], confidence: float = 0.95) -> Interval:
    """Return a mean and its interval by Student's t distribution.

    Args:
        values: At least one value, such as a figure of each seed.
        confidence: From 0 to 1.
    """
    array = np.array(list(values), dtype=float)
    mean, ends = float(array.mean()), (float(array.min()), float(array.max()))
    if len(array) < 2:
        return Interval(mean, None, len(array), *ends)
    quantile = student_t.ppf((1 + confidence) / 2, len(array) - 1)
    return Interval(mean, float(quantile * array.std(ddof=1) / np.sqrt(len(array))), len(array), *ends)


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
    error = interval.half_width / student_t.ppf((1 + confidence) / 2, interval.count - 1)
    return float(2 * student_t.sf(abs(interval.mean) / error, interval.count - 1))


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


def in_decimals(interval: Interval, decimals: int, *, scale: float = 1.0, signed: bool = False) -> str:
    """Return an interval with so many decimals, such as ``"+0.012 ± 0.030"``.

    Of two values, whose interval is more than twelve times as wide as they lie apart, both are given instead:
    ``"68.40 (54.16 and 82.64)"``.
    """

    def text(value: float) -> str:
        return f"{scale * value:{'+' if signed else ''}.{decimals}f}"

    if interval.half_width is None:
        return text(interval.mean)
    if interval.count == 2 and interval.least is not None and interval.greatest is not None:
        return f"{text(interval.mean)} ({text(interval.least)} and {text(interval.greatest)})"
    return f"{text(interval.mean)} ± {scale * interval.half_width:.{decimals}f}"
