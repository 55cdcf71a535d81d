"""Where a result comes from: versions, commit, seed, threads, and the memory that the run took."""

import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from qiskit_fedqml.circuits.digest import circuit_digest
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.data.features import weights_digest
from qiskit_fedqml.errors import DataError, ResultError, shown
from qiskit_fedqml.model.own_head import fingerprint

_PACKAGES = (
    "qiskit-fedqml",
    "qiskit",
    "qiskit-aer",
    "qiskit-machine-learning",
    "qiskit-ibm-runtime",
    "torch",
    "torchvision",
    "numpy",
    "numba",
    "scipy",
)


def describe_run(
    experiment: Experiment,
    classes: tuple[str, ...],
    examples: Mapping[str, int],
    num_features: int,
    num_trained: int,
    workers: int,
) -> dict[str, Any]:
    """Describe a run: versions, seed, threads, processes, and the sizes that a model needs to be built again."""
    return {
        "seed": experiment.seed,
        "classes": list(classes),
        "examples": dict(examples),
        "num_features": num_features,
        "num_trained_parameters": num_trained,
        "threads": torch.get_num_threads(),
        "workers": workers,
        "versions": versions(),
        "git_commit": git_commit(),
    }


def check_data(run: Mapping[str, Any], classes: tuple[str, ...], digests: Mapping[str, str], folder: Path) -> None:
    """Check that data are those with which a run began; runs of version 0.1 do not record them.

    Args:
        run: The run's description.
        classes: Names of the classes, as they are now.
        digests: Digests of the data, as they are now, by what they are of: ``"train"``, ``"test"``.
        folder: The result folder, for the error.

    Raises:
        ResultError: They are others.
    """
    if list(run["classes"]) != list(classes):
        raise ResultError(
            f"{folder}: the classes were {list(run['classes'])[:10]} when the run began, but are {list(classes)[:10]}."
        )
    for part, digest in digests.items():
        if run.get("data", {}).get(part, digest) != digest:
            raise ResultError(f"{folder}: the {part} data are not those with which the run began.")


def check_circuit(run: Mapping[str, Any], spec: CircuitSpec | None, folder: Path) -> None:
    """Check that a function of the user's own makes the circuit with which a run began.

    Args:
        run: The run's description, which has the digest of such a circuit.
        spec: The circuit, as it is now, or None.
        folder: The result folder, for the error.

    Raises:
        ResultError: It is another one.
    """
    if spec is not None and run.get("circuit", (now := circuit_digest(spec))) != now:
        raise ResultError(
            f"{folder}: `model.circuit` makes another circuit than when the run began; put back the code of that time."
        )


def check_machines(run: Mapping[str, Any], machines: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Check that machines of the user's own say the same of themselves as when a run began.

    Args:
        run: The run's description.
        machines: What each says of itself now.
        folder: The result folder, for the error.

    Raises:
        ResultError: One says something else.
    """
    for name, now in machines.items():
        before = run.get("machines", {}).get(name, now)
        if changed := [key for key in {**before, **now} if before.get(key) != now.get(key)]:
            key = changed[0]
            raise ResultError(
                f"{folder}: the backend {name!r} is another machine than when the run began: its {key} was "
                f"{shown(before.get(key))}, and is {shown(now.get(key))}."
            )


def check_weights(run: Mapping[str, Any], experiment: Experiment, folder: Path) -> None:
    """Check that the weights of a run's backbone are those with which it began.

    Args:
        run: The run's description; older ones do not have the weights' digest.
        experiment: Its configuration.
        folder: The result folder, for the error.

    Raises:
        ResultError: They are others, or are not there.
    """
    try:
        now = weights_digest(experiment.features)
    except DataError as error:
        raise ResultError(f"{folder}: the weights of its backbone are no longer there. {error}") from error
    if run.get("weights", now) != now:
        raise ResultError(f"{folder}: `features.weights` are not those with which the run began.")


def check_head(run: Mapping[str, Any], head: nn.Module, folder: Path) -> None:
    """Check that a head of the user's own, with its initial weights, gives what it gave when a run began.

    Args:
        run: The run's description, which has what such a head gave.
        head: The head as it is made now.
        folder: The result folder, for the error.

    Raises:
        ResultError: It gives something else, beyond what another processor or version of torch may round otherwise.
    """
    if before := run.get("head"):
        now = fingerprint(head, run["num_features"])
        if len(now) != len(before) or not np.allclose(now, before, rtol=1e-3, atol=1e-4):
            raise ResultError(
                f"{folder}: `model.head` makes another head than when the run began; put back the code of that time."
            )


def changes_since(run: Mapping[str, Any], workers: int) -> list[str]:
    """Return what decides a run's bits and is not as it was when the run began: versions and the number of threads.

    Args:
        run: The run's description.
        workers: In how many processes clients train now; in one of several, each has one thread.
    """
    before = {**run.get("versions", {}), "threads": run.get("threads")}
    now = {**versions(), "threads": torch.get_num_threads()}
    if (was_alone := run.get("workers", 1) == 1) != (workers == 1):
        before["a client's threads"] = run.get("threads") if was_alone else 1
        now["a client's threads"] = torch.get_num_threads() if workers == 1 else 1
    return [f"{name} was {before.get(name)}, is {value}" for name, value in now.items() if before.get(name) != value]


def peak_memory_bytes() -> int | None:
    """Return the most memory that this process has held so far; None where the system doesn't say."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that compute."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """Return the commit of the checkout that this package is imported from, with "-dirty" if changed, or None."""
    package = Path(__file__).resolve().parent.parent
    if not (package.parent / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(package), "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
