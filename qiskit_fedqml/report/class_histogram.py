"""How many examples of each class clients hold, as stacked bars."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from qiskit_fedqml.report.drawing import COLOURS, Mark, Panel, new_figure
from qiskit_fedqml.results.result import RunResult

_OTHERS = "other classes"


def class_panels(run: RunResult, name: str, slug: str) -> list[Panel]:
    """Draw how many examples of each class a run's clients hold.

    Args:
        run: A run.
        name: Its name.
        slug: What the panel's files end in.

    Returns:
        A panel; none where the run does not know it: its clients are elsewhere, or it is of an earlier version.
    """
    known = run.run.get("class_counts")
    if not known:
        return []
    return [class_histogram(known["counts"], run.run["classes"], known["clients"], f"Classes by client: {name}", slug)]


def class_rows(run: RunResult) -> list[dict[str, str]]:
    """Return how many examples of each class each of a run's clients holds, or a group of them on average."""
    known = run.run.get("class_counts")
    if not known:
        return []
    classes, sizes = run.run["classes"], known["clients"]
    return [
        {"": _bar(bar, sizes), **{name: f"{value:,}" for name, value in zip(classes, row, strict=True)}}
        for bar, row in enumerate(known["counts"])
    ]


def class_histogram(
    counts: ArrayLike,
    classes: Sequence[str],
    clients: Sequence[int] | None = None,
    title: str = "Classes by client",
    slug: str = "",
) -> Panel:
    """Draw a bar for each client, or for each group of clients, with a part for each class.

    Args:
        counts: Examples, or in groups the means of clients, shape (bars, classes).
        classes: The names of the classes. Of more than seven, the six with most examples have colours of their own.
        clients: How many clients each bar is of; None is one.
        title: What it shows, in words.
        slug: What the panel's files end in.
    """
    heights, sizes = np.asarray(counts, dtype=float), list(clients or [1] * len(np.asarray(counts)))
    parts = _parts(heights * np.array(sizes)[:, None], classes)
    figure, axis = new_figure()
    places, below = np.arange(len(heights)), np.zeros(len(heights))
    marks, legend = [], {}
    for colour, (part, members) in zip(_colours(parts), parts.items(), strict=True):
        legend[part] = colour
        values = heights[:, members].sum(axis=1)
        there = np.flatnonzero(values)
        look: Any = {"color": colour, "linewidth": 0}
        axis.bar(places[there], values[there], 0.8 if len(heights) <= 50 else 1.0, below[there], **look)
        for bar in there:
            text = f"{_bar(int(bar), sizes)}, {part}: {_examples(values[bar])}"
            marks.append(Mark(float(places[bar]), float(below[bar] + values[bar] / 2), text))
        below = below + values
    is_grouped = max(sizes, default=1) > 1
    axis.set(xlabel="Clients, from the largest to the smallest" if is_grouped else "Client", ylabel="Examples")
    axis.grid(visible=False, axis="x")
    axis.set_xlim(-0.6, len(heights) - 0.4)
    axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    if is_grouped:
        axis.set_xticks([])
    note = f"Each bar is the mean of {_range(sizes)} clients of like size." if is_grouped else ""
    return Panel(f"classes_{slug}" if slug else "classes", title, figure, legend, marks, note=note)


def _parts(totals: np.ndarray, classes: Sequence[str]) -> dict[str, list[int]]:
    """Return the classes that each colour stands for, by its name in the legend."""
    if len(classes) <= len(COLOURS):
        return {name: [k] for k, name in enumerate(classes)}
    most = sorted(np.argsort(-totals.sum(axis=0), kind="stable")[: len(COLOURS) - 1].tolist())
    others = [k for k in range(len(classes)) if k not in most]
    return {**{classes[k]: [k] for k in most}, f"{len(others)} {_OTHERS}": others}


def _colours(parts: dict[str, list[int]]) -> tuple[str, ...]:
    has_others = any(len(members) > 1 for members in parts.values())
    return (*COLOURS[: len(parts) - 1], COLOURS[-1]) if has_others else COLOURS[: len(parts)]


def _bar(bar: int, sizes: Sequence[int]) -> str:
    if max(sizes) == 1:
        return f"Client {bar}"
    before = sum(sizes[:bar])
    return f"Clients {before + 1:,} to {before + sizes[bar]:,} by size"


def _examples(value: float) -> str:
    if value != round(value):
        return f"{value:.1f} examples on average"
    return "1 example" if value == 1 else f"{round(value):,} examples"


def _range(sizes: Sequence[int]) -> str:
    least, most = min(sizes), max(sizes)
    return f"{most:,}" if least == most else f"{least:,} or {most:,}"
