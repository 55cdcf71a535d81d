"""The tables, the figure and the text of the study of crosstalk."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qiskit_fedqml.report.drawing import COLOURS
from qiskit_fedqml.tables import markdown_table

Line = Mapping[str, Any]
"""A case at a strength, ``kilohertz``, with its errors; a reference has no strength."""

_COLUMNS = {
    "values_rms": "Values: RMS",
    "values_mean": "mean",
    "values_max": "largest",
    "slope": "slope",
    "gradients_rms": "Gradients: RMS",
    "gradients_mean": "mean ",
    "gradients_max": "largest ",
    "cosine_mean": "cosine: mean",
    "cosine_min": "least",
}


def table(lines: Sequence[Line]) -> str:
    """Return a table of errors."""
    rows = []
    for line in lines:
        strength = "" if line["kilohertz"] is None else f"{line['kilohertz']:g}"
        numbers = {name: f"{line[key]:.4f}" if key in line else "" for key, name in _COLUMNS.items()}
        rows.append({"Between the blocks": line["case"], "ν (kHz)": strength, **numbers})
    return markdown_table(rows)


def figure_of(lines: Sequence[Line], references: Sequence[Line], device: str) -> Figure:
    """Draw errors by strength, with what shots and the device's own noise do.

    Args:
        lines: The cases to draw, at all strengths.
        references: What is drawn as a level.
        device: The device's name.
    """
    figure = Figure(figsize=(9.5, 4.8), layout="constrained")
    for axis, what in zip(figure.subplots(1, 2, sharey=True), ("values", "gradients"), strict=True):
        cases = dict.fromkeys(line["case"] for line in lines)
        for colour, style, case in zip(COLOURS, ("o-", "o-", "s--"), cases, strict=False):
            own = [line for line in lines if line["case"] == case]
            x, y = ([line[of] for line in own] for of in ("kilohertz", f"{what}_rms"))
            axis.plot(x, y, style, color=colour, markersize=5, linewidth=1.6, label=case)
        for line, dashes in zip(references, ("-", "-.", ":"), strict=True):
            axis.axhline(line[f"{what}_rms"], color="0.35", linewidth=1.2, linestyle=dashes, label=line["case"])
        _finish(axis, what, sorted({line["kilohertz"] for line in lines}))
    figure.axes[0].set_ylabel("Root mean square difference")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(f"Two neighbouring blocks of {device}: ZZ crosstalk, against each block simulated alone")
    return figure


def _finish(axis: Axes, what: str, strengths: Sequence[float]) -> None:
    axis.set(xscale="log", yscale="log", xlabel="Strength ν of each coupling (kHz)", title=what.capitalize())
    axis.minorticks_off()
    axis.set_xticks(strengths, [f"{strength:g}" for strength in strengths])
    axis.grid(alpha=0.3, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def reading(lines: Sequence[Line], shots: Line) -> str:
    """Say what crosstalk does in each case, in parts of what shots do.

    Args:
        lines: The cases, at all strengths.
        shots: The reference for shots.
    """
    items = []
    for case in dict.fromkeys(line["case"] for line in lines):
        does = [
            f"{line['kilohertz']:g} kHz by {line['values_rms']:.4f} and {line['gradients_rms']:.4f} "
            f"({line['values_rms'] / shots['values_rms']:.1%} and {line['gradients_rms'] / shots['gradients_rms']:.1%})"
            for line in lines
            if line["case"] == case
        ]
        items.append(fill(f"- {case}: {'; '.join(does)}.", 120, subsequent_indent="  "))
    head = f"How far crosstalk moves values and derivatives, RMS (in brackets, in parts of the {shots['case']}):"
    return "\n".join([head, "", *items])


def about(**facts: Any) -> str:
    """Return what is written below the table.

    Args:
        facts: What the text names.
    """
    return _ABOUT.format(**facts)


_ABOUT = """
{reading}

Two copies of the paper's circuit on neighbouring blocks of {device}, as the package cuts it, are simulated in one
density matrix with the device's noise, and compared with each block alone, both exactly. Values are at {values} draws
of all angles and gradients at {gradients}, two outputs each; gradients are derivatives by {angles} gate angles. Blocks:

{blocks}

**Without crosstalk** blocks together and each block alone differ by at most {rounding}: simulating block by block is
exact then. A rehearsal, whose sweeps round to single precision, differs from that by {rehearsal}.

**The crosstalk** is H/h = ν |11⟩⟨11| of two coupled qubits in different blocks, in all of the circuit's
{microseconds} µs: an excited neighbour moves a qubit's frequency by ν. With an idle qubit in between, which stays in
its ground state, a coupling of {second_order:g} ν between its two neighbours is assumed. The idle qubit's own shift of
its neighbours' frequencies is there without packing too, and calibrated away; the third case is an upper bound in which
it is not (ν/2 on both). A neighbouring block that stays idle changes nothing.

No calibration publishes ν. The strengths are assumptions: about 10 kHz or less for tunable couplers, as Heron has, and
30 to 100 kHz for fixed ones. That ZZ matters much less with tunable couplers was measured by Hickman et al.
(arXiv:2506.18010): pulse sequences that are robust against it slow the decay of fidelity at least threefold on IBM's
devices with fixed couplers, and hardly on those with tunable ones.

**The neighbour** shifts as well, with the same sign in the same row, as the package sends it: an angle of another
client (`spread: clients`), or another angle of the same samples (`spread: samples`). Next to a neighbour that stays, it
has the same angles for both signs.

**Left out:** crosstalk while gates are driven, beyond ZZ; more than one neighbour. A block of this device has
{adjacent:.1f} couplings to other blocks on average at separation 0, and {apart:.1f} paths over an idle qubit at
separation 1; effects of several add up.

SX and X are cut into {slices} parts; twice as many change values at {strongest:g} kHz by at most {halved}.
"""
