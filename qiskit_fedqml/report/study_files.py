"""What a study writes: its runs and rounds as small files, tables, learning curves, and a text."""

from pathlib import Path

from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.comparison import comparison_text
from qiskit_fedqml.report.curves import learning_curves
from qiskit_fedqml.report.differences import difference_rows
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.study.study import Study
from qiskit_fedqml.study.summary import write_csv, write_study


def write_study_files(study: Study, out: Path, title: str) -> None:
    """Write ``results.md``, ``table.csv``, ``differences.csv``, ``curves.png`` and ``.svg``, and what is of each run.

    These are ``runs.jsonl``, ``rounds.csv`` and ``configurations.json``. Files of the study's last time are replaced.

    Args:
        study: The runs.
        out: The study's folder.
        title: What the study is called.

    Raises:
        ResultError: A file cannot be written.
    """
    runs = {scheme: tuple(study.of(scheme).values()) for scheme in study.schemes}
    write_study(study, out)
    write_csv(table_rows(runs), out / "table.csv")
    if differences := difference_rows(runs):
        write_csv(differences, out / "differences.csv")
    save_figure(learning_curves(runs, title), out / "curves")
    write_text(out / "results.md", f"# {title}\n\n{comparison_text(runs)}")
