"""Tables of text as tables of numbers, for other programs: intervals have columns of their own.

The first column names a row and stays as it is, as does each column that is not all numbers of one unit.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qiskit_fedqml.report.cells import NOTHING

Row = Mapping[str, str]

_NUMBER = r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]\d+)?"
_CELL = re.compile(
    rf"(?P<money>US\$ )?(?P<mean>{_NUMBER})(?P<percent>%)?"
    rf"(?: ± (?P<half>{_NUMBER})%?| \((?P<least>{_NUMBER}) to (?P<greatest>{_NUMBER})\))?"
    r"(?: (?P<unit>[µA-Za-z/]+))?"
)
_DURATION = re.compile(
    r"(?:(?P<h>[\d,]+) h )?(?P<min>\d+) min(?: (?P<s>\d+) s)?(?P<planned> planned)?"
    r"|(?P<one>[\d.]+) (?P<of>ms|s)(?P<also> planned)?"
)
_WORDS = {"exact", "not read"}
"""What a column of numbers may hold too, and keeps."""

_FURTHER = {"half": "half-width of 95% interval", "least": "least", "greatest": "greatest"}


@dataclass(frozen=True)
class _Numbers:
    """The numbers of a cell.

    Args:
        unit: Their unit, ``""`` without one.
        mean: The number itself.
        further: What is written next to it, by its heading.
    """

    unit: str
    mean: str
    further: Mapping[str, str]


def as_numbers(rows: Sequence[Row]) -> list[dict[str, str]]:
    """Return a table with plain numbers, their units in the headings; intervals and ranges have columns of their own.

    ``"82.87 ± 33.64%"`` in a column "Accuracy" becomes 82.87 in "Accuracy (%)" and 33.64 in "Accuracy (%), half-width
    of 95% interval"; ``"1 min 2 s"`` becomes 62, in seconds; "–" becomes an empty cell.

    Args:
        rows: Each a text by column; a column that a row lacks is empty there.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    found: list[dict[str, str]] = [{} for _ in rows]
    for place, column in enumerate(columns):
        cells = [row.get(column, "") for row in rows]
        split = None if place == 0 else _split(column, cells)
        for row, values in zip(found, split or [{column: cell} for cell in cells], strict=True):
            row.update(values)
    return found


def _split(column: str, cells: Sequence[str]) -> list[dict[str, str]] | None:
    """Return the columns that hold a column's numbers; None if it does not hold numbers of one unit."""
    for read in (_duration, _number):
        known = [None if cell in {"", NOTHING, *_WORDS} else read(cell) for cell in cells]
        if any(one is None and cell not in {"", NOTHING, *_WORDS} for one, cell in zip(known, cells, strict=True)):
            continue
        units = {one.unit for one in known if one}
        if len(units) != 1:
            continue
        unit = units.pop()
        heading = f"{column} ({unit})" if unit else column
        further = list(dict.fromkeys(name for one in known if one for name in one.further))
        return [
            {heading: one.mean if one else (cell if cell in _WORDS else "")}
            | {f"{heading}, {name}": one.further.get(name, "") if one else "" for name in further}
            for one, cell in zip(known, cells, strict=True)
        ]
    return None


def _number(cell: str) -> _Numbers | None:
    if not (match := _CELL.fullmatch(cell)):
        return None
    is_percent = match["percent"] or cell.endswith("%")
    unit = "US$" if match["money"] else "%" if is_percent else match["unit"] or ""
    further = {name: _plain(match[group]) for group, name in _FURTHER.items() if match[group]}
    return _Numbers(unit, _plain(match["mean"]), further)


def _duration(cell: str) -> _Numbers | None:
    if not (match := _DURATION.fullmatch(cell)):
        return None
    if match["one"]:
        seconds = float(match["one"]) / (1000 if match["of"] == "ms" else 1)
    else:
        hours, minutes, rest = (int(_plain(match[part] or "0")) for part in ("h", "min", "s"))
        seconds = 3600.0 * hours + 60 * minutes + rest
    planned = {"planned": "yes"} if match["planned"] or match["also"] else {}
    return _Numbers("s", f"{seconds:g}" if seconds < 1e6 else f"{seconds:.0f}", planned)


def _plain(number: str) -> str:
    return number.replace(",", "").removeprefix("+")
