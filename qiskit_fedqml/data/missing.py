"""Missing values of a table: named with their columns, and refused, dropped or filled."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.data.messages import shown
from qiskit_fedqml.errors import DataError, listed

logger = logging.getLogger(__name__)

Mask = NDArray[np.bool_]

_MOST_NAMED = 20
"""So many columns are named in an error."""
_MOST_COUNTED = 5
"""So many are named in a warning; a run's description has all of them."""


def check_missing(
    file: Path, numbers: Mapping[str, Mask], words: Mapping[str, Mask], missing: Literal["drop", "mean"] | None
) -> NDArray[np.intp] | None:
    """Return the rows that are kept where values are missing; None keeps all.

    Args:
        file: The table's file, for errors.
        numbers: For each numeric column, where values are missing, shape (rows,).
        words: The same for columns of text, which have no mean.
        missing: What is done.

    Raises:
        DataError: Values are missing, and nothing or the impossible is to be done, or no row is left.
    """
    columns = {**numbers, **words}
    found = [_described(name, mask) for name, mask in columns.items() if mask.any()]
    if not found:
        return None
    more = f"; {len(found) - _MOST_NAMED} more columns" if len(found) > _MOST_NAMED else ""
    said = f"{shown(file)} (row 1 is the first after the header): {'; '.join(found[:_MOST_NAMED])}{more}."
    counts = _counted({name: int(mask.sum()) for name, mask in columns.items() if mask.any()})
    if missing is None:
        raise DataError(f"{said} `data.missing: drop` leaves such rows out, `mean` puts in the training data's mean.")
    if missing == "mean":
        if without := [name for name, mask in words.items() if mask.any()]:
            raise DataError(
                f"{said} `data.missing: mean` cannot fill {listed(without)}, which is no feature of numbers."
            )
        logger.warning("%s lacks %s, which get the mean of the training data.", shown(file), counts)
        return None
    kept = np.flatnonzero(~np.any([*columns.values()], axis=0))
    if not len(kept):
        raise DataError(f"{said} `data.missing: drop` leaves no row.")
    total = len(next(iter(columns.values())))
    logger.warning("%s lacks %s; %d of %d rows are left out.", shown(file), counts, total - len(kept), total)
    return kept


def filled(numbers: NDArray[np.float64], means: NDArray[np.float64], names: Sequence[str]) -> NDArray[np.float64]:
    """Return numbers with the columns' means where values are missing.

    Args:
        numbers: Shape (rows, columns); NaN where they are missing.
        means: Shape (columns,); NaN where the training data have no value at all.
        names: Of the columns.

    Raises:
        DataError: A column has no mean.
    """
    if (without := np.flatnonzero(np.isnan(means))).size:
        raise DataError(f"Column {names[without[0]]!r} has no value in the training data, and so no mean.")
    return np.where(np.isnan(numbers), means, numbers)


def _counted(missing: Mapping[str, int]) -> str:
    """Return how many values columns lack; whoever reads it has said already what is to be done."""
    total = sum(missing.values())
    names = listed((f"{count:,} in {shown(name, 60)}" for name, count in missing.items()), _MOST_COUNTED)
    return f"{total:,} {'value' if total == 1 else 'values'} ({names})"


def _described(name: str, mask: Mask) -> str:
    count = int(mask.sum())
    lacks = "a value" if count == 1 else f"{count:,} values"
    return f"column {shown(repr(name), 60)} lacks {lacks}, first in row {int(np.argmax(mask)) + 1:,}"
