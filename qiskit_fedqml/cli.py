"""The command line. Everything heavy is imported by the command that needs it, so that help comes at once."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.terminal.arguments import (
    AddressOption,
    BackendsFileOption,
    BackendsOption,
    BudgetOption,
    CheckOption,
    ComparisonFolder,
    DeploymentFolder,
    ExperimentFile,
    ExperimentOption,
    FilesOrFolders,
    FitOption,
    JsonOption,
    MapFolder,
    MapOption,
    OutOption,
    OverwriteOption,
    PartialOption,
    QueueOption,
    ReplaceOption,
    ReportFolder,
    ResultFolder,
    ResultFolders,
    RoundSecondsOption,
    SaveOption,
    SetOption,
    ShardsOption,
    WorkersOption,
    check_one_of,
    load,
    name_of,
    number_of_workers,
    options_of,
    parse_budget,
    usable,
)
from qiskit_fedqml.terminal.output import print_table
from qiskit_fedqml.terminal.program import run_program
from qiskit_fedqml.terminal.resuming import how_to_compare, print_end, resumable, rounds_if_finished, tell_stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from qiskit_fedqml.config.experiment import Experiment
    from qiskit_fedqml.results.result import RunResult

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Federated training of hybrid quantum-classical models over an array of NISQ machines.",
    epilog="Start with: fedqml run experiments/digits.yaml --backends backends.yaml",
)


@app.command()
def run(
    file: ExperimentFile,
    backends: BackendsOption = None,
    out: OutOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
    overwrite: OverwriteOption = False,
    allow_partial: PartialOption = False,
) -> None:
    """Run an experiment: federated training, or the non-federated baseline (one client with all the data).

    The result folder gets the resolved configuration, a JSON line for each round, and the model. A run that was stopped
    is resumed by `fedqml resume DIR`. A run on devices whose plan passes a budget, or what the account has left, is
    refused before anything is sent.
    """
    target = out or Path("results") / file.stem
    experiment = load(file, backends, set_, number_of_workers(workers))
    _show({file.stem: _run(experiment, file.stem, target, overwrite, allow_partial=allow_partial)})
    print(f"Result: {target}")


@app.command()
def resume(
    directory: ResultFolder,
    budgets: BudgetOption = None,
    workers: WorkersOption = None,
    allow_partial: PartialOption = False,
) -> None:
    """Resume a stopped run. An interrupted round is replayed from its start, so the end is the same to the bit."""
    from qiskit_fedqml.federation.runs.run import resume_federation
    from qiskit_fedqml.terminal.progress import ProgressBars

    changed = dict(parse_budget(text) for text in budgets or ())
    before = rounds_if_finished(directory)
    with resumable(directory), ProgressBars(name_of(directory)) as bars:
        result = resume_federation(
            directory, budgets=changed, workers=number_of_workers(workers), observer=bars, allow_partial=allow_partial
        )
    tell_stopped(result, directory)
    _show({name_of(directory): result})
    print_end(directory, len(result.rounds), before)


@app.command()
def extend(
    directory: ResultFolder,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", min=1, max=1_000_000, help="The number of rounds in all.")
    ],
    workers: WorkersOption = None,
    allow_partial: PartialOption = False,
) -> None:
    """Give a run another number of rounds and resume it; the end is that of a run that had so many from the start."""
    from qiskit_fedqml.federation.runs.run import extend_federation
    from qiskit_fedqml.terminal.progress import ProgressBars

    before = rounds_if_finished(directory)
    with resumable(directory), ProgressBars(name_of(directory)) as bars:
        result = extend_federation(
            directory, rounds, workers=number_of_workers(workers), observer=bars, allow_partial=allow_partial
        )
    tell_stopped(result, directory)
    _show({name_of(directory): result})
    print_end(directory, len(result.rounds), before)


@app.command()
def deploy(
    file: ExperimentFile,
    directory: DeploymentFolder,
    backends: BackendsOption = None,
    set_: SetOption = None,
    address: AddressOption = "127.0.0.1:8000",
    shards: ShardsOption = False,
    round_seconds: RoundSecondsOption = 86_400.0,
) -> None:
    """Write what several organisations need to run an experiment together on Flower.

    Each client gets a folder with its own keys, backend, and with --shards its data; README.md in DIR has the commands
    of each machine. Encryption is on, and nodes prove who they are.
    """
    from qiskit_fedqml.terminal.deployments import write_deployment

    write_deployment(load(file, backends, set_), directory, address, round_seconds, shards=shards)
    print(f"{directory / 'README.md'} has the commands of each machine.")


@app.command()
def plan(
    file: ExperimentFile,
    backends: BackendsOption = None,
    set_: SetOption = None,
    queue_seconds: QueueOption = 0.0,
    fit: FitOption = None,
    json_: JsonOption = None,
    overwrite: ReplaceOption = False,
) -> None:
    """Say what an experiment will cost on devices: jobs, circuits, executions, QPU time, money.

    Nothing is sent. Ends with exit code 1 if a budget, or what the account has left, does not suffice. With --fit it
    proposes settings that take so many QPU seconds at most.
    """
    from qiskit_fedqml.terminal.plans import show_plan, show_proposals

    experiment = load(file, backends, set_)
    if fit is None:
        suffices = show_plan(experiment, queue_seconds, json_, overwrite=overwrite)
    else:
        options = options_of(backends, set_)
        command = ["fedqml", "run", str(file), *options]
        suffices = show_proposals(experiment, fit, command, json_, overwrite=overwrite)
    if not suffices:
        raise typer.Exit(1)


@app.command()
def jobs(
    directory: ResultFolder,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Cancel the jobs that may still wait or run on devices.")
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Ask the service for charges that were not known when the run ended.")
    ] = False,
) -> None:
    """Show the jobs that a run sent to devices, and what they cost: planned, and reported by the service."""
    from qiskit_fedqml.planning.jobs import ask_for_charges, cancel_jobs, job_rows, job_sentence
    from qiskit_fedqml.results.folder import RunFolder

    folder = RunFolder(directory)
    if cancel:
        for line in cancel_jobs(folder):
            print(line)
        return
    if update:
        ask_for_charges(folder)
    submissions = folder.submissions()
    if submissions:
        print_table(job_rows(submissions))
    print(job_sentence(submissions))


@app.command()
def compare(
    files: FilesOrFolders,
    backends: BackendsOption = None,
    out: ComparisonFolder = Path("results/comparison"),
    set_: SetOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Run experiments and compare them, in a table and by their learning curves.

    A folder of a finished run is taken as it is; --backends and --set are for the experiment files.
    """
    from qiskit_fedqml.files import make_folder
    from qiskit_fedqml.report.comparison import open_comparison, write_comparison
    from qiskit_fedqml.results.result import RunResult

    found = open_comparison(files, out, lambda path: load(path, backends, set_), overwrite=overwrite)
    make_folder(out)
    options = [*options_of(backends, set_), "--out", str(out), *(["--overwrite"] if overwrite else [])]
    runs: dict[str, RunResult] = {}
    for name, run in found.items():
        then = partial(how_to_compare, options, files, list(found), out, name)
        runs[name] = run if isinstance(run, RunResult) else _run(run, name, out / name, overwrite, then=then)
    _show(runs)
    write_comparison(runs, out)
    print(f"Table and curves: {out}")


