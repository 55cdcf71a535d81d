"""An experiment that is run for somebody who watches."""

from pathlib import Path
from typing import TYPE_CHECKING

from qiskit_fedqml.terminal.output import print_table
from qiskit_fedqml.terminal.resuming import resumable, tell_stopped
from qiskit_fedqml.terminal.showing import progress_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from qiskit_fedqml.config.experiment import Experiment
    from qiskit_fedqml.report.effects import Settings
    from qiskit_fedqml.report.groups import Runs
    from qiskit_fedqml.results.result import RunResult
    from qiskit_fedqml.study.study import Study


def run_shown(
    experiment: "Experiment",
    name: str,
    out: Path,
    overwrite: bool,
    *,
    allow_partial: bool = False,
    then: "Callable[[bool], str]" = lambda has_begun: "",
) -> "RunResult":
    """Run an experiment with its progress on the terminal.

    Args:
        experiment: What to run.
        name: What it is called.
        out: The result folder.
        overwrite: Whether a result folder that exists may be replaced.
        allow_partial: Whether it may begin where its budgets do not pay for all of it.
        then: What helps after it was stopped, in words, given whether the run has begun.

    Raises:
        FedQMLError: As :func:`~qiskit_fedqml.run_federation`.
    """
    from qiskit_fedqml.federation.runs.run import run_federation

    with resumable(out, then), progress_of(name) as bars:
        result = run_federation(
            experiment, out, overwrite=overwrite, observer=bars, progress=False, allow_partial=allow_partial
        )
    tell_stopped(result, out)
    return result


def show_runs(runs: "Runs") -> None:
    """Print a table of runs, or of several seeds of each, by name; how they differ by seed; and what each has spent."""
    from qiskit_fedqml.report.differences import difference_note, difference_rows, paragraph
    from qiskit_fedqml.report.groups import all_runs
    from qiskit_fedqml.report.table import table_rows

    print_table(table_rows(runs))
    if differences := difference_rows(runs):
        print_table(differences)
        print(paragraph(difference_note(runs)).lstrip())
    every = all_runs(runs)
    for name, run in every.items():
        if words := run.privacy_in_words:
            print(words if len(every) == 1 else f"{name}: {words}")


def show_effects(study: "Study", settings: "Settings") -> None:
    """Print what each setting of a grid changes; nothing without a grid."""
    from qiskit_fedqml.report.differences import paragraph
    from qiskit_fedqml.report.effects import effect_note, effect_rows

    if rows := effect_rows(study, settings):
        print_table(rows)
        print(paragraph(effect_note(study)).lstrip())
