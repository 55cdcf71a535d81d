"""Learning curves: all in one figure, or each in a panel of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qiskit_fedqml.report.clock import clock_column, has_clock
from qiskit_fedqml.report.drawing import AS_WRITTEN, Mark, Panel, add_legend, colours, dashes, new_figure
from qiskit_fedqml.report.naming import step_word, steps_word
from qiskit_fedqml.report.progress import Progress, times_of
from qiskit_fedqml.report.staleness import is_stale, staleness_column
from qiskit_fedqml.report.table import has_validation, validation_columns
from qiskit_fedqml.report.thinning import COLUMNS, MARK_COLUMNS, shared_columns, thinned
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import duration


@dataclass(frozen=True)
class _Curve:
    """A figure of each round, against how far the run was then."""

    name: str
    title: str
    value: Callable[[RoundRecord], float | None]
    unit: str = ""
    by: Progress = Progress.STEPS

    def y(self, run: RunResult) -> list[float]:
        return [float("nan") if (value := self.value(record)) is None else value for record in run.rounds]

    @property
    def y_label(self) -> str:
        return f"{self.title} ({self.unit})" if self.unit else self.title


def _percent(record: RoundRecord) -> float:
    return 100 * record.test_accuracy


_CURVES = (
    _Curve("training_loss", "Training loss", lambda record: record.train_loss),
    _Curve("testing_loss", "Testing loss", lambda record: record.test_loss),
    _Curve("testing_accuracy", "Testing accuracy", _percent, "%"),
    _Curve("testing_accuracy_by_examples", "Testing accuracy", _percent, "%", Progress.EXAMPLES),
)


def _curves(runs: Mapping[str, RunResult]) -> list[_Curve]:
    """Return the curves of some runs, an even number."""
    by_time = [
        curve
        for by in times_of(runs)
        for ending in [f"_by_{by.replace(' ', '_')}"]
        for curve in (
            _Curve(f"testing_loss{ending}", "Testing loss", lambda record: record.test_loss, by=by),
            _Curve(f"testing_accuracy{ending}", "Testing accuracy", _percent, "%", by),
        )
    ]
    return [*_CURVES, *by_time]


def learning_curves(runs: Mapping[str, RunResult], title: str) -> Figure:
    """Draw training loss, testing loss and testing accuracy by rounds, and accuracy by examples processed.

    Where time is simulated, or where the server did not wait for all clients, testing loss and accuracy are drawn
    against time too.

    Args:
        runs: Runs with at least one round, by the name of their scheme.
        title: The figure's title.
    """
    curves = _curves(runs)
    num_rows = ceil(len(curves) / 2)
    figure = Figure(figsize=(11, 3.5 * num_rows), layout="constrained")
    axes = figure.subplots(num_rows, 2)
    for axis, curve in zip(axes.flat, curves, strict=True):
        _draw(axis, curve, runs)
        axis.set_ylabel(curve.y_label)
        axis.grid(alpha=0.3, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    with mpl.rc_context(AS_WRITTEN):
        add_legend(figure, axes[0, 0].lines, list(runs), loc="outside lower center", ncols=min(len(runs), 4))
        figure.suptitle(title)
    return figure


def curve_panels(runs: Mapping[str, RunResult]) -> list[Panel]:
    """Draw the same curves as panels, and one of the accuracy on each further backend that all runs were tested on.

    Args:
        runs: Runs with at least one round, by name.
    """
    further = [set(run.experiment.evaluation.backends) for run in runs.values()]
    on_backends = [_tested_on(name) for name in sorted(set.intersection(*further))]
    panels = []
    for curve in (*_curves(runs), *on_backends):
        figure, axis = new_figure()
        marks = _draw(axis, curve, runs)
        title = f"{curve.title} by {curve.by.words(runs)}" + (f", in {curve.unit}" if curve.unit else "")
        names = list(runs)
        panels.append(Panel(curve.name, title, figure, colours(names), marks, dashes(names), curve.by.note(runs)))
    return panels


def round_rows(runs: Mapping[str, RunResult]) -> list[dict[str, str]]:
    """Return the curves as a table, a row for each round of each run."""
    any_validation, any_clock = has_validation(runs), any(map(has_clock, runs.values()))
    any_stale, step = any(map(is_stale, runs.values())), steps_word(runs).capitalize()
    return [
        {
            "Run": name,
            step: str(record.round),
            "Training loss": "–" if record.train_loss is None else f"{record.train_loss:.4f}",
            "Testing loss": f"{record.test_loss:.4f}",
            "Testing accuracy": f"{record.test_accuracy:.2%}",
            **validation_columns(record, any_validation=any_validation),
            **{f"on {other}": f"{tested['test_accuracy']:.2%}" for other, tested in record.evaluations.items()},
            "Examples": f"{record.examples:,}",
            **(clock_column(record.clock_seconds) if any_clock else {}),
            **(staleness_column(record.staleness_of(c) for c in record.clients) if any_stale else {}),
            "Time": duration(record.seconds),
        }
        for name, run in runs.items()
        for record in run.rounds
    ]


def _tested_on(backend: str) -> _Curve:
    return _Curve(
        f"testing_accuracy_on_{backend}",
        f"Testing accuracy on {backend}",
        lambda record: 100 * record.evaluations[backend]["test_accuracy"],
        "%",
    )


def _draw(axis: Axes, curve: _Curve, runs: Mapping[str, RunResult]) -> list[Mark]:
    marks, patterns, scale = [], dashes(list(runs)), curve.by.label(axis, runs)
    for (name, colour), run in zip(colours(list(runs)).items(), runs.values(), strict=True):
        if not (progress := curve.by.of(run)):
            continue
        x, y = [value / scale for value in progress], curve.y(run)
        marker = "o" if len(x) < 15 else None
        look: Any = {"color": colour, "linestyle": patterns[name], "linewidth": 1.6}
        drawstyle: Any = "steps-post" if curve.by.is_time else "default"  # a model stays until the next server step
        drawn, pointed = (thinned(x, y, shared_columns(most, len(runs))) for most in (COLUMNS, MARK_COLUMNS))
        points = [x[k] for k in drawn], [y[k] for k in drawn]
        axis.plot(*points, label=name, marker=marker, markersize=3, drawstyle=drawstyle, **look)
        texts = list(_texts(run, progress, y, name, curve))
        # NaN, where nothing came back, differs from itself
        marks += [Mark(x[k], y[k], texts[k]) for k in pointed if y[k] == y[k]]
    return marks


def _texts(run: RunResult, progress: Sequence[float], y: Sequence[float], name: str, curve: _Curve) -> Iterator[str]:
    """Give each point in words."""
    unit, word = f" {curve.unit}" if curve.unit else "", step_word(run)
    for record, at, value in zip(run.rounds, progress, y, strict=True):
        when = f" after {duration(at)}" if curve.by.is_time else ""
        yield f"{name}, {word} {record.round}{when}: {value:.4g}{unit}"
