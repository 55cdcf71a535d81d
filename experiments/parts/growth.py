"""Charts of the scaling benchmark: time and memory as circuits grow."""

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Row = dict[str, Any]

COLOURS = {
    "ideal, exact": "#0072B2",
    "noise, exact": "#D55E00",
    "ideal, 1,024 shots": "#56B4E9",
    "noise, 1,024 shots": "#E69F00",
}


def growth(rows: Sequence[Row], kind: str) -> float:
    """Return how many times faster than linear the time grew from the fewest to the most layers."""
    of_kind = {r["layers"]: r["seconds"] for r in rows if _is_layers(r, kind)}
    first, last = min(of_kind), max(of_kind)
    return (of_kind[last] / of_kind[first]) / (last / first)


def _is_layers(row: Row, kind: str) -> bool:
    """Return whether a measurement belongs to the growth with layers."""
    return (row["kind"], row["simulator"], row["qubits"], row["batch"]) == (kind, "sweep", 4, 32)


def layers_figure(rows: Sequence[Row]) -> Figure:
    """Draw time against layers, with linear growth for comparison."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for kind, colour in COLOURS.items():
        points = sorted((r["layers"], 1000 * r["seconds"]) for r in rows if _is_layers(r, kind))
        x, y = zip(*points, strict=True)
        axis.loglog(x, y, "o-", color=colour, label=f"{kind}: {growth(rows, kind):.2f} × linear", markersize=4)
        axis.loglog(x, [y[0] * n / x[0] for n in x], ":", color=colour, linewidth=1)
    axis.set(
        xlabel="Layers (12 weights each)",
        ylabel="Milliseconds, values and Jacobian",
        title="Training step by layers, 4 qubits, batch 32 (dotted: linear)",
    )
    _finish(axis)
    layers = sorted({row["layers"] for row in rows if any(_is_layers(row, kind) for kind in COLOURS)})
    axis.set_xticks(layers, [str(n) for n in layers], minor=False)
    axis.minorticks_off()
    return figure


def qubits_figure(rows: Sequence[Row]) -> Figure:
    """Draw time against qubits, compared with Aer's, and peak memory."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    for axis, kind in zip(axes.flat[:3], ("ideal, exact", "noise, exact", "noise, 1,024 shots"), strict=True):
        for simulator, batch, style, label in (
            ("aer", 1, "s--", "Aer, batch 1"),
            ("sweep", 32, "o-", "sweeps, batch 32"),
            ("sweep", 1, "o:", "sweeps, batch 1"),
        ):
            points = _by_qubits(rows, kind, simulator, batch, lambda row: row["seconds"])
            colour = "#6B7280" if simulator == "aer" else COLOURS[kind]
            axis.semilogy(*zip(*points, strict=True), style, color=colour, label=label, markersize=4)
        axis.set(title=kind[0].upper() + kind[1:], xlabel="Qubits", ylabel="Seconds, values and Jacobian")
        _finish(axis)
    for kind, colour in COLOURS.items():
        points = _by_qubits(rows, kind, "sweep", 32, lambda row: row["peak_memory_bytes"] / 2**30)
        axes[1, 1].plot(*zip(*points, strict=True), "o-", color=colour, label=kind, markersize=4)
    axes[1, 1].set(title="Peak memory of the process, sweeps, batch 32", xlabel="Qubits", ylabel="GiB", ylim=(0, None))
    _finish(axes[1, 1])
    figure.suptitle("Training step by qubits: two layers; 2 qubits measured, with shots 4")
    return figure


def _by_qubits(
    rows: Sequence[Row], kind: str, simulator: str, batch: int, value: Callable[[Row], float]
) -> list[tuple[float, float]]:
    chosen = [r for r in rows if (r["kind"], r["simulator"], r["batch"], r["layers"]) == (kind, simulator, batch, 2)]
    return sorted((r["qubits"], value(r)) for r in chosen)


def _finish(axis: Axes) -> None:
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9)
