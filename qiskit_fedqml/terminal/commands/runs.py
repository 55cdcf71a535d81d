"""Commands that train: run, resume, extend."""

import time
from pathlib import Path
from typing import Annotated

import typer

from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.terminal.arguments import (
    BackendsOption,
    BudgetOption,
    DryRunOption,
    ExperimentFile,
    JsonOption,
    OutOption,
    OverwriteOption,
    PartialOption,
    ReplaceOption,
    ResultFolder,
    SeedsOption,
    SetOption,
    WorkersOption,
    load,
    name_of,
    number_of_workers,
    options_of,
    parse_budget,
)
from qiskit_fedqml.terminal.commands.running import run_shown, show_runs
from qiskit_fedqml.terminal.commands.studies import run_with_seeds
from qiskit_fedqml.terminal.json_files import check_overwrite, check_target, write_json
from qiskit_fedqml.terminal.resuming import (
    print_end,
    print_result,
    resumable,
    rounds_if_finished,
    tell_continues,
    tell_stopped,
)
from qiskit_fedqml.terminal.showing import progress_of
from qiskit_fedqml.terminal.summaries import summary_of


def run(
    file: ExperimentFile,
    backends: BackendsOption = None,
    out: OutOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
    overwrite: OverwriteOption = False,
    allow_partial: PartialOption = False,
    seeds: SeedsOption = None,
    json_: JsonOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Run an experiment: federated training, or the non-federated baseline (one client with all the data).

    The result folder gets the resolved configuration, a JSON line for each round, and the model. A run that was stopped
    is resumed by `fedqml resume DIR`. With --seeds there is a run for each seed, in a folder of its own. A run on
    devices whose plan passes a budget, or what the account has left, is refused before anything is sent. With --dry-run
    the data are read, the model is built and some steps are timed, but nothing is run, written or sent; it ends with
    exit code 1 if a budget does not suffice.
    """
    target, began = out or Path("results") / file.stem, time.perf_counter()
    if seeds is not None:
        for option, is_given in (("--allow-partial", allow_partial), ("--json", json_), ("--dry-run", dry_run)):
            if is_given:
                raise ConfigurationError(f"{option} is for a run by itself, not for --seeds.")
        experiment = load(file, backends, set_)
        run_with_seeds(experiment, file.stem, seeds, target, workers=workers, overwrite=overwrite)
        return
    experiment = load(file, backends, set_, number_of_workers(workers))
    if dry_run:
        from qiskit_fedqml.terminal.dry_runs import show_dry_run

        command = ["fedqml", "plan", str(file), *options_of(backends, set_)]
        if not show_dry_run(experiment, file.stem, json_, overwrite=overwrite, command=command, began=began):
            raise typer.Exit(1)
        return
    check_target(json_, str(target), overwrite=overwrite)
    name = name_of(target)  # as after `fedqml resume`
    result = run_shown(experiment, name, target, overwrite, allow_partial=allow_partial)
    if write_json(summary_of(result, target), json_):
        show_runs({name: result})
        print_result(target)


def resume(
    directory: ResultFolder,
    budgets: BudgetOption = None,
    workers: WorkersOption = None,
    allow_partial: PartialOption = False,
    json_: JsonOption = None,
    overwrite: ReplaceOption = False,
) -> None:
    """Resume a stopped run. An interrupted round is replayed from its start, so the end is the same to the bit."""
    from qiskit_fedqml.federation.runs.resuming import resume_federation

    changed = dict(parse_budget(text) for text in budgets or ())
    check_overwrite(overwrite, json_)
    check_target(json_, str(directory), overwrite=overwrite)
    before = rounds_if_finished(directory)
    tell_continues(directory)
    with resumable(directory), progress_of(name_of(directory)) as bars:
        result = resume_federation(
            directory, budgets=changed, workers=number_of_workers(workers), observer=bars, allow_partial=allow_partial
        )
    tell_stopped(result, directory)
    if write_json(summary_of(result, directory), json_):
        show_runs({name_of(directory): result})
        print_end(directory, len(result.rounds), before)


def extend(
    directory: ResultFolder,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", min=1, max=1_000_000, help="The number of rounds in all.")
    ],
    workers: WorkersOption = None,
    allow_partial: PartialOption = False,
    json_: JsonOption = None,
    overwrite: ReplaceOption = False,
) -> None:
    """Give a run another number of rounds and resume it; the end is that of a run that had so many from the start."""
    from qiskit_fedqml.federation.runs.resuming import extend_federation

    check_overwrite(overwrite, json_)
    check_target(json_, str(directory), overwrite=overwrite)
    before = rounds_if_finished(directory)
    with resumable(directory), progress_of(name_of(directory)) as bars:
        result = extend_federation(
            directory, rounds, workers=number_of_workers(workers), observer=bars, allow_partial=allow_partial
        )
    tell_stopped(result, directory)
    if write_json(summary_of(result, directory), json_):
        show_runs({name_of(directory): result})
        print_end(directory, len(result.rounds), before)