@app.command()
def report(
    directories: ResultFolders,
    out: ReportFolder = Path("report"),
    overwrite: ReplaceOption = False,
) -> None:
    """Write a page that compares runs: tables, curves, machines, timeline, cost, clients, configuration.

    The page needs no network and no other file. Its figures are also written as PNG and SVG.
    """
    from qiskit_fedqml.report.page import write_report

    print(f"Report: {write_report(directories, out, overwrite=overwrite)}")


@app.command()
def evaluate(
    directory: ResultFolder,
    backend: Annotated[
        str | None, typer.Option("--backend", metavar="NAME", help="The backend; by default the run's server backend.")
    ] = None,
    backends: Annotated[
        Path | None,
        typer.Option(
            "--backends",
            metavar="YAML",
            help="The file that has the backend; by default the run's own, or ./backends.yaml.",
            callback=usable,
        ),
    ] = None,
    overwrite: ReplaceOption = False,
) -> None:
    """Test the trained model of a finished run on a backend, and save the outputs of every test example."""
    from qiskit_fedqml.terminal.evaluations import evaluate_folder

    evaluate_folder(directory, backend, backends, overwrite=overwrite)


@app.command()
def citation(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE|DIR…", help="Experiment files, or result folders.", callback=usable),
    ],
    backends: BackendsOption = None,
    set_: SetOption = None,
) -> None:
    """Print BibTeX of the methods, data and software that experiments use; comments say what each is cited for.

    A result folder is taken as it is; --backends and --set are for the experiment files.
    """
    from qiskit_fedqml.report.citations import bibtex
    from qiskit_fedqml.results.folder import RunFolder

    if (backends or set_) and all(path.is_dir() for path in files):
        raise ConfigurationError("--backends and --set are for experiment files, but only result folders are given.")
    experiments = (RunFolder(path).load_experiment() if path.is_dir() else load(path, backends, set_) for path in files)
    print(bibtex(experiments))


@app.command()
def backends(
    file: BackendsFileOption = None,
    experiment: ExperimentOption = None,
    check: CheckOption = False,
    save_calibration: SaveOption = None,
    map_: MapOption = None,
    out: MapFolder = None,
    overwrite: ReplaceOption = False,
) -> None:
    """Show the machines of a backends file, check their noise, save a calibration, or draw a device and its blocks."""
    from qiskit_fedqml.terminal.machines import check_machines, machines_of, save_machine, show_machines

    check_one_of(check=check, save_calibration=save_calibration is not None, map=map_ is not None, out=out is not None)
    path, run = file or Path("backends.yaml"), load(experiment, file, None) if experiment else None
    if save_calibration is not None:
        save_machine(*save_calibration, path, run, overwrite=overwrite)
    elif map_ is not None:
        from qiskit_fedqml.report.map_files import write_map

        print(write_map(machines_of(path, run), map_, run, out or Path(), overwrite=overwrite))
    elif not check:
        show_machines(path, run)
    elif not check_machines(path, run):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; a user's mistake ends with one sentence and exit code 2."""
    run_program(app)


def _run(
    experiment: "Experiment",
    name: str,
    out: Path,
    overwrite: bool,
    *,
    allow_partial: bool = False,
    then: "Callable[[bool], str]" = lambda has_begun: "",
) -> "RunResult":
    from qiskit_fedqml.federation.runs.run import run_federation
    from qiskit_fedqml.terminal.progress import ProgressBars

    with resumable(out, then), ProgressBars(name) as bars:
        result = run_federation(experiment, out, overwrite=overwrite, observer=bars, allow_partial=allow_partial)
    tell_stopped(result, out)
    return result


def _show(runs: "dict[str, RunResult]") -> None:
    from qiskit_fedqml.report.table import table_rows

    print_table(table_rows(runs))
