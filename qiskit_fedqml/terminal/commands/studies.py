"""Commands for many runs: study, and run with several seeds."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qiskit_fedqml.errors import BackendError, BudgetError, ConfigurationError
from qiskit_fedqml.terminal.arguments import (
    OverwriteOption,
    SetOption,
    StudyFolder,
    TrialsOption,
    number_of_workers,
    usable,
)
from qiskit_fedqml.terminal.commands.running import show_effects, show_runs
from qiskit_fedqml.terminal.showing import progress_of
from qiskit_fedqml.terminal.verbosity import is_quiet

if TYPE_CHECKING:
    from qiskit_fedqml.config.experiment import Experiment
    from qiskit_fedqml.results.result import RunResult
    from qiskit_fedqml.study.study import Trial


def study(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A study file, such as experiments/noise.yaml.", callback=usable)
    ],
    out: StudyFolder = None,
    set_: SetOption = None,
    workers: TrialsOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Run an experiment with several changes, each with the same seeds, and compare them in pairs of a seed.

    Writes each run, the table with 95% intervals, paired differences, learning curves with bands, and a text. Given
    again, the command runs what is missing.
    """
    from qiskit_fedqml.config.loading import parse_override
    from qiskit_fedqml.config.study import load_study
    from qiskit_fedqml.report.comparison import write_study_files
    from qiskit_fedqml.study.trials import run_study

    plan = load_study(file, dict(parse_override(text) for text in set_ or ()))
    target = out or Path("results") / file.stem
    with _taken_up_again(overwrite):
        found = run_study(plan, target, processes=_processes(workers), overwrite=overwrite, **_shown())
    runs = {scheme: tuple(found.of(scheme).values()) for scheme in found.schemes}
    show_runs(runs)
    show_effects(found, plan.settings)
    write_study_files(found, target, file.stem, settings=plan.settings)
    print(f"Result: {target}")


def run_with_seeds(
    experiment: "Experiment", name: str, seeds: str, out: Path, *, workers: str | None, overwrite: bool
) -> None:
    """Run an experiment with several seeds, and print them as one.

    Args:
        experiment: What to run.
        name: What it is called.
        seeds: The seeds, as they were given.
        out: The folder of the result folders.
        workers: How many run at a time, as it was given.
        overwrite: Whether earlier runs are replaced.

    Raises:
        ConfigurationError: The seeds, or the number of workers, are none.
        FedQMLError: As :func:`~qiskit_fedqml.study.trials.run_seeds`.
    """
    from qiskit_fedqml.config.study import parse_seeds
    from qiskit_fedqml.study.trials import run_seeds

    try:
        numbers = parse_seeds(seeds)
    except ValueError as error:
        raise ConfigurationError(f"--seeds {error}.") from None
    with _taken_up_again(overwrite):
        runs = run_seeds(experiment, numbers, out, processes=_processes(workers), overwrite=overwrite, **_shown())
    show_runs({name: tuple(runs.values())})
    print(f"Result: {out}; `{shlex.join(['fedqml', 'report', str(out)])}` shows its seeds as one.")


def _processes(workers: str | None) -> int:
    """Return how many runs go at a time."""
    number = number_of_workers(workers)
    if number == "auto":
        from qiskit_fedqml.workers.pool import usable_cores

        return usable_cores()
    return int(number or 1)


def _shown() -> dict[str, Any]:
    """Return what shows the progress of trials: each by itself, and a line for each that is finished."""
    if is_quiet():
        return {}
    return {"watched": lambda trial: progress_of(trial.name), "on_trial": _show_trial}


def _show_trial(trial: "Trial", run: "RunResult", done: int, total: int) -> None:
    from qiskit_fedqml.tables import duration

    seconds = sum(record.seconds for record in run.rounds)
    accuracy = f"accuracy {run.final.test_accuracy:.1%} in {duration(seconds)}"
    print(f"{done}/{total} {trial.name}: {accuracy}", file=sys.stderr, flush=True)


@contextmanager
def _taken_up_again(overwrite: bool) -> Iterator[None]:
    """Let Ctrl-C, and what a later try may mend, end with how the command continues."""
    how = f"The same command{' without --overwrite' if overwrite else ''} continues: finished runs are not run again."
    try:
        yield
    except KeyboardInterrupt:
        print(f"fedqml: stopped\nfedqml: {how}", file=sys.stderr)
        raise typer.Exit(130) from None
    except (BackendError, BudgetError) as error:
        raise type(error)(f"{error} {how}") from error
