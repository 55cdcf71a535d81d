"""What the final model takes each class for, on the server's backend and on each that it was evaluated on."""

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from qiskit_fedqml.config.text_files import read_text
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.report.drawing import Mark, Panel, new_figure
from qiskit_fedqml.report.naming import file_names, machine_name
from qiskit_fedqml.report.table_files import Table
from qiskit_fedqml.results.result import RunResult

logger = logging.getLogger(__name__)

_MOST_NUMBERS = 12  # classes; numbers of more do not fit into their cells
_MOST_CELLS = 40  # classes; more are a figure without marks
_COLOURS = LinearSegmentedColormap.from_list("confusion", colormaps["Blues"](np.linspace(0.03, 0.95, 256)), N=48)


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix.

    Args:
        run: The run's name.
        backend: Where the model was tested.
        classes: Names of the classes.
        counts: Examples of each class that are taken for each class, shape (classes, classes predicted).
        is_final: Whether the run itself wrote it down at its end, not a later evaluation.
    """

    run: str
    backend: str
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    is_final: bool = False

    @property
    def accuracy(self) -> float:
        """The share that is right, from 0 to 1."""
        return float(np.trace(self.counts) / max(1, self.counts.sum()))

    @property
    def of_classes(self) -> NDArray[np.float64]:
        """The share of each class's examples that is right; NaN where there are none."""
        with np.errstate(invalid="ignore"):
            return np.diag(self.counts) / self.counts.sum(axis=1)


def confusions(run: RunResult, name: str) -> list[Confusion]:
    """Return the final model's confusion matrix, where the run kept it, and those of its evaluations by backend.

    Where the run kept one, an evaluation on the server's backend that says the same is left out.

    Args:
        run: A run.
        name: Its name.
    """
    classes, server = tuple(run.run["classes"]), run.experiment.backends.assignment.server
    kept = run.confusion
    found = [] if kept is None else [Confusion(name, machine_name(run, server), classes, np.asarray(kept), True)]
    if run.folder is None or not run.is_complete:
        return found
    for path in sorted((run.folder / "evaluations").glob("*.csv")):
        try:
            one = Confusion(name, path.stem, classes, _counted(path, classes))
        except (ResultError, ValueError) as error:  # the report shows what there is
            logger.warning("%s: the evaluation %s is left out: %s", name, path.name, error)
            continue
        if not (found and path.stem == server and np.array_equal(one.counts, found[0].counts)):
            found.append(one)
    return found


def confusion_panels(found: Sequence[Confusion]) -> list[Panel]:
    """Draw confusion matrices, each row in shares of its class."""
    return [_panel(one, slug) for one, slug in zip(found, _slugs(found), strict=True)]


def confusion_tables(found: Sequence[Confusion]) -> list[Table]:
    """Return each confusion matrix as a table, a row for each class."""
    return [
        Table(slug, f"{_title(one)}: examples of each class (rows) by the class for which they are taken", _rows(one))
        for one, slug in zip(found, _slugs(found), strict=True)
    ]


def class_accuracy_rows(found: Sequence[Confusion]) -> list[dict[str, str]]:
    """Return a row for each class of each run, with the accuracy on each backend."""
    backends = list(dict.fromkeys(one.backend for one in found))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for one in found:
        for k, label in enumerate(one.classes):
            new = {"Run": one.run, "Class": label, "Examples": f"{one.counts[k].sum():,}"}
            row = rows.setdefault((one.run, label), {**new, **{f"on {backend}": "–" for backend in backends}})
            row[f"on {one.backend}"] = "–" if np.isnan(share := one.of_classes[k]) else f"{share:.2%}"
    return list(rows.values())


def missing_sentences(runs: Mapping[str, RunResult], found: Sequence[Confusion]) -> list[str]:
    """Return how to get the confusion matrices that are not there."""
    having = {one.run for one in found}
    return [
        f"{name} keeps no confusion matrix: `fedqml evaluate {run.folder}` makes it."
        if run.is_complete
        else f"{name} is not finished, so it has no final model to test yet."
        for name, run in runs.items()
        if name not in having
    ]


def _counted(path: Path, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Count an evaluation's lines.

    Raises:
        ResultError: It cannot be read.
        ValueError: It is none of these classes.
    """
    places = {label: place for place, label in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    reader = csv.reader(StringIO(read_text(path, ResultError), newline=""))
    if next(reader, [])[:3] != ["example", "class", "predicted"]:
        raise ValueError("its first line is not that of an evaluation.")
    for line in reader:
        if len(line) < 3 or line[1] not in places or line[2] not in places:
            raise ValueError(f"line {reader.line_num} does not name two of the run's classes.")
        counts[places[line[1]], places[line[2]]] += 1
    if not counts.any():
        raise ValueError("it has no example.")
    return counts


def _title(one: Confusion) -> str:
    return f"{one.run}, {'final model' if one.is_final else 'evaluated'} on {one.backend}"


def _slugs(found: Sequence[Confusion]) -> list[str]:
    return file_names([f"confusion_{one.run}_{'final' if one.is_final else one.backend}" for one in found])


def _rows(one: Confusion) -> list[dict[str, str]]:
    return [
        {
            "Class": label,
            **{f"as {other}": f"{count:,}" for other, count in zip(one.classes, counts.tolist(), strict=True)},
            "Accuracy": "–" if np.isnan(share) else f"{share:.2%}",
        }
        for label, counts, share in zip(one.classes, one.counts, one.of_classes.tolist(), strict=True)
    ]


def _panel(one: Confusion, slug: str) -> Panel:
    count = len(one.classes)
    shares = one.counts / np.maximum(one.counts.sum(axis=1, keepdims=True), 1)
    figure, axis = new_figure(min(6.0, 1.6 + 0.34 * count))
    axis.pcolormesh(np.arange(count + 1) - 0.5, np.arange(count + 1) - 0.5, shares, cmap=_COLOURS, vmin=0, vmax=1)
    axis.set(xlabel="Taken for", ylabel="Class", ylim=(count - 0.5, -0.5), aspect="auto")
    axis.grid(visible=False)
    labels = [label if len(label) <= 14 else f"{label[:13]}…" for label in one.classes]
    every = range(0, count, -(-count // 20))
    turn = 45 if max(map(len, labels)) * count > 60 else 0
    axis.set_xticks(every, [labels[k] for k in every], rotation=turn, ha="right" if turn else "center")
    axis.set_yticks(every, [labels[k] for k in every])
    marks = []
    for true in range(count if count <= _MOST_CELLS else 0):
        for taken in range(count):
            number, share = int(one.counts[true, taken]), shares[true, taken]
            if count <= _MOST_NUMBERS:
                colour = "#ffffff" if share > 0.55 else "#10151a"
                axis.text(taken, true, f"{number:,}", ha="center", va="center_baseline", fontsize=10, color=colour)
            what = f"{one.classes[true]} taken for {one.classes[taken]}"
            marks.append(Mark(taken, true, f"{what}: {number:,} of {one.counts[true].sum():,} ({share:.1%})"))
    note = f"Accuracy {one.accuracy:.2%} of {one.counts.sum():,} examples; colour: share of the class."
    return Panel(slug, _title(one), figure, {}, marks, note=note)
