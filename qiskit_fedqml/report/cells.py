"""Figures of a run, or of several seeds, as a table has them: one value, or a mean with its interval or range."""

from collections.abc import Sequence

from qiskit_fedqml.study.statistics import Interval, in_decimals, mean_interval
from qiskit_fedqml.tables import fits_decimals

NOTHING = "–"
"""Where there is no figure."""


def loss_cell(values: Sequence[float | None]) -> str:
    """Return a loss: ``"0.8857"``, of several seeds ``"0.8857 ± 0.0121"``; "–" where one of them has none."""
    known = [value for value in values if value is not None]
    return in_decimals(mean_interval(known), 4) if known and len(known) == len(values) else NOTHING


def metric_cell(values: Sequence[float | None]) -> str:
    """Return a metric, as a loss; in powers of ten where these decimals would not show it."""
    known = [value for value in values if value is not None]
    if not known or len(known) != len(values):
        return NOTHING
    interval = mean_interval(known)
    return in_decimals(interval, 4) if all(map(fits_decimals, known)) else in_decimals(interval, 3, kind="e")


def percent_cell(values: Sequence[float | None]) -> str:
    """Return a share of 1: ``"95.14%"``, of several seeds ``"95.14 ± 1.20%"`` or ``"95.14% (94.00 to 96.28)"``."""
    known = [value for value in values if value is not None]
    return percent(mean_interval(known)) if known and len(known) == len(values) else NOTHING


def percent(interval: Interval) -> str:
    """Return a mean share of 1 in percent, with its interval or range."""
    mean, *rest = in_decimals(interval, 2, scale=100.0).split(" ", 1)
    if interval.half_width is None:
        return " ".join([f"{mean}%", *rest])
    return " ".join([mean, *rest]) + "%"


def mean_of(values: Sequence[float]) -> float:
    """Return the mean."""
    return sum(values) / len(values)
