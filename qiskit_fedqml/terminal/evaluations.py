"""What `fedqml evaluate` does, and which backend a finished run's model is used on."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.config.evaluation import labelled
from qiskit_fedqml.config.strict import nearest
from qiskit_fedqml.errors import BackendError, ConfigurationError, listed, shown
from qiskit_fedqml.results.evaluation import Evaluation, check_unlike, evaluate_model
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.results.unfinished import unfinished_jobs
from qiskit_fedqml.tables import number
from qiskit_fedqml.terminal.json_files import write_json
from qiskit_fedqml.terminal.output import print_table
from qiskit_fedqml.terminal.stopping import exit_code


def evaluate_folder(
    directory: Path, names: Sequence[str], backends: Path | None, json_: Path | None, *, overwrite: bool
) -> None:
    """Test the final model of a result folder on each backend, and print what it gave: of several in a table.

    Args:
        directory: The result folder.
        names: The backends' names; none is the server's of the run.
        backends: The backends file; None is the run's, or `backends.yaml` here if only that has the backend.
        json_: Where the figures are written as JSON, or None; ``-`` prints that, and nothing else.
        overwrite: Whether another evaluation under the backend's name may be replaced.

    Raises:
        FedQMLError: It is no result folder of a finished run, another evaluation is there, or the backend cannot be
            opened or fails.
    """
    if len(set(names)) < len(names):
        raise ConfigurationError(f"--backend must name each backend once, but got {listed(names)}.")
    chosen: list[str | None] = [*names] or [None]
    opened = [(backend, *registry_for(directory, backend, backends)) for backend in chosen]
    if not overwrite:
        for _, registry, name in opened:
            check_unlike(directory, registry, name)
    found: list[tuple[Evaluation, Path]] = []
    for backend, registry, name in opened:
        with stoppable(), unfinished_jobs(directory, registry, name):
            evaluation = evaluate_model(directory, registry[name] if backend else registry.server)
        found.append((evaluation, evaluation.save(directory / "evaluations", overwrite=overwrite)))
    values = [{"folder": str(directory), **of.summary(), "outputs": str(table)} for of, table in found]
    if not write_json(values[0] if len(values) == 1 else values, json_):
        return
    if len(found) > 1:
        print_table([_row(evaluation) for evaluation, _ in found])
        print(f"Outputs: {', '.join(str(table) for _, table in found)}")
        return
    evaluation, table = found[0]
    metrics = "".join(f", {name} {number(value, 4)}" for name, value in labelled(evaluation.metrics).items())
    print(
        f"{evaluation.backend}: loss {evaluation.loss:.4f}, accuracy {evaluation.accuracy:.2%}{metrics} "
        f"of {len(evaluation.labels)} examples. Outputs: {table}"
    )


def _row(evaluation: Evaluation) -> dict[str, str]:
    return {
        "Backend": evaluation.backend,
        "Accuracy": f"{evaluation.accuracy:.2%}",
        "Loss": f"{evaluation.loss:.4f}",
        **{name: number(value, 4) for name, value in labelled(evaluation.metrics).items()},
        "Examples": f"{len(evaluation.labels):,}",
    }


def registry_for(directory: Path, backend: str | None, backends: Path | None) -> tuple[BackendRegistry, str]:
    """Return the backends among which one for a finished run's model is, and its name.

    Args:
        directory: As :func:`evaluate_folder`.
        backend: The backend's name; None is the server's of the run.
        backends: As :func:`evaluate_folder`.

    Raises:
        FedQMLError: It is no result folder, the backends file is wrong, or there is no such backend.
    """
    registry = BackendRegistry(RunResult.load(directory).experiment.backends, Path())
    here = Path("backends.yaml")
    if backends is not None:
        registry = BackendRegistry.from_yaml(backends)
    elif backend is not None and backend not in registry.file.backends and here.exists():
        registry = BackendRegistry.from_yaml(here)
    name = backend or registry.file.assignment.server
    if name not in registry.file.backends:
        raise BackendError(
            f"There is no backend {shown(name)}{nearest(name, registry.file.backends)} --backends FILE names another "
            "backends file; in it a fake device is written as `quito: {type: aer, noise: FakeQuitoV2}`."
        )
    return registry, name


@contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C end with what continues."""
    try:
        yield
    except KeyboardInterrupt:
        print("fedqml: stopped; the same command resumes it, and reads the jobs that were sent.", file=sys.stderr)
        raise typer.Exit(exit_code()) from None
