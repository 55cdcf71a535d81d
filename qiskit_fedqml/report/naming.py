"""What runs are called, by their folders and in the names of files, and machines."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from qiskit_fedqml.config.buffered import Buffered
from qiskit_fedqml.errors import ConfigurationError, listed
from qiskit_fedqml.results.result import RunResult

NO_CIRCUIT = "no circuit"
"""Where clients of a classical model work: each has a backend by the configuration, but uses none."""


def run_names(folders: Sequence[Path]) -> list[str]:
    """Return each folder's name as it is shown, with as many of its parents as distinguish it from the others.

    Raises:
        ConfigurationError: A folder is given twice.
    """
    paths = [folder.resolve() for folder in folders]
    if len(set(paths)) != len(paths):
        raise ConfigurationError(f"Each run must be given once, but got {listed(map(str, folders))}.")
    names = [printable(_shortest_name(path, [other for other in paths if other != path])) for path in paths]
    # Two names that cannot be shown may look alike.
    return [name if names.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(names, start=1)]


def names_to_compare(paths: Sequence[Path]) -> list[str]:
    """Return what experiment files and result folders are called, as :func:`run_names`, without the files' endings.

    Raises:
        ConfigurationError: A file or folder is given twice.
    """
    bare = [path.resolve() if path.is_dir() else path.resolve().with_suffix("") for path in paths]
    return run_names([path if bare.count(of) > 1 else of for path, of in zip(paths, bare, strict=True)])


def printable(name: str) -> str:
    """Return a file's name as text of one line: "�" replaces what is not UTF-8 or cannot be seen."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "�" for c in text)


def machine_name(run: RunResult, backend: str) -> str:
    """Return what a backend is called as the place of a run's work."""
    return backend if run.experiment.model.has_circuit else NO_CIRCUIT


def step_word(run: RunResult) -> str:
    """Return what a run's server steps are called: only those that wait for all their clients are rounds."""
    return "server step" if isinstance(run.experiment.federation.algorithm, Buffered) else "round"


def steps_word(runs: Mapping[str, RunResult], ending: str = "") -> str:
    """Return what the server steps of several runs are called, each word with an ending."""
    return " or ".join(sorted({step_word(run) + ending for run in runs.values()}))


def file_names(names: Sequence[str]) -> list[str]:
    """Return names that any file system takes, each different from the others also without regard to case."""
    found: list[str] = []
    for name in names:
        plain = candidate = re.sub(r"[^\w-]+", "_", name, flags=re.ASCII).strip("_") or "run"
        number = 2
        while candidate.lower() in {other.lower() for other in found}:
            candidate, number = f"{plain}_{number}", number + 1
        found.append(candidate)
    return found


def _shortest_name(path: Path, others: Sequence[Path]) -> str:
    parts = path.parts
    for count in range(1, len(parts)):
        if not any(other.parts[-count:] == parts[-count:] for other in others):
            return "/".join(parts[-count:])
    return str(path)
