"""The command line. Everything heavy is imported by the command that needs it, so that help comes at once."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qiskit_fedqml.errors import ConfigurationError, FedQMLError, ResultError
from qiskit_fedqml.terminal.output import print_table
from qiskit_fedqml.terminal.resuming import parse_budget, resumable

if TYPE_CHECKING:
    from qiskit_fedqml.config.experiment import Experiment
    from qiskit_fedqml.results.result import RunResult

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Federated training of hybrid quantum-classical models over an array of NISQ machines.",
    epilog="Start with: fedqml run experiments/digits.yaml --backends backends.yaml",
)

ExperimentFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="An experiment file, such as experiments/digits.yaml.")
]
BackendsOption = Annotated[
    Path | None,
    typer.Option("--backends", metavar="YAML", help="The machines and who has which, in place of the experiment's."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Another value for a key, such as federation.rounds=3; may be repeated."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="The result folder; by default results/ and the file's name."),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace a result folder that exists.")]


@app.command()
def run(
    file: ExperimentFile,
    backends: BackendsOption = None,
    out: OutOption = None,
    set_: SetOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Run an experiment: federated training, or the non-federated baseline (one client with all the data).

    The result folder gets the resolved configuration, a JSON line for each round, and the model. A run that was stopped
    goes on with `fedqml resume DIR`.
    """
    target = out or Path("results") / file.stem
    experiment = _load(file, backends, set_)
    _show({file.stem: _run(experiment, file.stem, target, overwrite)})
    print(f"Result: {target}")


@app.command()
def resume(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The result folder of the stopped run.")],
    budgets: Annotated[
        list[str] | None,
        typer.Option(
            "--budget",
            metavar="[NAME=]SECONDS",
            help="Another budget of QPU seconds, for a backend or for the run; may be repeated.",
        ),
    ] = None,
) -> None:
    """Go on with a stopped run. An interrupted round is replayed from its start, so the end is the same to the bit."""
    from qiskit_fedqml.federation.runs.run import resume_federation
    from qiskit_fedqml.terminal.progress import ProgressBars

    changed = dict(parse_budget(text) for text in budgets or ())
    with resumable(directory), ProgressBars(directory.name) as bars:
        result = resume_federation(directory, budgets=changed, observer=bars)
    _show({directory.name: result})


@app.command()
def extend(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The result folder of the run.")],
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", min=1, help="The number of rounds in all.")],
) -> None:
    """Give a run another number of rounds and resume it; the end is that of a run that had so many from the start."""
    from qiskit_fedqml.federation.runs.run import extend_federation
    from qiskit_fedqml.terminal.progress import ProgressBars

    with resumable(directory), ProgressBars(directory.name) as bars:
        result = extend_federation(directory, rounds, observer=bars)
    _show({directory.name: result})


@app.command()
def plan(
    file: ExperimentFile,
    backends: BackendsOption = None,
    set_: SetOption = None,
    queue_seconds: Annotated[
        float, typer.Option("--queue-seconds", min=0.0, help="How long a job waits in its queue, as you expect it.")
    ] = 0.0,
    json_: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the whole plan, each client in each round.")
    ] = None,
) -> None:
    """Say what an experiment will cost on IBM Quantum devices: jobs, circuits, executions, QPU time, money.

    Nothing is sent. Ends with exit code 1 if a budget, or what the account has left, does not suffice.
    """
    import json

    from qiskit_fedqml.files import write_text
    from qiskit_fedqml.planning import tables as plan_tables
    from qiskit_fedqml.planning.planner import plan_experiment

    made = plan_experiment(_load(file, backends, set_))
    for title, rows in (
        ("By backend", plan_tables.backend_rows(made)),
        ("By client", plan_tables.client_rows(made)),
        ("By round", plan_tables.round_rows(made)),
        ("What would cost less", plan_tables.saving_rows(made)),
    ):
        if rows:
            print(f"{title}\n")
            print_table(rows)
    for sentence in plan_tables.sentences(made, queue_seconds):
        print(sentence)
    if json_ is not None:
        try:
            write_text(json_, json.dumps(made.as_json(), indent=1) + "\n")
        except OSError as error:
            raise ResultError(f"{json_} cannot be written: {error.strerror}.") from error
    if made.lacking():
        raise typer.Exit(1)


