"""Circuits as Qiskit draws them, in the colours of the page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qiskit import QuantumCircuit
from qiskit.exceptions import MissingOptionalLibraryError

from qiskit_fedqml.report.drawing import INK, PALE, PALE_RIM, Panel
from qiskit_fedqml.report.naming import file_names
from qiskit_fedqml.report.used_circuits import Compiled, Designed

_MOST_GATES, _MOST_QUBITS = 240, 16
_MOST_DRAWINGS = 8
_FOLD = 14  # gates in a row, which a desktop shows without scrolling
_STYLE: Any = {
    "name": "bw",
    **dict.fromkeys(("textcolor", "gatetextcolor", "subtextcolor", "linecolor", "creglinecolor"), INK),
    **{"gatefacecolor": PALE, "edgecolor": INK, "barrierfacecolor": PALE_RIM, "backgroundcolor": "none"},
    **{"displaycolor": {}},
}
_SIGNS = {
    **{r"\sqrt{X}": "√X", r"\pi": "π", r"\theta": "θ", r"\phi": "φ", r"\lambda": "λ", r"\varphi": "φ"},
    **{r"\mapsto": " ↦ ", r"\;": " ", r"\dagger": "†", r"^": ""},
}


@dataclass(frozen=True)
class Circuits:
    """Drawings of circuits.

    Args:
        panels: The drawings.
        left_out: Why others are not drawn, in sentences.
    """

    panels: list[Panel] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def circuit_drawings(designed: Sequence[Designed], compiled: Sequence[Compiled], num_runs: int) -> Circuits:
    """Draw circuits as designed, and as transpiled; small ones, as none can read a large one.

    Args:
        designed: The circuits.
        compiled: The same on machines.
        num_runs: How many runs the report is about: what is not of all of them says of which it is.
    """
    every = [(one.spec.circuit, "The circuit as designed", "circuit", one.runs) for one in designed]
    every += [(c.program.circuit, f"Transpiled for {c.machine}", f"circuit_{c.machine}", c.runs) for c in compiled]
    slugs = file_names([slug for _, _, slug, _ in every])
    found = Circuits()
    for (circuit, title, _, runs), slug in zip(every, slugs, strict=True):
        where = "" if len(runs) == num_runs else f"; in {', '.join(runs)}"
        if (size := _size(circuit)) > _MOST_GATES or len(_used(circuit)) > _MOST_QUBITS:
            found.left_out.append(
                f"{title}{where}: {size:,} gates on {len(_used(circuit))} qubits, too many to be drawn here."
            )
        elif len(found.panels) >= _MOST_DRAWINGS:
            found.left_out.append(f"{title}{where}: not drawn, as {_MOST_DRAWINGS} circuits are.")
        else:
            try:
                found.panels.append(_panel(circuit, title + where, slug))
            except MissingOptionalLibraryError:  # Qiskit's drawer needs it
                return Circuits([], ["Circuits are not drawn: `pip install pylatexenc` lets Qiskit draw them."])
    return found


def _panel(circuit: QuantumCircuit, title: str, slug: str) -> Panel:
    look: Any = {"fold": _FOLD, "idle_wires": False, "style": _STYLE, "plot_barriers": False}
    figure = circuit.draw("mpl", **look)
    axis = figure.axes[0]
    for text in axis.texts:
        text.set_text(plain_text(text.get_text()))
    for artist in axis.get_children():
        artist.set_clip_on(False)
    axis.set_position((0.0, 0.0, 1.0, 1.0))
    two = sum(i.operation.num_qubits == 2 and i.operation.name != "barrier" for i in circuit.data)
    note = f"{_size(circuit)} gates, {two} of them on two qubits; depth {circuit.depth()}."
    return Panel(slug, title, figure, note=note, is_fixed=True)


def plain_text(text: str) -> str:
    """Return a label of Qiskit's drawer without LaTeX, which is slow to set and would make formulas of users' names."""
    text = re.sub(r"\\(?:mathrm|mathit|mathtt|text)\b", "", text)
    for latex, sign in _SIGNS.items():
        text = text.replace(latex, sign)
    return re.sub(r"[${}]|(?<=[A-Za-z}])_(?=\{|[A-Z]\b)", "", text)


def _size(circuit: QuantumCircuit) -> int:
    return sum(i.operation.name != "barrier" for i in circuit.data)


def _used(circuit: QuantumCircuit) -> set[Any]:
    return {qubit for i in circuit.data for qubit in i.qubits}
