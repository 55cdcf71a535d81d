"""Runs compared in a folder: a table and their learning curves."""

from collections.abc import Mapping
from pathlib import Path

from qiskit_fedqml.errors import listed
from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.curves import learning_curves
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import markdown_table


def write_comparison(runs: Mapping[str, RunResult], out: Path) -> None:
    """Write ``table.md``, ``curves.png`` and ``curves.svg``.

    Args:
        runs: Finished runs, by the names that they are shown under.
        out: A folder that is there.

    Raises:
        ResultError: A file cannot be written.
    """
    write_text(out / "table.md", markdown_table(table_rows(runs)))
    save_figure(learning_curves(runs, listed(runs, 6)), out / "curves")
