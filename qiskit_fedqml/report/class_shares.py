"""Which classes clients hold, as a figure."""

import logging
from collections.abc import Sequence

import numpy as np

from qiskit_fedqml.report.drawing import Mark, Panel, colours, new_figure
from qiskit_fedqml.report.table_files import Table
from qiskit_fedqml.results.class_counts import ClassCounts
from qiskit_fedqml.results.result import RunResult

logger = logging.getLogger(__name__)

_MOST_CLASSES = 7
_OTHERS = "other classes"


def class_counts(run: RunResult, name: str) -> ClassCounts | None:
    """Return what a run recorded of its clients' classes; None where it recorded nothing, or nothing that fits.

    Args:
        run: The run.
        name: Its name.
    """
    if "client_classes" not in run.run:
        return None
    try:
        found = ClassCounts.from_json(run.run["client_classes"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # the report shows what there is
        logger.warning("%s: the classes of its clients are not shown, as they cannot be read (%r).", name, error)
        return None
    fits = found.counts.shape[1] == len(run.run["classes"])
    return found if fits and found.num_clients == run.experiment.federation.clients else None


def class_panel(found: ClassCounts, classes: Sequence[str], name: str, slug: str) -> Panel:
    """Draw the examples of each client by class, one above the other.

    Args:
        found: The counts.
        classes: Names of the classes.
        name: The run's name.
        slug: What the panel's files end in.
    """
    counts, names = _named(found.counts, classes)
    widths = np.ones(len(counts), dtype=int) if found.sizes is None else found.sizes
    edges = np.concatenate([[0], np.cumsum(widths)]) - 0.5
    each = counts / widths[:, None]
    figure, axis = new_figure()
    legend, marks = colours(names), []
    floor = np.zeros(len(counts))
    for label, heights in zip(names, each.T, strict=True):
        top = floor + heights
        axis.stairs(top, edges, baseline=floor, fill=True, facecolor=legend[label], linewidth=0)
        floor = top
    step = -(-len(counts) // 200)
    for k in range(0, len(counts), step):
        marks.append(Mark(float(edges[k] + edges[k + 1]) / 2, float(floor[k]) / 2, _text(found, k, each[k], names)))
    axis.set(xlabel="Client" if found.sizes is None else "Clients, sorted by class", ylabel="Examples")
    axis.set_xlim(edges[0], edges[-1])
    axis.set_ylim(0, max(1.0, 1.05 * float(floor.max())))
    note = "" if found.sizes is None else f"Means of {len(counts)} groups of clients with like classes."
    title = f"Examples of each client by class: {name}"
    return Panel(f"classes_{slug}", title, figure, legend, marks, note=note)


def class_table(found: ClassCounts, classes: Sequence[str], name: str, slug: str) -> Table:
    """Return the examples of each client, or group of clients, by class.

    Args:
        found: The counts.
        classes: Names of the classes.
        name: The run's name.
        slug: What the table's files end in.
    """
    rows = []
    for k, row in enumerate(found.counts.tolist()):
        who = {"Client": str(k)} if found.sizes is None else {"Group": str(k + 1), "Clients": f"{found.sizes[k]:,}"}
        rows.append({**who, **{label: f"{count:,}" for label, count in zip(classes, row, strict=True)}})
    what = "client" if found.sizes is None else "group of clients"
    return Table(f"classes_{slug}", f"Examples of each {what} by class: {name}", rows, is_tall=True)


def _named(counts: np.ndarray, classes: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return the counts of as many classes as there are colours: the largest ones, and the rest together."""
    if len(classes) <= _MOST_CLASSES:
        return counts, list(classes)
    largest = np.sort(np.argsort(-counts.sum(axis=0), kind="stable")[: _MOST_CLASSES - 1])
    rest = counts.sum(axis=1) - counts[:, largest].sum(axis=1)
    return np.column_stack([counts[:, largest], rest]), [*(classes[k] for k in largest), _OTHERS]


def _text(found: ClassCounts, place: int, counts: np.ndarray, names: Sequence[str]) -> str:
    held = ", ".join(f"{n} {count:.4g}" for n, count in zip(names, counts.tolist(), strict=True) if count)
    who = f"Client {place}" if found.sizes is None else f"{found.sizes[place]:,} clients, on average"
    return f"{who}: {held or 'no examples'}"