@app.command()
def jobs(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The result folder.")],
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
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Experiment files, or folders of finished runs.")
    ],
    backends: BackendsOption = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where results, table and figure go.")] = Path(
        "results/comparison"
    ),
    set_: SetOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Run experiments and show them side by side, as a table and as learning curves.

    A folder of a finished run is taken as it is; --backends and --set are for the experiment files.
    """
    from qiskit_fedqml.report.curves import learning_curves
    from qiskit_fedqml.report.drawing import save_figure
    from qiskit_fedqml.report.table import table_rows
    from qiskit_fedqml.results.folder import RunFolder
    from qiskit_fedqml.results.result import RunResult
    from qiskit_fedqml.tables import markdown_table

    names = [path.name if path.is_dir() else path.stem for path in files]
    if len(set(names)) != len(names):
        raise ConfigurationError(f"The experiments to compare must have different names, but are {names}.")
    # All mistakes are found before anything runs.
    experiments = {path: _load(path, backends, set_) for path in files if not path.is_dir()}
    results = {name: RunResult.load(path) for name, path in zip(names, files, strict=True) if path.is_dir()}
    for name, stored in results.items():
        if not stored.is_complete:
            raise ResultError(f"The run {name!r} is not finished; `fedqml resume` ends it.")
    for name, path in zip(names, files, strict=True):
        if path in experiments:
            RunFolder(out / name).check_free(overwrite=overwrite)
    for name, path in zip(names, files, strict=True):
        if path in experiments:
            results[name] = _run(experiments[path], name, out / name, overwrite)
    results = {name: results[name] for name in names}
    _show(results)
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text(markdown_table(table_rows(results)), encoding="utf-8")
    save_figure(learning_curves(results, ", ".join(results)), out / "curves")
    print(f"Table and curves: {out}")


@app.command()
def report(
    directories: Annotated[
        list[Path], typer.Argument(metavar="DIR…", help="Result folders, of finished and unfinished runs.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where report.html and figures/ go.")] = Path(
        "report"
    ),
) -> None:
    """Write a page about runs, side by side: tables, curves, machines, timeline, cost, clients, configuration.

    The page needs no network and no other file. Its figures are also written as PNG and SVG.
    """
    from qiskit_fedqml.report.page import write_report

    print(f"Report: {write_report(directories, out)}")


@app.command()
def evaluate(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The result folder of a finished run.")],
    backend: Annotated[
        str | None, typer.Option("--backend", metavar="NAME", help="The backend; by default the run's server backend.")
    ] = None,
    backends: Annotated[
        Path | None,
        typer.Option(
            "--backends", metavar="YAML", help="Where the backend stands; by default in the run, or in ./backends.yaml."
        ),
    ] = None,
) -> None:
    """Test a trained model on a backend, and save the outputs of every test example."""
    from qiskit_fedqml.backends.array.registry import BackendRegistry
    from qiskit_fedqml.results.evaluation import evaluate_model, unfinished_evaluation
    from qiskit_fedqml.results.result import RunResult

    registry = BackendRegistry(RunResult.load(directory).experiment.backends, Path())
    here = Path("backends.yaml")
    if backends is not None:
        registry = BackendRegistry.from_yaml(backends)
    elif backend is not None and backend not in registry.file.backends and here.exists():
        registry = BackendRegistry.from_yaml(here)
    name = backend or registry.file.assignment.server
    try:
        with unfinished_evaluation(directory, registry, name):
            evaluation = evaluate_model(directory, registry[name] if backend else registry.server)
    except KeyboardInterrupt:
        print("fedqml: stopped; the same command goes on, and takes up the jobs that it sent.", file=sys.stderr)
        raise typer.Exit(130) from None
    table = evaluation.save(directory / "evaluations")
    print(
        f"{evaluation.backend}: loss {evaluation.loss:.4f}, accuracy {evaluation.accuracy:.2%} "
        f"of {len(evaluation.labels)} examples. Outputs: {table}"
    )


@app.command()
def citation(
    files: Annotated[list[Path], typer.Argument(metavar="FILE|DIR…", help="Experiment files, or result folders.")],
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
    experiments = (
        RunFolder(path).load_experiment() if path.is_dir() else _load(path, backends, set_) for path in files
    )
    print(bibtex(experiments))


@app.command()
def backends(
    file: Annotated[Path, typer.Option("--backends", metavar="YAML", help="The backends file.")] = Path(
        "backends.yaml"
    ),
    check: Annotated[
        bool, typer.Option("--check", help="Prove that each machine's noise acts as its rates say.")
    ] = False,
    save_calibration: Annotated[
        tuple[str, Path] | None,
        typer.Option(
            "--save-calibration",
            metavar="NAME FILE",
            help="Write the calibration of a fake device (FakeManilaV2) or of a backend of the file that has one.",
        ),
    ] = None,
) -> None:
    """Show the machines of a backends file, check their noise, or save a calibration."""
    from qiskit_fedqml.backends.array import overview
    from qiskit_fedqml.backends.array.registry import BackendRegistry, find_calibration

    if save_calibration is not None:
        name, target = save_calibration
        calibration = find_calibration(name, BackendRegistry.from_yaml(file) if file.exists() else None)
        calibration.save(target)
        print(f"Saved the calibration of {calibration.device}, {calibration.date}, to {target}.")
        return
    registry = BackendRegistry.from_yaml(file)
    if not check:
        print_table([{"Backend": name, **overview.summary(registry, name)} for name in registry])
        return
    checks = overview.check(registry)
    print_table([c.row() for c in checks])
    if not all(c.passed for c in checks):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; a user's mistake ends with one sentence and exit code 2."""
    try:
        app()
    except FedQMLError as error:
        print(f"fedqml: {error}", file=sys.stderr)
        sys.exit(2)


def _load(file: Path, backends: Path | None, overrides: Sequence[str] | None) -> "Experiment":
    from qiskit_fedqml.config.loading import load_experiment, parse_override

    values = dict(parse_override(text) for text in overrides or ())
    if backends is not None:
        values["backends"] = backends.absolute()
    return load_experiment(file, values)


def _run(experiment: "Experiment", name: str, out: Path, overwrite: bool) -> "RunResult":
    from qiskit_fedqml.federation.runs.run import run_federation
    from qiskit_fedqml.terminal.progress import ProgressBars

    with resumable(out), ProgressBars(name) as bars:
        return run_federation(experiment, out, overwrite=overwrite, observer=bars)


def _show(runs: "dict[str, RunResult]") -> None:
    from qiskit_fedqml.report.table import table_rows

    print_table(table_rows(runs))
