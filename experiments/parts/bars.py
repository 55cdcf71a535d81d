"""The chart of what `parts.timing` times."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Row = Mapping[str, Any]


def bars(rows: Sequence[Row], ours: str) -> Figure:
    """Draw the medians of each case as bars on a logarithmic axis.

    Args:
        rows: What :func:`parts.timing.compare` returns, of all cases.
        ours: The beginning of the names of this package's ways, which have a colour of their own.
    """
    cases = list(dict.fromkeys(row["case"] for row in rows))
    heights = [sum(row["case"] == case for row in rows) for case in cases]
    figure = Figure(figsize=(9, 0.36 * sum(heights) + 0.55 * len(cases)), layout="constrained")
    axes = figure.subplots(len(cases), 1, height_ratios=heights, sharex=True)
    for axis, case in zip(axes, cases, strict=True):
        _draw_case(axis, case, [row for row in rows if row["case"] == case][::-1], ours)
    axes[0].set_xscale("log")
    axes[0].set_xlim(0.5 * min(r["median_ms"] for r in rows), 8 * max(r["median_ms"] for r in rows))
    axes[-1].set_xlabel("Milliseconds, median (logarithmic); in brackets, times this package's", fontsize=8)
    return figure


def _draw_case(axis: Axes, case: str, rows: Sequence[Row], ours: str) -> None:
    colours = ["#0072B2" if row["name"].startswith(ours) else "#B8BEC6" for row in rows]
    drawn = axis.barh([row["name"] for row in rows], [row["median_ms"] for row in rows], color=colours)
    axis.bar_label(drawn, [_label(row["median_ms"], row["times_ours"]) for row in rows], fontsize=8)
    axis.set_title(case, fontsize=9, loc="left", fontweight="bold")
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _label(milliseconds: float, ratio: float) -> str:
    time = f" {milliseconds:,.3g} ms" if milliseconds < 1000 else f" {milliseconds:,.0f} ms"
    return time if ratio == 1 else f"{time}  ({ratio:,.{0 if ratio >= 10 else 1}f}×)"
