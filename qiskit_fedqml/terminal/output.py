"""Tables in a terminal."""

import os
import sys
from collections.abc import Sequence
from textwrap import fill

from qiskit_fedqml.tables import markdown_table

Rows = Sequence[dict[str, str]]

_MOST_KEPT = 16
"""Longer cells may be folded; words of headings twice that."""

_MOST_REPEATED = 3
"""Columns with which each part of a divided table begins."""


def print_table(rows: list[dict[str, str]]) -> None:
    """Print a table: fitted to a terminal, or as Markdown where the output goes elsewhere.

    One that is too wide for the terminal is divided into several, which begin with the same columns.
    """
    if not (sys.stdout.isatty() or os.environ.get("FORCE_COLOR")):
        print(markdown_table(rows))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for columns in _divided(rows, console.width):
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for column in columns:
            width = _width(rows, column)
            table.add_column(Text(fill(column, width)), overflow="fold", min_width=width)
        for row in rows:
            table.add_row(*(Text(row[column]) for column in columns))  # names in square brackets are no markup
        console.print(table)


def _divided(rows: Rows, width: int) -> list[list[str]]:
    """Return the columns of each table."""
    columns = list(rows[0])
    if _total(rows, columns) <= width:
        return [columns]
    first = _distinguishing(rows, columns)
    tables = [first]
    for column in columns:
        if column in first:
            continue
        if tables[-1] is not first and _total(rows, [*tables[-1], column]) > width:
            tables.append(first)
        tables[-1] = [*tables[-1], column]
    return tables


def _distinguishing(rows: Rows, columns: Sequence[str]) -> list[str]:
    """Return the first columns without gaps that are different for all rows; the very first one where none are."""
    full = [column for column in columns if all(row[column] for row in rows)]
    for count in range(1, min(len(full), _MOST_REPEATED) + 1):
        if len({tuple(row[column] for column in full[:count]) for row in rows}) == len(rows):
            return full[:count]
    return [columns[0]]


def _total(rows: Rows, columns: Sequence[str]) -> int:
    """Return how many characters columns take in a table at least, with what is between and around them."""
    return sum(_width(rows, column) + 2 for column in columns) + 1


def _width(rows: Rows, column: str) -> int:
    """Return how many characters a column takes at least: a word of its heading, and cells that are not long."""
    words, cells = map(len, column.split()), (len(row[column]) for row in rows)
    return max([*(min(word, 2 * _MOST_KEPT) for word in words), *(min(cell, _MOST_KEPT) for cell in cells)])
