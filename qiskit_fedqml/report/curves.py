"""Learning curves: all in one figure, or each in a panel of its own. Seeds are one line with a band."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qiskit_fedqml.errors import listed
from qiskit_fedqml.report.bands import Band, label_ends
from qiskit_fedqml.report.cells import loss_cell, mean_of, percent_cell
from qiskit_fedqml.report.clock import clock_column, has_clock
from qiskit_fedqml.report.drawing import AS_WRITTEN, Mark, Panel, add_legend, colours, dashes, new_figure
from qiskit_fedqml.report.epsilon import is_private, privacy_column
from qiskit_fedqml.report.groups import Runs, all_runs, seeds_of
from qiskit_fedqml.report.metrics import ShownMetric, metric_columns, shown_metrics
from qiskit_fedqml.report.naming import file_names, step_word, steps_word
from qiskit_fedqml.report.nodes import has_nodes, node_columns
from qiskit_fedqml.report.notebook import NotebookFigure
from qiskit_fedqml.report.progress import Progress, times_of
from qiskit_fedqml.report.staleness import is_stale, staleness_column
from qiskit_fedqml.report.table import has_validation, mean_clock, validation_columns
from qiskit_fedqml.report.thinning import COLUMNS, MARK_COLUMNS, shared_columns
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import duration, number

_MOST_LABELS = 6
"""Of more lines the ends are not labelled: the labels would be far from them."""


_LEGEND_WIDTH = 150
"""Characters that a legend's line holds, with about 8 for each name's line and gap."""


@dataclass(frozen=True)
class _Curve:
    """A figure of each round, against how far the run was then."""

    name: str
    title: str
    value: Callable[[RoundRecord], float | None]
    unit: str = ""
    by: Progress = Progress.STEPS
    limits: tuple[float, float] = (0.0, float("inf"))
    metric: ShownMetric | None = None

    def y(self, run: RunResult) -> list[float]:
        return [float("nan") if (value := self.value(record)) is None else value for record in run.rounds]

    @property
    def y_label(self) -> str:
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def band(self, of: Sequence[RunResult], scale: float) -> Band:
        x = [[value / scale for value in self.by.of(run)] for run in of]
        return Band.of(x, [self.y(run) for run in of], self.limits)

    def is_of(self, run: RunResult) -> bool:
        """Return whether a run has it."""
        return bool(self.by.of(run)) and (self.metric is None or self.metric.is_in(run))

    def note(self, runs: Mapping[str, RunResult]) -> str:
        """Return in words which runs don't have it; nothing where all have."""
        without = [name for name, run in runs.items() if self.metric and not self.metric.is_in(run)]
        return f"Without this metric, so not shown: {listed(without, 3)}." if without else self.by.note(runs)

    def text(self, value: float) -> str:
        """Return a value as it is written at a line's end."""
        return f"{value:.1f}{self.unit}" if self.unit == "%" else number(value, 3)


def _percent(record: RoundRecord) -> float:
    return 100 * record.test_accuracy


_PERCENT = (0.0, 100.0)
_CURVES = (
    _Curve("training_loss", "Training loss", lambda record: record.train_loss),
    _Curve("testing_loss", "Testing loss", lambda record: record.test_loss),
    _Curve("testing_accuracy", "Testing accuracy", _percent, "%", limits=_PERCENT),
    _Curve("testing_accuracy_by_examples", "Testing accuracy", _percent, "%", Progress.EXAMPLES, _PERCENT),
)


def _curves(runs: Mapping[str, RunResult]) -> list[_Curve]:
    """Return the curves of some runs."""
    by_time = [
        curve
        for by in times_of(runs)
        for ending in [f"_by_{by.replace(' ', '_')}"]
        for curve in (
            _Curve(f"testing_loss{ending}", "Testing loss", lambda record: record.test_loss, by=by),
            _Curve(f"testing_accuracy{ending}", "Testing accuracy", _percent, "%", by, _PERCENT),
        )
    ]
    return [*_CURVES, *by_time, *_metric_curves(runs)]


