"""A machine drawn as its chip: blocks in the colour of their success probability, the idle pale, the faulty crossed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from qiskit_fedqml.backends.chip import MachineMap
from qiskit_fedqml.report.coordinates import coordinates, span
from qiskit_fedqml.report.drawing import INK, PALE, PALE_INK, PALE_RIM, Mark, Panel, add_legend, count_percent

_COLOURS = LinearSegmentedColormap.from_list("success", colormaps["viridis_r"](np.linspace(0.04, 0.96, 256)), N=48)
"""From light to dark, so that colour-blind readers and black-and-white print show the same order.

More than 50 steps would make the colour bar a picture of pixels.
"""
_UNKNOWN = "#8a9097"
_MOST_INCHES, _LEAST_INCHES = 7.5, 5.0
_LARGEST_PITCH_INCHES = 0.75  # between two neighbours
_LEAST_FONT = 3.5  # points; a smaller number cannot be read
_BAR_INCHES = 0.9


def map_panel(drawn: MachineMap, slug: str, where: str = "") -> Panel:
    """Draw a machine.

    Args:
        drawn: What is drawn.
        slug: What the panel's files are called.
        where: What follows in the title.
    """
    places, scale = coordinates(drawn.chip), _scale(drawn)
    has_bar = len(set(drawn.successes)) > 1
    figure = Figure(figsize=_size(places, has_bar=has_bar), dpi=72, layout="constrained")
    axis = figure.subplots()
    axis.set(aspect="equal", anchor="W", xlim=span(places[:, 0]), ylim=span(places[:, 1]))
    axis.set_axis_off()
    if has_bar:
        count_percent(add_colour_bar(axis, scale, "Success probability", shrink=0.8, aspect=30), 10)
    _explain(figure, drawn, scale)
    figure.draw_without_rendering()  # now the axes have their size, by which marks are drawn
    pitch = float(axis.transData.transform((1, 0))[0] - axis.transData.transform((0, 0))[0])
    _Drawing(axis, drawn, places, pitch, scale).draw()
    marks = _marks(drawn, places)
    return Panel(slug, drawn.title + where, figure, {}, marks, note=drawn.summary, keeps_size=True)


def _size(places: NDArray[np.float64], *, has_bar: bool) -> tuple[float, float]:
    """Return width and height in inches, which leave room for the legend below, and for a colour bar."""
    columns, rows = np.ptp(places, axis=0) + 1
    bar = 0.1 + _BAR_INCHES * has_bar
    pitch = min((_MOST_INCHES - bar) / columns, _LARGEST_PITCH_INCHES)
    return max(_LEAST_INCHES, pitch * columns + bar), max(1.2, pitch * rows + 0.45)


def add_colour_bar(axis: Axes, scale: ScalarMappable, label: str, *, shrink: float, aspect: float) -> Axis:
    """Draw what colours stand for, on the right of a map; return the axis of its numbers.

    Args:
        axis: The map.
        scale: Colours by value.
        label: What the values are.
        shrink: The bar's height as a part of the map's.
        aspect: The bar's height as a multiple of its width.
    """
    look: Any = {"fraction": 0.05, "shrink": shrink, "aspect": aspect, "pad": 0.02, "panchor": False}
    bar = axis.figure.colorbar(scale, ax=axis, label=label, **look)
    assert bar.solids is not None
    bar.solids.set_edgecolor("face")  # or the paper shows between its steps
    bar.outline.set_visible(False)
    return bar.ax.yaxis


def _scale(drawn: MachineMap) -> ScalarMappable:
    """Return the colours of success probabilities; of one alone, that of the middle."""
    low, high = min(drawn.successes, default=0.0), max(drawn.successes, default=1.0)
    margin = 0.0 if high > low else 0.01
    return ScalarMappable(Normalize(low - margin, high + margin), _COLOURS)


def _colour(scale: ScalarMappable, success: float | None) -> Any:
    return _UNKNOWN if success is None else scale.to_rgba(np.asarray(success))


@dataclass(frozen=True)
class _Drawing:
    """The chip in its axes; everything is one path or one set of markers where it can be, for small files.

    Args:
        axis: The axes.
        drawn: What is drawn.
        places: Of the qubits.
        pitch: The distance of two neighbours in points.
        scale: The colours of success probabilities.
    """

    axis: Axes
    drawn: MachineMap
    places: NDArray[np.float64]
    pitch: float
    scale: ScalarMappable

    def draw(self) -> None:
        """Draw from the bottom to the top."""
        drawn, thin = self.drawn, max(0.7, 0.035 * self.pitch)
        block_of = {qubit: block for block in drawn.blocks for qubit in block}
        inside: dict[tuple[int, ...], list[tuple[int, int]]] = {block: [] for block in drawn.blocks}
        plain: list[tuple[int, int]] = []
        for a, b in drawn.chip.couplings:
            if (a, b) in drawn.faulty_couplings:
                continue
            is_inside = a in block_of and block_of[a] == block_of.get(b)
            (inside[block_of[a]] if is_inside else plain).append((a, b))
        self._lines(plain, 1, color=INK, alpha=0.3, linewidth=thin)
        self._lines(drawn.faulty_couplings, 1, color=INK, alpha=0.5, linewidth=thin, linestyle=(0, (1, 2)))
        # A rim in ink holds a block together, also where its colour is close to the paper's.
        every = [pair for of in inside.values() for pair in of]
        self._lines(every, 2, color=INK, linewidth=0.26 * self.pitch + 1.2)
        self._dots(block_of, 0.66, 2, color=INK, markeredgewidth=1.2)
        for block, success in drawn.blocks.items():
            self._lines(inside[block], 3, color=_colour(self.scale, success), linewidth=0.26 * self.pitch)
            self._dots(block, 0.66, 3, color=_colour(self.scale, success), markeredgewidth=0)
        self._dots(drawn.idle_qubits, 0.54, 3, markerfacecolor=PALE, markeredgecolor=PALE_RIM, markeredgewidth=0.8)
        self._crosses()
        self._numbers()

    def _lines(self, pairs: Iterable[tuple[int, int]], zorder: float, **look: Any) -> None:
        nowhere = np.full((1, 2), np.nan)
        points = [part for pair in sorted(pairs) for part in (self.places[list(pair)], nowhere)]
        if points:
            self.axis.plot(*np.concatenate(points).T, zorder=zorder, solid_capstyle="butt", **look)

    def _dots(self, qubits: Iterable[int], size: float, zorder: float, **look: Any) -> None:
        at = self.places[list(qubits)]
        self.axis.plot(*at.T, marker="o", linestyle="", markersize=size * self.pitch, zorder=zorder, **look)

    def _crosses(self) -> None:
        thick = max(1.0, 0.06 * self.pitch)
        look: Any = {"marker": "x", "linestyle": "", "color": INK, "markeredgewidth": thick, "zorder": 5}
        qubits = self.places[list(self.drawn.faulty_qubits)]
        alone = [pair for pair in self.drawn.faulty_couplings if set(pair).isdisjoint(self.drawn.faulty_qubits)]
        couplings = np.array([self.places[list(pair)].mean(axis=0) for pair in sorted(alone)]).reshape(-1, 2)
        self.axis.plot(*qubits.T, markersize=0.42 * self.pitch, **look)
        self.axis.plot(*couplings.T, markersize=0.24 * self.pitch, **look)

    def _numbers(self) -> None:
        """Write each qubit's number into it, if it can be read there."""
        digits = max(2, len(str(self.drawn.chip.num_qubits - 1)))
        font = min(10.0, 0.7 * self.pitch / digits)
        if font < _LEAST_FONT:
            return
        colours: dict[int, Any] = dict.fromkeys(self.drawn.idle_qubits, PALE_INK)
        for block, success in self.drawn.blocks.items():
            colours |= dict.fromkeys(block, readable_on(_colour(self.scale, success)))
        look: Any = {"fontsize": font, "ha": "center", "va": "center_baseline", "zorder": 6}
        for qubit, colour in colours.items():
            x, y = self.places[qubit]
            self.axis.text(x, y, str(qubit), color=colour, **look)


