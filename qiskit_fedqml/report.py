"""What a reader sees of runs: the paper's table and its learning curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qiskit_fedqml.records import RoundRecord
from qiskit_fedqml.results import RunResult
from qiskit_fedqml.tables import duration

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""


def table_rows(runs: Mapping[str, RunResult]) -> list[dict[str, str]]:
    """Return the paper's table (Tables II and III): losses and accuracy of each scheme after its last round.

    Args:
        runs: Runs with at least one round, by the name of their scheme.

    Returns:
        A row for each scheme and, where a run was tested on further backends, for each of these. Beside the last
        round's accuracy stand the mean of the last ten rounds (single rounds swing) where there are 20, and the best;
        where devices were used, the QPU time that was charged, or else planned.
    """
    rows = []
    any_device = any(record.planned_seconds for run in runs.values() for record in run.rounds)
    for name, run in runs.items():
        last, peaks = run.rounds[-1], [record.peak_memory_bytes or 0 for record in run.rounds]
        exact = [record.test_accuracy for record in run.rounds]
        rows.append(
            {
                "Scheme": name,
                "Tested on": run.experiment.backends.assignment.server,
                "Training loss": "–" if last.train_loss is None else f"{last.train_loss:.4f}",
                **_test_columns(last.test_loss, exact),
                "Time": _duration(sum(record.seconds for record in run.rounds)),
                "Memory": f"{max(peaks) / 2**30:.1f} GiB" if any(peaks) else "–",
                **({"QPU time": _qpu_time(run)} if any_device else {}),
            }
        )
        for backend, figures in last.evaluations.items():
            further = [record.evaluations[backend]["test_accuracy"] for record in run.rounds]
            columns = _test_columns(figures["test_loss"], further)
            blank = dict.fromkeys(rows[-1], "")
            rows.append(blank | {"Scheme": name, "Tested on": backend, **columns})
    return rows


def _qpu_time(run: RunResult) -> str:
    """Return the QPU time that was charged, or else planned; "–" without a device."""
    planned = sum(record.planned_seconds for record in run.rounds)
    charged = [record.qpu_seconds for record in run.rounds if record.planned_seconds]
    known = [seconds for seconds in charged if seconds is not None]
    if not planned:
        return "–"
    return duration(sum(known)) if len(known) == len(charged) else f"{duration(planned)} planned"


def _test_columns(loss: float, accuracies: Sequence[float]) -> dict[str, str]:
    last_ten = accuracies[-10:]
    settled = len(accuracies) >= 20  # in a shorter run this would be the mean of its start too
    return {
        "Testing loss": f"{loss:.4f}",
        "Testing accuracy": f"{accuracies[-1]:.2%}",
        "Mean of last ten": f"{sum(last_ten) / len(last_ten):.2%}" if settled else "–",
        "Best": f"{max(accuracies):.2%}",
    }


def learning_curves(runs: Mapping[str, RunResult], title: str) -> Figure:
    """Draw training loss, testing loss and testing accuracy by rounds, and accuracy by examples processed.

    Args:
        runs: Runs with at least one round, by the name of their scheme.
        title: The figure's title.
    """
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    panels = [
        (axes[0, 0], "Training loss", lambda record: record.train_loss),
        (axes[0, 1], "Testing loss", lambda record: record.test_loss),
        (axes[1, 0], "Testing accuracy (%)", lambda record: 100 * record.test_accuracy),
    ]
    for axis, label, value_of in panels:
        for colour, (name, run) in zip(_colours(len(runs)), runs.items(), strict=True):
            _draw(axis, [r.round for r in run.rounds], [value_of(r) for r in run.rounds], name, colour)
        axis.set(xlabel="Round", ylabel=label)
    for colour, (name, run) in zip(_colours(len(runs)), runs.items(), strict=True):
        accuracy = [100 * record.test_accuracy for record in run.rounds]
        _draw(axes[1, 1], _examples_so_far(run.rounds), accuracy, name, colour)
    axes[1, 1].set(xlabel="Examples processed", ylabel="Testing accuracy (%)")
    axes[1, 1].xaxis.set_major_formatter("{x:,.0f}")
    for axis in axes.flat:
        axis.grid(alpha=0.3, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(len(runs), 4), frameon=False)
    figure.suptitle(title)
    return figure


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and SVG beside each other; return both paths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    targets = [path.with_suffix(suffix) for suffix in (".png", ".svg")]
    for target in targets:
        figure.savefig(target, dpi=160)
    return targets


def _draw(axis: Axes, x: Sequence[float], y: Sequence[float | None], name: str, colour: str) -> None:
    values = [float("nan") if value is None else value for value in y]
    axis.plot(x, values, label=name, color=colour, linewidth=1.6, marker="o" if len(x) < 15 else None, markersize=3)


def _colours(count: int) -> list[str]:
    return [_COLOURS[i % len(_COLOURS)] for i in range(count)]


def _examples_so_far(rounds: Sequence[RoundRecord]) -> list[float]:
    total, totals = 0.0, []
    for record in rounds:
        total += record.examples
        totals.append(total)
    return totals


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
