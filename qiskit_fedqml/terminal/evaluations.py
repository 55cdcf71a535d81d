"""What `fedqml evaluate` does, and which backend a finished run's model is used on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.config.evaluation import labelled
from qiskit_fedqml.results.evaluation import check_unlike, evaluate_model
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.results.unfinished import unfinished_jobs
from qiskit_fedqml.tables import number
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
    registry, name = registry_for(directory, backend, backends)
    if not overwrite:
        check_unlike(directory, registry, name)
    with stoppable(), unfinished_jobs(directory, registry, name):
        evaluation = evaluate_model(directory, registry[name] if backend else registry.server)
    table = evaluation.save(directory / "evaluations", overwrite=overwrite)
    values = {"folder": str(directory), **evaluation.summary(), "outputs": str(table)}
    if not write_json(values, json_):
        return
    metrics = "".join(f", {name} {number(value, 4)}" for name, value in labelled(evaluation.metrics).items())
    print(
        f"{evaluation.backend}: loss {evaluation.loss:.4f}, accuracy {evaluation.accuracy:.2%}{metrics} "
        f"of {len(evaluation.labels)} examples. Outputs: {table}"
    )


def registry_for(directory: Path, backend: str | None, backends: Path | None) -> tuple[BackendRegistry, str]:
    """Return the backends among which one for a finished run's model is, and its name.

    Args:
        directory: As :func:`evaluate_folder`.
        backend: As :func:`evaluate_folder`.
        backends: As :func:`evaluate_folder`.

    Raises:
        FedQMLError: It is no result folder, or the backends file is wrong.
    """
    registry = BackendRegistry(RunResult.load(directory).experiment.backends, Path())
    here = Path("backends.yaml")
    if backends is not None:
        registry = BackendRegistry.from_yaml(backends)
    elif backend is not None and backend not in registry.file.backends and here.exists():
        registry = BackendRegistry.from_yaml(here)
    return registry, backend or registry.file.assignment.server


@contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C end with what continues."""
    try:
        yield
    except KeyboardInterrupt:
        print("fedqml: stopped; the same command resumes it, and reads the jobs that were sent.", file=sys.stderr)
        raise typer.Exit(exit_code()) from None