def readable_on(colour: Any) -> str:
    """Return black or white, whichever differs more in luminance."""
    red, green, blue = (part**2.2 for part in to_rgb(colour))
    return "#000000" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.2 else "#ffffff"


def _explain(figure: Figure, drawn: MachineMap, scale: ScalarMappable) -> None:
    """Add a legend of the kinds of qubits that there are."""
    mean = sum(drawn.successes) / len(drawn.successes) if drawn.successes else None
    dot: Any = {"linestyle": "", "marker": "o", "markersize": 9}
    kinds = {"block" if len(drawn.blocks) == 1 else "blocks": {"color": _colour(scale, mean), "mec": INK, **dot}}
    if drawn.idle_qubits:
        kinds["idle"] = {"color": PALE, "mec": PALE_RIM, **dot}
    if drawn.left_out:
        kinds["left out"] = {"color": INK, "mew": 1.6, **dot, "marker": "x", "markersize": 7}
    handles = [Line2D([], [], **look) for look in kinds.values()]
    look: Any = {"loc": "outside lower left", "ncols": 3, "handletextpad": 0.2, "columnspacing": 1.2}
    add_legend(figure, handles, list(kinds), **look)


def _marks(drawn: MachineMap, places: NDArray[np.float64]) -> list[Mark]:
    texts = dict.fromkeys(drawn.idle_qubits, "idle") | dict.fromkeys(drawn.faulty_qubits, "left out")
    for block, success in drawn.blocks.items():
        share = "success probability unknown" if success is None else f"{success:.1%}"
        texts |= dict.fromkeys(block, f"block {', '.join(map(str, block))}: {share}")
    return [Mark(places[qubit][0], places[qubit][1], f"Qubit {qubit}, {texts[qubit]}") for qubit in sorted(texts)]
