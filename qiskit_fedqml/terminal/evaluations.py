"""What `fedqml evaluate` does."""

import sys
from pathlib import Path

import typer

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.results.evaluation import check_unlike, evaluate_model, unfinished_evaluation
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.terminal.json_files import write_json
from qiskit_fedqml.terminal.stopping import exit_code


def evaluate_folder(
    directory: Path, backend: str | None, backends: Path | None, json_: Path | None, *, overwrite: bool
) -> None:
    """Test the final model of a result folder, and print what it gave.

    Args:
        directory: The result folder.
        backend: The backend's name; None is the server's of the run.
        backends: The backends file; None is the run's, or `backends.yaml` here if only that has the backend.
        json_: Where the figures are written as JSON, or None; ``-`` prints that, and nothing else.
        overwrite: Whether another evaluation under the backend's name may be replaced.

    Raises:
        FedQMLError: It is no result folder of a finished run, another evaluation is there, or the backend cannot be
            opened or fails.
    """
    registry = BackendRegistry(RunResult.load(directory).experiment.backends, Path())
    here = Path("backends.yaml")
    if backends is not None:
        registry = BackendRegistry.from_yaml(backends)
    elif backend is not None and backend not in registry.file.backends and here.exists():
        registry = BackendRegistry.from_yaml(here)
    name = backend or registry.file.assignment.server
    if not overwrite:
        check_unlike(directory, registry, name)
    try:
        with unfinished_evaluation(directory, registry, name):
            evaluation = evaluate_model(directory, registry[name] if backend else registry.server)
    except KeyboardInterrupt:
        print("fedqml: stopped; the same command resumes it, and reads the jobs that were sent.", file=sys.stderr)
        raise typer.Exit(exit_code()) from None
    table = evaluation.save(directory / "evaluations", overwrite=overwrite)
    values = {"folder": str(directory), **evaluation.summary(), "outputs": str(table)}
    if not write_json(values, json_):
        return
    print(
        f"{evaluation.backend}: loss {evaluation.loss:.4f}, accuracy {evaluation.accuracy:.2%} "
        f"of {len(evaluation.labels)} examples. Outputs: {table}"
    )
