"""Lines with bands: a mean over seeds and its interval, point by point; and what lines end with, next to their ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from qiskit_fedqml.report.thinning import thinned
from qiskit_fedqml.study.statistics import bands

_ROOM = 0.13
"""Of the axis' width, for the labels of lines that end at its right."""
_GAP = 0.058
"""Of the axis' height, between two labels."""


@dataclass(frozen=True)
class Band:
    """A mean over seeds with its interval, or with the range of two seeds; of one seed its own values.

    Args:
        x: Where the points are, of shape (points,).
        mean: Of shape (points,).
        low: The lower ends.
        high: The upper ends.
        count: How many seeds there are.
    """

    x: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    count: int

    @classmethod
    def of(cls, x: Sequence[Sequence[float]], y: Sequence[Sequence[float]], limits: tuple[float, float]) -> "Band":
        """Return the band of curves, as far as all of them reach.

        Args:
            x: Of each seed; means of them are drawn.
            y: Of each seed.
            limits: What values can be: intervals end there.
        """
        length = min(map(len, (*x, *y)))
        mean, low, high = bands(np.array([values[:length] for values in y], dtype=float))
        return cls(
            np.mean([values[:length] for values in x], axis=0),
            mean,
            np.clip(low, *limits),
            np.clip(high, *limits),
            len(y),
        )

    def thinned(self, columns: int) -> list[int]:
        """Return which points are to be drawn, so that no extreme of the mean or of the interval is hidden.

        Args:
            columns: Into how many columns of the same width the band is divided.
        """
        lines = (self.mean, self.low, self.high) if self.count > 1 else (self.mean,)
        x = self.x.tolist()
        return sorted({place for line in lines for place in thinned(x, line.tolist(), columns)})

    def at(self, places: Sequence[int]) -> "Band":
        """Return the band at some of its points."""
        chosen = list(places)
        return Band(self.x[chosen], self.mean[chosen], self.low[chosen], self.high[chosen], self.count)

    def draw(self, axis: Axes, name: str, **look: Any) -> None:
        """Draw the line, and the band around it if there are several seeds.

        Args:
            axis: Where to.
            name: The line's label.
            look: As of Matplotlib's lines.
        """
        axis.plot(self.x, self.mean, label=name, **look)
        if self.count > 1:
            step = {"steps-post": "post"}.get(look.get("drawstyle", ""))
            shade: Any = {"color": look["color"], "alpha": 0.13, "linewidth": 0, "step": step}
            axis.fill_between(self.x, self.low, self.high, **shade)


def label_ends(axis: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write what lines end with next to their ends, none over another.

    Args:
        axis: Its limits are kept afterwards, except for room on the right.
        ends: Horizontal and vertical place of each line's end, the text, and its colour.
    """
    if not (ends := [end for end in ends if np.isfinite(end[:2]).all()]):
        return
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    axis.set(xlim=(left, max(right, right + _ROOM * (right - left))), ylim=(bottom, top))
    for place, (x, _, text, colour) in zip(
        _spread([(end[1] - bottom) / (top - bottom) for end in ends]), ends, strict=True
    ):
        at: Any = {"xytext": (5, 0), "textcoords": "offset points", "va": "center", "fontsize": 8}
        halo = [withStroke(linewidth=2.5, foreground="white")]
        axis.annotate(text, (x, bottom + place * (top - bottom)), color=colour, path_effects=halo, **at)


def _spread(places: Sequence[float]) -> list[float]:
    """Return places from 0 to 1 with a gap between each two of them, each as near to its own as that allows."""
    order = np.argsort(places, kind="stable")
    moved = np.array(places, dtype=float)[order]
    for _ in range(100):
        gaps = np.diff(moved)
        if (gaps >= _GAP - 1e-6).all():
            break
        for k in np.flatnonzero(gaps < _GAP):
            push = (_GAP - (moved[k + 1] - moved[k])) / 2
            moved[k], moved[k + 1] = moved[k] - push, moved[k + 1] + push
    found = np.empty(len(places))
    found[order] = moved
    return [float(place) for place in found]
