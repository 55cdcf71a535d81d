"""Tables of a report: on the page as far as they can be read there, and whole as CSV and LaTeX."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from math import ceil
from pathlib import Path

from qiskit_fedqml.report.numbers import as_numbers

Row = Mapping[str, str]

MOST_ROWS = 120
"""How many rows of a table the page shows."""

_ONE_PAGE = 40  # rows of a LaTeX table
_NUMBER = re.compile(r"(US\$ )?[+-]?\d[\d,.]*( ?[%µA-Za-z].*)?")
_NO_NUMBER = {"", "–", "exact", "not read"}
_LATEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}"},
    **{">": r"\textgreater{}", "|": r"\textbar{}", "–": "--", "×": r"$\times$", "→": r"$\rightarrow$"},
    **{
        "µ": r"$\mu$",
        "∏": r"$\prod$",
        "ε": r"$\varepsilon$",
        "−": "$-$",
        "±": r"$\pm$",
        "π": r"$\pi$",
        '"': "''",
        "[": "{[}",
        "]": "{]}",
    },
}


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        name: What its files are called.
        caption: What it shows, in words.
        rows: Each a text by column; a column that a row lacks is empty there.
        is_tall: Whether the page lets it scroll.
    """

    name: str
    caption: str
    rows: Sequence[Row]
    is_tall: bool = False

    @cached_property
    def columns(self) -> list[str]:
        """All columns, in the order in which rows have them."""
        return list(dict.fromkeys(column for row in self.rows for column in row))

    @cached_property
    def numeric(self) -> frozenset[str]:
        """The columns that hold numbers, which are read more easily with their digits under each other."""
        return frozenset(column for column in self.columns if self._is_numeric(column))

    def _is_numeric(self, column: str) -> bool:
        texts = {row.get(column, "") for row in self.rows} - _NO_NUMBER
        return all(map(_NUMBER.fullmatch, texts))

    @property
    def every(self) -> int:
        """Of how many rows the page shows one."""
        return max(1, ceil(len(self.rows) / MOST_ROWS))

    @property
    def shown(self) -> Sequence[Row]:
        """The rows on the page, the first and the last one among them."""
        last = len(self.rows) - 1
        return [row for k, row in enumerate(self.rows) if k % self.every == 0 or k == last]


def table_files(table: Table, folder: Path) -> dict[Path, bytes]:
    """Return a table as a CSV and a LaTeX file by their paths, with all rows."""
    return {
        folder / f"{table.name}.csv": csv_text(table).encode(),
        folder / f"{table.name}.tex": latex_text(table).encode(),
    }


def csv_text(table: Table) -> str:
    """Return a table as CSV (RFC 4180), with its columns in the first line; numbers as :func:`as_numbers` has them."""
    text = StringIO()
    writer = csv.writer(text)
    rows = as_numbers([{column: row.get(column, "") for column in table.columns} for row in table.rows])
    writer.writerow(rows[0] if rows else table.columns)
    writer.writerows(row.values() for row in rows)
    return text.getvalue()


def latex_text(table: Table) -> str:
    """Return a table in LaTeX with the rules of booktabs; of more than 40 rows, one that goes on over pages."""
    is_long = len(table.rows) > _ONE_PAGE
    packages = ["booktabs", "longtable"] if is_long else ["booktabs"]
    columns = "".join("r" if column in table.numeric else "l" for column in table.columns)
    head = [r"\toprule", _line(table.columns), r"\midrule"]
    rows = [_line([row.get(column, "") for column in table.columns]) for row in table.rows]
    caption = rf"\caption{{{escaped(table.caption)}}}"
    if is_long:
        begin = [rf"\begin{{longtable}}{{{columns}}}", rf"{caption}\\", *head, r"\endhead", r"\bottomrule", r"\endfoot"]
        lines = [*begin, *rows, r"\end{longtable}"]
    else:
        begin = [r"\begin{table}", r"\centering", caption, rf"\begin{{tabular}}{{{columns}}}"]
        lines = [*begin, *head, *rows, r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    needs = "".join(rf"\usepackage{{{package}}}" for package in packages)
    return "\n".join([f"% Needs {needs}", *lines, ""])


def escaped(text: str) -> str:
    """Return a text of one line as LaTeX sets it, each character as itself."""
    return "".join(_LATEX.get(c, c) for c in " ".join(text.split()))


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"
