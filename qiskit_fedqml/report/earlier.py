"""What an earlier report or comparison has left in a folder: only that is replaced."""

import json
import re
from collections.abc import Iterable
from html import unescape
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

from qiskit_fedqml.config.text_files import read_text
from qiskit_fedqml.errors import ResultError, listed
from qiskit_fedqml.files import check_replaceable

COMPARISON = ("table.md", "curves.png", "curves.svg")
"""Files of a comparison."""

_RUNS = re.compile(r'<meta name="fedqml-runs" content="([^"]*)">')
_FILE = re.compile(r'<a href="(figures|tables)/([^"/]+)"(?: [^>]*)?>(?:PNG|SVG|CSV|LaTeX)</a>')
_ENDINGS = {"figures": {".png", ".svg"}, "tables": {".csv", ".tex"}}
_INSTEAD = "choose another folder (--out)"


def check_report(page: Path, runs: Iterable[str], *, overwrite: bool) -> set[Path]:
    """Check that a report may be written: what is there is one of runs that are all in the new one.

    Args:
        page: The report's page.
        runs: Names of the runs that it is about.
        overwrite: Whether anything else may be replaced.

    Returns:
        The figures and tables of the earlier report, which are replaced or removed.

    Raises:
        ResultError: Something else is there, and ``overwrite`` is False.
    """
    earlier = _runs_of(page)
    if not overwrite:
        if others := [name for name in earlier or () if name not in set(runs)]:
            raise ResultError(f"{page} also reports {listed(others, 3)}; {_INSTEAD}, or replace it (--overwrite).")
        if earlier is None:
            check_replaceable(page, instead=_INSTEAD)
    return set() if earlier is None else files_of(page)


def check_comparison(folder: Path, runs: Iterable[str], *, overwrite: bool) -> None:
    """Check that a comparison may be written: what is there is one of runs that are all in the new one.

    Args:
        folder: The comparison's folder.
        runs: Names of the runs, as its table shows them.
        overwrite: Whether anything else may be replaced.

    Raises:
        ResultError: Something else is there, and ``overwrite`` is False.
    """
    if overwrite or _is_comparison(folder / COMPARISON[0], {" ".join(name.split("\n")).strip() for name in runs}):
        return
    for name in COMPARISON:
        check_replaceable(folder / name, instead=_INSTEAD)


def files_of(page: Path) -> set[Path]:
    """Return the figures and tables that a report links to."""
    found = ((folder, unquote(name)) for folder, name in _FILE.findall(_text_of(page)))
    return {page.parent / folder / name for folder, name in found if _is_plain(name, _ENDINGS[folder])}


def _runs_of(page: Path) -> list[str] | None:
    """Return the names of the runs that a report is about; None where there is no report."""
    if (found := _RUNS.search(_text_of(page))) is None:
        return None
    try:
        names = json.loads(unescape(found[1]))
    except ValueError:
        return None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def _is_comparison(table: Path, runs: set[str]) -> bool:
    header, *rows = _text_of(table).splitlines() or [""]
    if not header.startswith("| Scheme ") or not rows:
        return False
    of_runs = takewhile(lambda row: row.startswith("|"), rows[1:])  # below them may be a table of differences
    first_cells = (re.split(r"(?<!\\)\|", row)[1] for row in of_runs)
    return {cell.strip().replace(r"\|", "|") for cell in first_cells} <= runs


def _text_of(path: Path) -> str:
    """Return a file's text; nothing where there is none, or none that can be read."""
    try:
        return read_text(path, ResultError)
    except ResultError:
        return ""


def _is_plain(name: str, endings: set[str]) -> bool:
    return Path(name).name == name and Path(name).suffix in endings
