"""Commands that train: run, resume, extend."""

from pathlib import Path
from typing import Annotated

import typer

from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.terminal.arguments import (
    BackendsOption,
    BudgetOption,
    ExperimentFile,
    OutOption,
    OverwriteOption,
    PartialOption,
    ResultFolder,
    SeedsOption,
    SetOption,
    WorkersOption,
    load,
    name_of,
    number_of_workers,
    parse_budget,
)
from qiskit_fedqml.terminal.commands.running import run_shown, show_runs
from qiskit_fedqml.terminal.commands.studies import run_with_seeds
from qiskit_fedqml.terminal.resuming import print_end, resumable, rounds_if_finished, tell_stopped


def run(
    file: ExperimentFile,
    backends: BackendsOption = None,
    out: OutOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
    overwrite: OverwriteOption = False,
    allow_partial: PartialOption = False,
    seeds: SeedsOption = None,
) -> None:
    """Run an experiment: federated training, or the non-federated baseline (one client with all the data).

    The result folder gets the resolved configuration, a JSON line for each round, and the model. A run that was stopped
    is resumed by `fedqml resume DIR`. With --seeds there is a run for each seed, in a folder of its own. A run on
    devices whose plan passes a budget, or what the account has left, is refused before anything is sent.
    """
    target = out or Path("results") / file.stem
    if seeds is not None:
        if allow_partial:
            raise ConfigurationError("--allow-partial is for a run by itself, not for --seeds.")
        experiment = load(file, backends, set_)
        run_with_seeds(experiment, file.stem, seeds, target, workers=workers, overwrite=overwrite)
        return
    experiment = load(file, backends, set_, number_of_workers(workers))
    show_runs({file.stem: run_shown(experiment, file.stem, target, overwrite, allow_partial=allow_partial)})
    print(f"Result: {target}")


def resume(
    directory: ResultFolder,
    budgets: BudgetOption = None,
    workers: WorkersOption = None,
    allow_partial: PartialOption = False,
) -> None:
    """Resume a stopped run. An interrupted round is replayed from its start, so the end is the same to the bit."""
    from qiskit_fedqml.federation.runs.resuming import resume_federation
    from qiskit_fedqml.progress.opening import open_progress

    changed = dict(parse_budget(text) for text in budgets or ())
    before = rounds_if_finished(directory)
    with resumable(directory), open_progress(name_of(directory)) as bars:
        result = resume_federation(
            directory, budgets=changed, workers=number_of_workers(workers), observer=bars, allow_partial=allow_partial
        )
    tell_stopped(result, directory)
    show_runs({name_of(directory): result})
    print_end(directory, len(result.rounds), before)


def extend(
    directory: ResultFolder,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", min=1, max=1_000_000, help="The number of rounds in all.")
    ],
    workers: WorkersOption = None,
    allow_partial: PartialOption = False,
) -> None:
    """Give a run another number of rounds and resume it; the end is that of a run that had so many from the start."""
    from qiskit_fedqml.federation.runs.resuming import extend_federation
    from qiskit_fedqml.progress.opening import open_progress

    before = rounds_if_finished(directory)
    with resumable(directory), open_progress(name_of(directory)) as bars:
        result = extend_federation(
            directory, rounds, workers=number_of_workers(workers), observer=bars, allow_partial=allow_partial
        )
    tell_stopped(result, directory)
    show_runs({name_of(directory): result})
    print_end(directory, len(result.rounds), before)
