"""Commands that read results: compare, report, evaluate, citation."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.terminal.arguments import (
    BackendsOption,
    ComparisonFolder,
    FilesOrFolders,
    JsonOption,
    ModelBackendsOption,
    OverwriteOption,
    ReplaceOption,
    ReportFolder,
    ResultFolder,
    ResultFolders,
    SetOption,
    TestBackendsOption,
    load,
    options_of,
    usable,
)
from qiskit_fedqml.terminal.commands.running import run_shown, show_runs
from qiskit_fedqml.terminal.json_files import check_target, write_json
from qiskit_fedqml.terminal.resuming import how_to_compare
from qiskit_fedqml.terminal.summaries import summaries_of


def compare(
    files: FilesOrFolders,
    backends: BackendsOption = None,
    out: ComparisonFolder = Path("results/comparison"),
    set_: SetOption = None,
    overwrite: OverwriteOption = False,
    json_: JsonOption = None,
) -> None:
    """Run experiments and compare them, in a table and by their learning curves.

    A folder of a finished run is taken as it is; --backends and --set are for the experiment files. Runs that differ in
    the seed alone are shown as one: means with 95% intervals, and differences in pairs of a seed. A folder that holds
    seed1, seed2, … stands for these.
    """
    from qiskit_fedqml.files import make_folder
    from qiskit_fedqml.report.comparison import open_comparison, write_comparison
    from qiskit_fedqml.report.groups import grouped, seed_folders
    from qiskit_fedqml.results.result import RunResult

    check_target(json_, str(out), overwrite=overwrite)
    files = [path for file in files for path in seed_folders(file)]
    found = open_comparison(files, out, lambda path: load(path, backends, set_), overwrite=overwrite)
    make_folder(out)
    options = [*options_of(backends, set_), "--out", str(out), *(["--overwrite"] if overwrite else [])]
    runs: dict[str, RunResult] = {}
    for name, run in found.items():
        then = partial(how_to_compare, options, files, list(found), out, name)
        runs[name] = run if isinstance(run, RunResult) else run_shown(run, name, out / name, overwrite, then=then)
    groups = grouped(runs)
    write_comparison(groups, out)
    folders = {name: run.folder or out / name for name, run in runs.items()}
    if write_json(summaries_of(runs, out, folders), json_):
        show_runs(groups)
        print(f"Table and curves: {out}")


def report(
    directories: ResultFolders,
    out: ReportFolder = Path("report"),
    overwrite: ReplaceOption = False,
) -> None:
    """Write a page that compares runs: tables, curves, machines, timeline, cost, clients, configuration.

    The page needs no network and no other file. Its figures are also written as PNG and SVG. Runs that differ in the
    seed alone are one line in tables and curves; a folder that holds seed1, seed2, … stands for these.
    """
    from qiskit_fedqml.report.page import write_report

    print(f"Report: {write_report(directories, out, overwrite=overwrite)}")


def evaluate(
    directory: ResultFolder,
    backend: TestBackendsOption = None,
    backends: ModelBackendsOption = None,
    overwrite: ReplaceOption = False,
    json_: JsonOption = None,
) -> None:
    """Test the trained model of a finished run on a backend, or on several, and save the outputs of all examples."""
    from qiskit_fedqml.terminal.evaluations import evaluate_folder

    check_target(json_, str(directory), overwrite=overwrite)
    evaluate_folder(directory, backend or [], backends, json_, overwrite=overwrite)


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
