"""What the runs of the asynchronous study show: the time to a loss, as a table and a figure."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, inf, isfinite, log
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from parts.asynchronous_design import DRIFT, HOURS_BETWEEN, MEDIAN_MINUTES, SIGMA, SYNCHRONOUS, WAYS
from qiskit_fedqml import RunResult
from qiskit_fedqml.report.drawing import COLOURS
from qiskit_fedqml.study.statistics import Interval, in_decimals, mean_interval, over_seeds
from qiskit_fedqml.study.study import Study

_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Course:
    """How the testing loss of a run falls, each value a mean over the steps that took the same number of updates.

    Args:
        hours: Simulated time of each step.
        losses: Mean testing loss of this step and those before it that took together as many updates as a window has;
            NaN where there are not as many.
    """

    hours: NDArray[np.float64]
    losses: NDArray[np.float64]

    @classmethod
    def of(cls, run: RunResult, window: int) -> "Course":
        """Return the course of a run.

        Args:
            run: The run.
            window: Updates.
        """
        updates = len(run.rounds[0].clients)
        steps = max(1, window // updates)
        losses = np.array([record.test_loss for record in run.rounds])
        means = np.full(len(losses), np.nan)
        means[steps - 1 :] = np.convolve(losses, np.full(steps, 1 / steps), mode="valid")
        hours = np.array([(record.clock_seconds or 0.0) / _SECONDS_PER_HOUR for record in run.rounds])
        return cls(hours, means)

    def hours_to(self, loss: float) -> float:
        """Return the time at which a loss is reached; infinite where it never is."""
        reached = np.flatnonzero(self.losses <= loss)
        return float(self.hours[reached[0]]) if len(reached) else inf


def window_of(study: Study) -> int:
    """Return the updates over which losses are averaged: an eighth of those of a run."""
    run = next(iter(study.of(SYNCHRONOUS.name).values()))
    return max(1, sum(len(record.clients) for record in run.rounds) // 8)


def courses(study: Study) -> dict[str, dict[int, Course]]:
    """Return the course of each run by way and seed."""
    window = window_of(study)
    return {way.name: {s: Course.of(run, window) for s, run in study.of(way.name).items()} for way in WAYS}


def speed_ups(found: Mapping[str, Mapping[int, Course]]) -> dict[str, list[float]]:
    """Return how many times as fast each way reaches the loss with which the synchronous run of a seed ends."""
    ratios: dict[str, list[float]] = {way.name: [] for way in WAYS}
    for seed, synchronous in found[SYNCHRONOUS.name].items():
        target = float(synchronous.losses[-1])
        for name, of in found.items():
            ratios[name].append(synchronous.hours_to(target) / of[seed].hours_to(target))
    return ratios


def ratio_text(ratios: list[float]) -> str:
    """Return the geometric mean of ratios with its interval or range, or how many runs did not get there."""
    if missed := sum(not ratio for ratio in ratios):
        return f"not reached in {missed} of {len(ratios)}"
    interval = mean_interval(map(log, ratios))
    ends = "" if not interval.has_ends else f" ({exp(interval.low):.1f} to {exp(interval.high):.1f})"
    return f"{exp(interval.mean):.1f}{ends}"


def table(study: Study) -> list[dict[str, str]]:
    """Return a row for each way."""
    found = courses(study)
    ratios = speed_ups(found)
    rows = []
    for way in WAYS:
        runs, of = study.of(way.name), found[way.name]
        stale = [r.round - 1 - (c.model_version or 0) for run in runs.values() for r in run.rounds for c in r.clients]
        targets = {seed: float(course.losses[-1]) for seed, course in found[SYNCHRONOUS.name].items()}
        to_target = [of[seed].hours_to(target) for seed, target in targets.items()]
        rows.append(
            {
                "Training": way.name,
                "Server steps": f"{len(next(iter(runs.values())).rounds)}",
                "Mean staleness": f"{np.mean(stale):.1f}",
                "Hours in all": _hours([course.hours[-1] for course in of.values()]),
                "Loss in the end": in_decimals(mean_interval(course.losses[-1] for course in of.values()), 3),
                "Hours to the synchronous loss": _hours(to_target),
                "Times as fast": ratio_text(ratios[way.name]),
            }
        )
    return rows


def _hours(values: list[float]) -> str:
    return in_decimals(mean_interval(values), 1) if all(map(isfinite, values)) else "not always reached"


def about(study: Study, *, is_repeated: bool) -> str:
    """Return in words what the table's figures are."""
    seeds = len(study.of(SYNCHRONOUS.name))
    text = _ABOUT.format(
        **{"over": over_seeds(seeds), "window": window_of(study), "median": MEDIAN_MINUTES, "sigma": SIGMA},
        **{"hours": HOURS_BETWEEN, "drift": DRIFT, "bits": "the same bits" if is_repeated else "OTHER BITS"},
    )
    return f"{fill(text, 120)}\n"


