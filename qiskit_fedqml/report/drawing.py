"""What all figures of a report share: panels, colours, and how they are written."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from io import BytesIO
from math import ceil
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from qiskit_fedqml.files import make_folder, write_bytes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666")
"""Okabe and Ito's palette, which colour-blind readers can distinguish; grey in place of black, to be seen on black."""

INK = "#0a0b0c"
"""Text and axes: black enough on paper, and a colour that nothing else has, so that a page can put its own in place."""

PALE, PALE_RIM, PALE_INK = "#f1f3f5", "#b4bac0", "#5f666d"
"""Surfaces, rims and text that step back; a page puts its own in place of these too."""

DASHES = ("-", "--", ":", "-.")
"""Lines of the first, second, … seven names, so that names with the same colour differ."""

MOST_MARKS = 600
"""Above this many marks a panel thins them: a reader can distinguish no more, and the page would weigh too much."""

AS_WRITTEN: Any = {"text.parse_math": False}
"""Matplotlib's setting for text that comes from outside: names of folders are no formulas."""

_NO_LAYOUT: Any = {"figure.autolayout": False, "figure.constrained_layout.use": False}  # whatever the user's style
_WIDTH_INCHES = 5.0  # 360 points, a phone's width: text of 10 points is as readable there as the page's own
_LINE_LENGTH = 58  # characters of a title
_TITLE_INCHES, _BELOW_TITLE_INCHES = 0.19, 0.04  # of one line of it, and below it
_LEGEND_INCHES = 0.24  # of one line of it
_STYLE: Any = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 10),
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7},
    **{"axes.grid": True, "axes.axisbelow": True, "grid.color": INK, "grid.alpha": 0.13, "grid.linewidth": 0.6},
    **{"xtick.major.size": 0, "ytick.major.size": 0},
    **AS_WRITTEN,
    "svg.hashsalt": "qiskit_fedqml",  # ids do not change from one report to the next
}


@dataclass(frozen=True)
class Mark:
    """A point of a panel of which a reader may want to know the value, in the axes' own units."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Panel:
    """A figure of one pair of axes.

    Args:
        name: What its files are called.
        title: What it shows, in words.
        figure: The figure, without a legend.
        legend: Colours by what they stand for.
        marks: Points with their values in words.
        dashes: Dash patterns by what they stand for, of lines that are not solid.
        note: What else a reader must know to read it.
        keeps_size: Whether its axes keep their size where title and legend take room, as they would be too small.
        is_fixed: Whether its axes fill the figure, at a size of their own.
    """

    name: str
    title: str
    figure: Figure
    legend: Mapping[str, str] = field(default_factory=dict)
    marks: Sequence[Mark] = ()
    dashes: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    keeps_size: bool = False
    is_fixed: bool = False

    @property
    def axis(self) -> Axes:
        """The axes."""
        return self.figure.axes[0]


def style() -> AbstractContextManager[None]:
    """Return the context in which panels are drawn and written."""
    return mpl.rc_context(_STYLE)


def new_figure(height_inches: float = 3.2) -> tuple[Figure, Axes]:
    """Return the figure of a new panel and its axes."""
    figure = Figure(figsize=(_WIDTH_INCHES, height_inches), dpi=72, layout="constrained")
    return figure, figure.subplots()


def count_rounds(axis: Axes, label: str) -> None:
    """Let the horizontal axis count rounds, under the name that they have."""
    axis.set_xlabel(label)
    axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))


def count_percent(axis: Axis, most_ticks: int = 6) -> None:
    """Let an axis of numbers from 0 to 1 show percentages, with as many digits as they need."""
    axis.set_major_locator(MaxNLocator(most_ticks, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.6g}%"))


def lay_out(figure: Figure) -> None:
    """Give a figure's axes their places, which each drawing would do again: once, until a layout is set again."""
    if isinstance(engine := figure.get_layout_engine(), ConstrainedLayoutEngine):
        engine.execute(figure)
        with mpl.rc_context(_NO_LAYOUT):
            figure.set_layout_engine(None)  # "none" would keep a placeholder, for which each drawing is done twice


def colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each name; after the seventh they begin again."""
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def dashes(names: Sequence[str]) -> dict[str, str]:
    """Return a dash pattern for each name: another one each time that the colours begin again."""
    return {name: DASHES[i // len(COLOURS) % len(DASHES)] for i, name in enumerate(names)}


def panel_files(panel: Panel, folder: Path) -> dict[Path, bytes]:
    """Return a panel with title, note and legend, to stand alone, as a PNG and an SVG file by their paths."""
    figure, height = panel.figure, panel.figure.get_figheight()
    if not panel.is_fixed:
        figure.set_layout_engine("constrained")
    lines = [panel.title, *wrap(panel.note, round(_LINE_LENGTH * figure.get_figwidth() / _WIDTH_INCHES))]
    title = panel.axis.set_title("\n".join(lines), fontsize=11, loc="left")
    legend = _add_legend(panel) if panel.legend else None
    if panel.keeps_size or panel.is_fixed:
        of_legend = _LEGEND_INCHES * ceil(len(panel.legend) / _columns(panel.legend)) if panel.legend else 0.0
        figure.set_figheight(height + _TITLE_INCHES * len(lines) + _BELOW_TITLE_INCHES + of_legend)
    if panel.is_fixed:
        panel.axis.set_position((0.0, 0.0, 1.0, height / figure.get_figheight()))
    try:
        return figure_files(figure, folder / panel.name, dpi=110 if panel.is_fixed else 200)
    finally:  # the page has a legend of its own
        title.set_text("")
        figure.set_figheight(height)
        if panel.is_fixed:
            panel.axis.set_position((0.0, 0.0, 1.0, 1.0))
        else:
            figure.set_layout_engine("constrained")
        if legend:
            legend.remove()


def _add_legend(panel: Panel) -> Legend:
    looks: dict[str, Any] = {
        name: {"linewidth": 2, "linestyle": dash} for name, dash in panel.dashes.items() if dash != DASHES[0]
    }
    swatches = [Line2D([], [], color=c, **looks.get(name, {"linewidth": 5})) for name, c in panel.legend.items()]
    look: Any = {"loc": "outside lower left", "ncols": _columns(panel.legend), "handlelength": 2 if looks else 1}
    return add_legend(panel.figure, swatches, list(panel.legend), **look)


def _columns(legend: Mapping[str, str]) -> int:
    return 1 if any(len(name) > 24 for name in legend) else 2


def add_legend(figure: Figure, handles: Sequence[Line2D], names: Sequence[str], **look: Any) -> Legend:
    """Add a legend; a name that begins with "_", which Matplotlib would leave out, is a name as others are.

    Args:
        figure: The figure.
        handles: A line for each name.
        names: The names.
        look: Where it goes, and how it looks.
    """
    legend = figure.legend(handles, [" "] * len(names), frameon=False, **look)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)
    return legend


def save_figure(figure: Figure, path: Path, dpi: float = 160) -> list[Path]:
    """Write a figure as PNG and SVG, the same bytes each time; return both paths.

    Args:
        figure: The figure.
        path: Where to, without a suffix.
        dpi: Pixels an inch of the PNG.

    Raises:
        ResultError: A file cannot be written.
    """
    make_folder(path.parent)
    files = figure_files(figure, path, dpi)
    for target, content in files.items():
        write_bytes(target, content)
    return list(files)


def figure_files(figure: Figure, path: Path, dpi: float = 160) -> dict[Path, bytes]:
    """Return what :func:`save_figure` writes, by its path."""
    files = {}
    lay_out(figure)
    for kind in ("png", "svg"):
        content = BytesIO()
        with mpl.rc_context({"svg.hashsalt": _STYLE["svg.hashsalt"]}):
            figure.savefig(content, format=kind, dpi=dpi, metadata={"Date": None} if kind == "svg" else None)
        files[path.with_name(f"{path.name}.{kind}")] = content.getvalue()
    return files