def _metric_curves(runs: Mapping[str, RunResult]) -> list[_Curve]:
    """Return a curve of each metric that has a value in any round."""
    metrics = shown_metrics(runs.values())
    curves = [
        _Curve(f"metric_{slug}", metric.heading, metric.value, limits=metric.limits, metric=metric)
        for metric, slug in zip(metrics, file_names([metric.key for metric in metrics]), strict=True)
    ]
    return [
        curve for curve in curves if any(np.isfinite(curve.y(run)).any() for run in runs.values() if curve.is_of(run))
    ]


def learning_curves(runs: Runs, title: str = "") -> Figure:
    """Draw training loss, testing loss, testing accuracy and metrics by rounds, and accuracy by examples processed.

    Where time is simulated, or where the server did not wait for all clients, testing loss and accuracy are drawn
    against time too. Of several seeds the mean is drawn, with a band: the 95% interval in each round by itself, or the
    range of two seeds.

    Args:
        runs: Runs with at least one round, or several seeds of each, by the name of their scheme.
        title: The figure's title.
    """
    groups = seeds_of(runs)
    curves = _curves(all_runs(runs))
    num_rows = ceil(len(curves) / 2)
    figure = NotebookFigure(figsize=(11, 3.5 * num_rows), layout="constrained")
    axes = figure.subplots(num_rows, 2)
    for axis in axes.flat[len(curves) :]:
        axis.set_axis_off()
    for axis, curve in zip(axes.flat, curves, strict=False):
        _draw(axis, curve, groups)
        axis.set_ylabel(curve.y_label)
        axis.grid(alpha=0.3, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        if len(groups) <= _MOST_LABELS:
            ends = [(line.get_xdata()[-1], line.get_ydata()[-1], line.get_color()) for line in axis.lines]
            label_ends(axis, [(x, y, curve.text(y), colour) for x, y, colour in ends])
    with mpl.rc_context(AS_WRITTEN):
        columns = max(1, min(len(groups), 4, _LEGEND_WIDTH // (max(map(len, groups)) + 8)))
        words = spread_words(groups)
        if words and len(groups) <= _MOST_LABELS:
            words += f"; numbers at their ends: after the last {steps_word(all_runs(runs))}"
        look: Any = {"loc": "outside lower center", "ncols": columns, "title": words or None}
        add_legend(figure, axes[0, 0].lines, list(groups), **look)
        figure.suptitle(title, fontsize=12 if "\n" not in title else 11)
    return figure


def curve_panels(runs: Runs) -> list[Panel]:
    """Draw the same curves as panels, and one of the accuracy on each further backend that all runs were tested on.

    Args:
        runs: Runs with at least one round, or several seeds of each, by name.
    """
    groups, every = seeds_of(runs), all_runs(runs)
    further = [set(run.experiment.evaluation.backends) for run in every.values()]
    on_backends = [_tested_on(name) for name in sorted(set.intersection(*further))]
    names, spread = list(groups), spread_words(groups)
    panels = []
    for curve in (*_curves(every), *on_backends):
        figure, axis = new_figure()
        marks = _draw(axis, curve, groups)
        title = f"{curve.title} by {curve.by.words(every)}" + (f", in {curve.unit}" if curve.unit else "")
        note = " ".join(
            filter(None, [curve.note({name: of[0] for name, of in groups.items()}), spread and f"{spread}."])
        )
        panels.append(Panel(curve.name, title, figure, colours(names), marks, dashes(names), note))
    return panels


def spread_words(groups: Mapping[str, Sequence[RunResult]]) -> str:
    """Return in words what lines and bands are of runs by their seeds; nothing where no line has a band."""
    counts = sorted({len(of) for of in groups.values()} - {1})
    if not counts:
        return ""
    bands = [
        words
        for words, is_there in (("range of 2 seeds", counts[0] == 2), ("95% intervals", counts[-1] > 2))
        if is_there
    ]
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"Lines: means of {seeds} seeds; bands: {' or '.join(bands)}"


def round_rows(runs: Runs) -> list[dict[str, str]]:
    """Return the curves as a table, a row for each round of each run; of several seeds a row for all of them."""
    groups, every = seeds_of(runs), all_runs(runs)
    any_validation, any_clock = has_validation(every), any(map(has_clock, every.values()))
    any_stale, step = any(map(is_stale, every.values())), steps_word(every).capitalize()
    any_nodes = any(map(has_nodes, every.values()))
    metrics, any_private = shown_metrics(every.values()), any(map(is_private, every.values()))
    return [
        {
            "Run": name,
            step: str(records[0].round),
            "Training loss": loss_cell([record.train_loss for record in records]),
            "Testing loss": loss_cell([record.test_loss for record in records]),
            "Testing accuracy": percent_cell([record.test_accuracy for record in records]),
            **metric_columns(metrics, of, records),
            **validation_columns(records, any_validation=any_validation),
            **{
                f"on {other}": percent_cell([record.evaluations[other]["test_accuracy"] for record in records])
                for other in records[0].evaluations
            },
            **(privacy_column(of, records) if any_private else {}),
            "Examples": f"{mean_of([record.examples for record in records]):,.0f}",
            **(clock_column(mean_clock(records)) if any_clock else {}),
            **(staleness_column(r.staleness_of(c) for r in records for c in r.clients) if any_stale else {}),
            **(node_columns(records) if any_nodes else {}),
            "Time": duration(mean_of([record.seconds for record in records])),
        }
        for name, of in groups.items()
        for records in zip(*(run.rounds for run in of), strict=False)
    ]


def _tested_on(backend: str) -> _Curve:
    return _Curve(
        f"testing_accuracy_on_{backend}",
        f"Testing accuracy on {backend}",
        lambda record: 100 * record.evaluations[backend]["test_accuracy"],
        "%",
        limits=_PERCENT,
    )


def _draw(axis: Axes, curve: _Curve, groups: Mapping[str, Sequence[RunResult]]) -> list[Mark]:
    names = list(groups)
    marks, patterns = [], dashes(names)
    scale = curve.by.label(axis, {f"{name} {n}": run for name, of in groups.items() for n, run in enumerate(of)})
    for (name, colour), of in zip(colours(names).items(), groups.values(), strict=True):
        if not all(map(curve.is_of, of)):
            continue
        band = curve.band(of, scale)
        marker = "o" if len(band.x) < 15 else None
        look: Any = {"color": colour, "linestyle": patterns[name], "linewidth": 1.6}
        drawstyle: Any = "steps-post" if curve.by.is_time else "default"  # a model stays until the next server step
        drawn, pointed = (band.thinned(shared_columns(most, len(groups))) for most in (COLUMNS, MARK_COLUMNS))
        band.at(drawn).draw(axis, name, marker=marker, markersize=3, drawstyle=drawstyle, **look)
        texts = list(_texts(of[0], band, scale, name, curve))
        # NaN, where nothing came back, differs from itself
        marks += [Mark(band.x[k], band.mean[k], texts[k]) for k in pointed if band.mean[k] == band.mean[k]]
    return marks


def _texts(run: RunResult, band: Band, scale: float, name: str, curve: _Curve) -> Iterator[str]:
    """Give each point in words."""
    unit, word = f" {curve.unit}" if curve.unit else "", step_word(run)
    points = zip(run.rounds, band.x, band.mean, band.low, band.high, strict=False)
    for record, at, value, low, high in points:
        when = f" after {duration(at * scale)}" if curve.by.is_time else ""
        spread = f" ({low:.4g} to {high:.4g}, {band.count} seeds)" if band.count > 1 else ""
        yield f"{name}, {word} {record.round}{when}: {value:.4g}{unit}{spread}"