_ABOUT = """\
Eight simulated machines with log-normal queue times (median {median} minutes, σ = {sigma}), IBM's estimate of QPU time,
and a new calibration of each every {hours} hours, whose error rates differ from those before by a factor of standard
deviation {drift} in the logarithm. All ways take as many client updates. Losses are the global model's on the testing
data, tested exactly on an ideal machine, as means over the steps that took the last {window} updates. The synchronous
loss is the one with which the synchronous run of the seed ends, with 8 clients a round. Times as fast: geometric means
{over}, of the logarithm. The first seed's run of K = 2 was repeated and
gave {bits}.
"""


def loss_figure(study: Study) -> Figure:
    """Draw testing losses against simulated time, and how many times as fast each way is."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    found = courses(study)
    for colour, (name, of) in zip(COLOURS, found.items(), strict=False):
        _draw_course(left, list(of.values()), colour, name)
    left.set(xlabel="Simulated time (hours)", ylabel="Testing loss", xscale="log")
    left.xaxis.set_major_formatter("{x:,g}")
    left.legend(frameon=False, fontsize=8)
    _draw_ratios(right, speed_ups(found))
    for axis in (left, right):
        axis.grid(alpha=0.3, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    seeds = len(study.of(SYNCHRONOUS.name))
    right_of = "" if seeds < 3 else " (left) and 95% intervals (right)"
    spread = "one seed" if seeds == 1 else f"range of {seeds} seeds{right_of}"
    figure.suptitle(f"Digits 0 to 3 on eight machines with queues; {spread}", fontsize=11)
    return figure


def _draw_course(axis: Axes, of: list[Course], colour: str, name: str) -> None:
    grid = np.geomspace(max(course.hours[0] for course in of) + 1e-9, min(course.hours[-1] for course in of), 200)
    places = [np.searchsorted(course.hours, grid, side="right") - 1 for course in of]
    values = np.array([course.losses[place] for course, place in zip(of, places, strict=True)])
    shown = np.isfinite(values).all(axis=0)
    axis.plot(grid[shown], values[:, shown].mean(axis=0), color=colour, linewidth=1.5, label=name)
    axis.fill_between(
        grid[shown], values[:, shown].min(axis=0), values[:, shown].max(axis=0), color=colour, alpha=0.15, linewidth=0
    )


def _draw_ratios(axis: Axes, ratios: Mapping[str, list[float]]) -> None:
    axis.axvline(1.0, color="0.4", linewidth=1, linestyle="--")
    for place, (colour, of) in enumerate(zip(COLOURS, ratios.values(), strict=False)):
        if all(of):
            interval = mean_interval(map(log, of))
            axis.errorbar(exp(interval.mean), -place, xerr=_errors(interval), fmt="o", color=colour, capsize=3)
        else:
            axis.text(1.05, -place, "not always reached", fontsize=8, va="center")
    axis.set(xlabel="Times as fast to the synchronous loss", xscale="log")
    axis.set(yticks=[-place for place in range(len(ratios))], yticklabels=list(ratios))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xticks([1, 2, 3, 5, 8], minor=False)
    axis.xaxis.set_minor_formatter("")


def _errors(interval: Interval) -> list[list[float]] | None:
    if not interval.has_ends:
        return None
    middle = exp(interval.mean)
    return [[middle - exp(interval.low)], [exp(interval.high) - middle]]
