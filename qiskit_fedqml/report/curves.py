"""Learning curves: all in one figure, or each in a panel of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qiskit_fedqml.report.drawing import AS_WRITTEN, Mark, Panel, add_legend, colours, count_rounds, dashes, new_figure
from qiskit_fedqml.report.table import has_validation, validation_columns
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import duration


@dataclass(frozen=True)
class _Curve:
    """A figure by rounds, or by the examples that were processed so far."""

    name: str
    title: str
    value: Callable[[RoundRecord], float | None]
    unit: str = ""
    by_examples: bool = False

    def x(self, run: RunResult) -> list[float]:
        if self.by_examples:
            return list(accumulate(float(record.examples) for record in run.rounds))
        return [record.round for record in run.rounds]

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
    _Curve("testing_accuracy_by_examples", "Testing accuracy", _percent, "%", by_examples=True),
)


def learning_curves(runs: Mapping[str, RunResult], title: str) -> Figure:
    """Draw training loss, testing loss and testing accuracy by rounds, and accuracy by examples processed.

    Args:
        runs: Runs with at least one round, by the name of their scheme.
        title: The figure's title.
    """
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    for axis, curve in zip(axes.flat, _CURVES, strict=True):
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
    for curve in (*_CURVES, *on_backends):
        figure, axis = new_figure()
        marks = _draw(axis, curve, runs)
        by = "by examples processed" if curve.by_examples else "by round"
        title = f"{curve.title} {by}, in {curve.unit}" if curve.unit else f"{curve.title} {by}"
        names = list(runs)
        panels.append(Panel(curve.name, title, figure, colours(names), marks, dashes(names)))
    return panels


def round_rows(runs: Mapping[str, RunResult]) -> list[dict[str, str]]:
    """Return the curves as a table, a row for each round of each run."""
    any_validation = has_validation(runs)
    return [
        {
            "Run": name,
            "Round": str(record.round),
            "Training loss": "–" if record.train_loss is None else f"{record.train_loss:.4f}",
            "Testing loss": f"{record.test_loss:.4f}",
            "Testing accuracy": f"{record.test_accuracy:.2%}",
            **validation_columns(record, any_validation=any_validation),
            **{f"on {other}": f"{tested['test_accuracy']:.2%}" for other, tested in record.evaluations.items()},
            "Examples": f"{record.examples:,}",
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
    marks, patterns = [], dashes(list(runs))
    for (name, colour), run in zip(colours(list(runs)).items(), runs.values(), strict=True):
        x, y = curve.x(run), curve.y(run)
        marker = "o" if len(x) < 15 else None
        look: Any = {"color": colour, "linestyle": patterns[name], "linewidth": 1.6}
        axis.plot(x, y, label=name, marker=marker, markersize=3, **look)
        marks += _marks(run.rounds, x, y, name, curve)
    if curve.by_examples:
        axis.set_xlabel("Examples processed")
        axis.xaxis.set_major_formatter("{x:,.0f}")
    else:
        count_rounds(axis)
    return marks


def _marks(
    rounds: Sequence[RoundRecord], x: Sequence[float], y: Sequence[float], name: str, curve: _Curve
) -> list[Mark]:
    unit = f" {curve.unit}" if curve.unit else ""
    return [
        Mark(at, value, f"{name}, round {record.round}: {value:.4g}{unit}")
        for record, at, value in zip(rounds, x, y, strict=True)
        if value == value  # noqa: PLR0124 - NaN where nothing came back
    ]
