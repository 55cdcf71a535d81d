"""What is left of a long curve: of each column of pixels what can be seen, so that no extreme is hidden."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COLUMNS = 300
"""Columns of a curve: about as many as a panel has pixels."""

MARK_COLUMNS = 100
"""Columns of points with a value to be shown: a pointer does not hit more."""


def thinned(x: Sequence[float], y: Sequence[float], columns: int = COLUMNS) -> list[int]:
    """Return which points of a curve are to be drawn: of each column the first, the last, the lowest and the highest.

    Args:
        x: Where the points are, in ascending order.
        y: Their values; NaN, where there is none, leaves a gap that is at least a column wide.
        columns: Into how many columns of the same width the curve is divided.

    Returns:
        The places of the points, in ascending order, at most four for each column; all of them where there are no more.
    """
    if len(x) <= 4 * columns:
        return list(range(len(x)))
    at, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    width = (at[-1] - at[0]) / columns or 1.0
    column = np.minimum(((at - at[0]) / width).astype(int), columns - 1)
    first, last = _ends(column)
    known = np.flatnonzero(np.isfinite(values))
    by_value = known[np.lexsort((values[known], column[known]))]
    lowest, highest = _ends(column[by_value])
    return np.unique(np.concatenate([first, last, by_value[lowest], by_value[highest]])).tolist()


def shared_columns(columns: int, num_curves: int) -> int:
    """Return how many columns each of several curves in one panel has, so that many do not make it heavy."""
    return max(columns // 5, min(columns, 4 * columns // max(1, num_curves)))


def _ends(column: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and the last place of each column."""
    return np.flatnonzero(np.diff(column, prepend=-1)), np.flatnonzero(np.diff(column, append=-1))
