"""Figures of studies: learning curves with the spread over seeds, and means with their intervals."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from qiskit_fedqml.report.drawing import COLOURS
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.study.statistics import Interval

Runs = Mapping[int, RunResult]
"""The runs of a scheme by seed."""

_TRAINING, _TESTING, _ACCURACY = COLOURS[4], COLOURS[1], COLOURS[0]


def learning_panels(panels: Mapping[str, Runs], title: str) -> Figure:
    """Draw the paper's four panels (Figs. 6 and 8): training loss, testing loss and testing accuracy of each scheme.

    Lines are means over the seeds, bands reach from the lowest to the highest seed. All panels have the same axes.

    Args:
        panels: The runs of each panel by its title.
        title: The figure's title.
    """
    figure = Figure(figsize=(11, 7.4), layout="constrained")
    axes = list(np.ravel(figure.subplots(2, (len(panels) + 1) // 2, sharex=False, sharey=True)))
    rights = [axis.twinx() for axis in axes]
    for axis, right, (name, runs) in zip(axes, rights, panels.items(), strict=False):
        _band(axis, runs, lambda r: np.nan if r.train_loss is None else r.train_loss, _TRAINING, "--")
        _band(axis, runs, lambda r: r.test_loss, _TESTING, "-")
        _band(right, runs, lambda r: 100 * r.test_accuracy, _ACCURACY, "-")
        final = np.mean([run.final.test_accuracy for run in runs.values()])
        axis.set_title(f"{name}: {final:.2%} in the end", fontsize=11)
        one_client = all(run.experiment.federation.clients == 1 for run in runs.values())
        axis.set(xlabel="Epoch" if one_client else "Round", ylabel="Loss")
        right.set_ylabel("Testing accuracy (%)", color=_ACCURACY)
        axis.grid(alpha=0.3, linewidth=0.6)
    low = min(100 * min(r.test_accuracy for r in run.rounds) for runs in panels.values() for run in runs.values())
    for right in rights:
        right.set_ylim(min(low, 90.0) - 1, 100)
        right.tick_params(colors=_ACCURACY)
    handles = [
        Line2D([], [], color=_TRAINING, linestyle="--", label="Training loss"),
        Line2D([], [], color=_TESTING, label="Testing loss"),
        Line2D([], [], color=_ACCURACY, label="Testing accuracy"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, title=_spread(panels))
    figure.suptitle(title)
    return figure


def accuracy_by_examples(schemes: Mapping[str, Runs], title: str) -> Figure:
    """Draw testing accuracy against the examples processed in training, not against rounds.

    Args:
        schemes: The runs of each scheme by its name.
        title: The figure's title.
    """
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axis = figure.subplots()
    for colour, (name, runs) in zip(COLOURS, schemes.items(), strict=False):
        _band(axis, runs, lambda r: 100 * r.test_accuracy, colour, "-", by_examples=True, name=name)
    axis.set(xlabel="Examples processed in training", ylabel="Testing accuracy (%)", xscale="log", title=title)
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.grid(alpha=0.3, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="lower right", title=_spread(schemes))
    return figure


def _spread(schemes: Mapping[str, Runs]) -> str:
    """Return in words what lines and bands are."""
    count = max(len(runs) for runs in schemes.values())
    return "one seed" if count == 1 else f"lines: means of {count} seeds; bands: lowest to highest"


def interval_rows(
    axis: Axes, rows: Mapping[str, Interval], label: str, *, reference: float | None = 0.0, scale: float = 100.0
) -> None:
    """Draw one row for each mean with its interval, the first on top.

    Args:
        axis: Where to draw.
        rows: The intervals by name.
        label: The axis' label.
        reference: A vertical line, such as no difference; None draws none.
        scale: Multiplies the values; 100 for shares in percentage points.
    """
    if reference is not None:
        axis.axvline(reference, color="0.4", linewidth=1, linestyle="--")
    for place, interval in enumerate(rows.values()):
        look: Any = {"fmt": "o", "color": _ACCURACY, "capsize": 3}
        axis.errorbar(scale * interval.mean, -place, xerr=error_bars([interval], scale), **look)
    axis.set(xlabel=label, yticks=[-place for place in range(len(rows))], yticklabels=list(rows))
    axis.grid(alpha=0.3, linewidth=0.6, axis="x")
    axis.spines[["top", "right"]].set_visible(False)


def intervals_by(
    axis: Axes, x: Sequence[float], intervals: Sequence[Interval], name: str, colour: str, *, scale: float = 100.0
) -> None:
    """Draw means with intervals against a number, such as shots."""
    means = [scale * interval.mean for interval in intervals]
    look: Any = {"fmt": "o-", "color": colour, "capsize": 3, "linewidth": 1.4, "markersize": 4}
    axis.errorbar(x, means, yerr=error_bars(intervals, scale), label=name, **look)


def error_bars(intervals: Sequence[Interval], scale: float = 1.0) -> NDArray[np.float64] | None:
    """Return how far intervals, or ranges of two values, reach down and up from their means, of shape (2, intervals).

    None where one of them has neither.
    """
    if not all(interval.has_ends for interval in intervals):
        return None
    return scale * np.array([(of.mean - of.low, of.high - of.mean) for of in intervals]).T


def _band(
    axis: Axes,
    runs: Runs,
    value_of: Callable[[RoundRecord], float],
    colour: str,
    style: str,
    *,
    by_examples: bool = False,
    name: str | None = None,
) -> None:
    length = min(len(run.rounds) for run in runs.values())
    values = np.array([[value_of(record) for record in run.rounds[:length]] for run in runs.values()])
    x: NDArray[np.float64] = np.arange(1.0, length + 1)
    if by_examples:
        x = np.mean([np.cumsum([r.examples for r in run.rounds[:length]]) for run in runs.values()], axis=0)
    axis.plot(x, values.mean(axis=0), color=colour, linestyle=style, linewidth=1.5, label=name)
    if len(values) > 1:
        axis.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.18, linewidth=0)
