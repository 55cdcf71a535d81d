"""The figure of the study of QPU time: what accuracy and loss a run ends with, and how it gets there."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from parts.qpu_design import NOISELESS, PACKED, PACKED_SPSA, SMALL_BATCHES, UNPACKED, UNPACKED_SPSA, Design, Way
from parts.qpu_results import QpuTime
from qiskit_fedqml.report.drawing import COLOURS
from qiskit_fedqml.report.study_figures import error_bars
from qiskit_fedqml.study.outcomes import LOSS, OUTCOMES, Outcome
from qiskit_fedqml.study.statistics import mean_interval, spread_of
from qiskit_fedqml.study.study import Study

_OPEN_PLAN_SECONDS = 600.0
_MARKERS = {PACKED: "o", PACKED_SPSA: "s", UNPACKED: "D", UNPACKED_SPSA: "v", SMALL_BATCHES: "X"}


def qpu_figure(study: Study, times: Mapping[str, QpuTime], design: Design) -> Figure:
    """Draw accuracy and loss of whole runs, and accuracy during training, against QPU seconds on a log axis."""
    figure = Figure(figsize=(11, 8.4), layout="constrained")
    ends, courses = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    axes = ends.subplots(1, len(OUTCOMES))
    for axis, outcome in zip(axes, OUTCOMES, strict=True):
        _ends(axis, study, times, design, outcome)
    ends.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    ends.suptitle("Whole runs, from few shots to many (numbers at the points of the loss)", fontsize=11)
    for axis, families in zip(courses.subplots(1, 2, sharey=True), _courses(design), strict=True):
        _course(axis, study, times, families)
    courses.suptitle("In the course of training", fontsize=11)
    runs = list(study.of(NOISELESS).values())
    config = runs[0].experiment.federation
    what = f"Digits 0 to 3 on {design.device}, {config.rounds} rounds of {config.clients_per_round} clients"
    figure.suptitle(f"{what}; {spread_of(len(runs))}")
    return figure


def _ends(axis: Axes, study: Study, times: Mapping[str, QpuTime], design: Design, outcome: Outcome) -> None:
    ideal = outcome.mean(study, NOISELESS)
    axis.axhspan(outcome.scale * ideal.low, outcome.scale * ideal.high, color="0.85", linewidth=0)
    axis.axhline(outcome.scale * ideal.mean, color="0.4", linewidth=1, linestyle="--", label="noiseless")
    for number, family in enumerate(design.families):
        ways = design.of(family)
        found = [outcome.mean(study, way.name) for way in ways]
        x = [times[way.name].seconds for way in ways]
        y = [outcome.scale * interval.mean for interval in found]
        style = {"color": COLOURS[number % len(COLOURS)], "marker": _MARKERS.get(family, "^"), "markersize": 5}
        axis.errorbar(x, y, yerr=error_bars(found, outcome.scale), label=family, linewidth=1.2, capsize=2, **style)
        if outcome is LOSS and family in _MARKERS:  # elsewhere the numbers would lie on each other
            for way, *at in zip(ways, x, y, strict=True):
                axis.annotate(str(way.shots), at, xytext=(4, 4), textcoords="offset points", fontsize=7)
    _finish(axis)
    style = {"transform": axis.get_xaxis_transform(), "fontsize": 7, "rotation": 90, "ha": "right", "va": "top"}
    axis.text(_OPEN_PLAN_SECONDS, 0.98 if outcome is LOSS else 0.6, "a month of the Open Plan", **style)
    axis.set(ylabel=outcome.heading)


def _courses(design: Design) -> tuple[list[Way], list[Way]]:
    """Return the ways whose course is drawn: packed ones by shots, and the other ones next to one of them."""
    packed = design.of(PACKED)
    some = packed[:: max(1, len(packed) // 4)]
    middle = min(packed, key=lambda way: abs(way.shots - 64))
    others = [
        min(design.of(f), key=lambda way: abs(way.shots - 64))
        for f in design.families
        if f not in (PACKED, SMALL_BATCHES)
    ]
    return some, [middle, *others]


def _course(axis: Axes, study: Study, times: Mapping[str, QpuTime], ways: list[Way]) -> None:
    for colour, way in zip(COLOURS, ways, strict=False):
        runs, seconds = study.of(way.name).values(), times[way.name].after_round
        found = [mean_interval(100 * run.rounds[k].test_accuracy for run in runs) for k in range(len(seconds))]
        axis.plot(seconds, [interval.mean for interval in found], color=colour, linewidth=1.5, label=way.name)
        low, high = np.array([(interval.low, interval.high) for interval in found]).T
        axis.fill_between(seconds, low, high, color=colour, alpha=0.12, linewidth=0)
    _finish(axis)
    axis.set(ylabel="Accuracy (%)")
    axis.legend(frameon=False, loc="lower right", fontsize=8)


def _finish(axis: Axes) -> None:
    axis.set(xscale="log", xlabel="QPU seconds")
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.axvline(_OPEN_PLAN_SECONDS, color="0.3", linewidth=1, linestyle=":")
    axis.grid(alpha=0.3, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
