"""Runs compared in a folder, and studies: tables and learning curves."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import ResultError, listed
from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.curves import learning_curves
from qiskit_fedqml.report.differences import difference_note, difference_rows, paragraph
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.report.earlier import check_comparison
from qiskit_fedqml.report.effects import Settings, effect_note, effect_rows
from qiskit_fedqml.report.groups import Runs, groups_of
from qiskit_fedqml.report.naming import names_to_compare
from qiskit_fedqml.report.numbers import as_numbers
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.study.study import Study
from qiskit_fedqml.study.summary import write_csv, write_study
from qiskit_fedqml.tables import markdown_table


def open_comparison(
    files: Sequence[Path], out: Path, load: Callable[[Path], Experiment], *, overwrite: bool
) -> dict[str, Experiment | RunResult]:
    """Read what is to be compared, and check that it can be, before anything runs.

    Args:
        files: Experiment files, and folders of finished runs.
        out: The folder in which the experiments' runs, table and curves will be.
        load: Reads an experiment file.
        overwrite: Whether what is there may be replaced.

    Returns:
        An experiment that is still to be run, or a finished run, by its name.

    Raises:
        ConfigurationError: A file or folder is given twice, or an experiment file is wrong.
        ResultError: A folder holds no finished run, or something else is in the place of what will be written.
    """
    names = names_to_compare(files)
    # All mistakes are found before anything runs.
    found: dict[str, Experiment | RunResult] = {
        name: load(path) for name, path in zip(names, files, strict=True) if not path.is_dir()
    }
    for name, path in zip(names, files, strict=True):
        if path.is_dir():
            stored = RunResult.load(path)
            if not stored.is_complete:
                raise ResultError(f"The run {name!r} is not finished; `fedqml resume {path}` continues it.")
            found[name] = stored
        elif not overwrite and (out / name / "config.yaml").exists():
            raise ResultError(
                f"{out / name} exists already: give this folder in place of {path} to compare the run in it, choose "
                "another --out, or replace it (--overwrite)."
            )
        else:
            RunFolder(out / name).check_free(overwrite=overwrite)
    check_comparison(out, [*names, *_groups(found, out)], overwrite=overwrite)
    return {name: found[name] for name in names}


def _groups(found: Mapping[str, Experiment | RunResult], out: Path) -> Iterable[str]:
    """Return what the runs will be shown as."""
    return groups_of(
        {
            name: (of.folder or out / name, of.experiment) if isinstance(of, RunResult) else (out / name, of)
            for name, of in found.items()
        }
    )


def write_comparison(runs: Runs, out: Path) -> None:
    """Write ``table.md``, ``curves.png`` and ``curves.svg``.

    Args:
        runs: Finished runs, or several seeds of each, by the names that they are shown under.
        out: A folder that is there.

    Raises:
        ResultError: A file cannot be written.
    """
    write_text(out / "table.md", comparison_text(runs))
    save_figure(learning_curves(runs, listed(runs, 6)), out / "curves")


def comparison_text(runs: Runs) -> str:
    """Return the table of runs and, where schemes share seeds, that of their differences, as Markdown.

    Args:
        runs: As :func:`write_comparison`.
    """
    differences = difference_rows(runs)
    further = f"\n{markdown_table(differences)}{paragraph(difference_note(runs))}" if differences else ""
    return markdown_table(table_rows(runs)) + further


def write_study_files(
    study: Study, out: str | Path, title: str, note: str = "", settings: Settings | None = None
) -> None:
    """Write ``results.md``, ``table.csv``, ``differences.csv``, ``curves.png`` and ``.svg``, and what is of each run.

    These are ``runs.jsonl``, ``rounds.csv`` and ``configurations.json``; of a grid there is ``effects.csv`` too. Files
    of the study's last time are replaced.

    Args:
        study: The runs.
        out: The study's folder.
        title: What the study is called.
        note: What it shows, in a sentence or two.
        settings: The settings of each scheme, where the study is a grid.

    Raises:
        ResultError: A file cannot be written.
    """
    out, runs = Path(out), {scheme: tuple(study.of(scheme).values()) for scheme in study.schemes}
    write_study(study, out)
    write_csv(as_numbers(table_rows(runs)), out / "table.csv")
    if differences := difference_rows(runs):
        write_csv(as_numbers(differences), out / "differences.csv")
    text = comparison_text(runs)
    if effects := effect_rows(study, settings or {}):
        write_csv(as_numbers(effects), out / "effects.csv")
        text += f"\n{markdown_table(effects)}{paragraph(effect_note(study))}"
    save_figure(learning_curves(runs, "\n".join([title, *wrap(note, 125)])), out / "curves")
    write_text(out / "results.md", f"# {title}\n{paragraph(note)}\n{text}")
