"""Runs as values of JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qiskit_fedqml.results.result import RunResult


def summary_of(run: "RunResult", folder: Path) -> dict[str, Any]:
    """Return what a run came to.

    Args:
        run: The run, with at least one round.
        folder: Its result folder, as it was given.
    """
    rounds, last = list(run.rounds), run.final
    return {
        "folder": str(folder),
        "rounds": len(rounds),
        "planned_rounds": run.experiment.federation.rounds,
        "is_complete": run.is_complete,
        "stopped": run.stopped or None,
        "seed": run.experiment.seed,
        "train_loss": last.train_loss,
        "test_loss": last.test_loss,
        "test_accuracy": last.test_accuracy,
        "best_test_accuracy": max(record.test_accuracy for record in rounds),
        "metrics": last.metrics,
        "validation_loss": last.validation_loss,
        "validation_accuracy": last.validation_accuracy,
        "evaluations": last.evaluations,
        "privacy": _privacy_of(run),
        "seconds": sum(record.seconds for record in rounds),
        "clock_seconds": last.clock_seconds,
        "executions": sum(record.executions for record in rounds),
        "planned_qpu_seconds": sum(record.planned_seconds for record in rounds),
        "qpu_seconds": _sum_if_known([record.qpu_seconds for record in rounds if record.planned_seconds]),
    }


def summaries_of(runs: "Mapping[str, RunResult]", out: Path, folders: Mapping[str, Path]) -> dict[str, Any]:
    """Return what the runs of a comparison came to, by their names.

    Args:
        runs: The runs.
        out: The comparison's folder.
        folders: Where each run is.
    """
    return {"folder": str(out), "runs": {name: summary_of(run, folders[name]) for name, run in runs.items()}}


def _privacy_of(run: "RunResult") -> dict[str, Any] | None:
    """Return what a run has spent of its privacy; None without that."""
    config, epsilon = run.experiment.privacy, run.rounds[-1].epsilon
    if config is None or epsilon is None:
        return None
    level = "clients" if config.protects_clients else "examples"
    is_simulated = config.randomness == "simulated"
    return {"protects": level, "epsilon": epsilon, "delta": config.delta, "is_simulated": is_simulated}


def _sum_if_known(seconds: list[float | None]) -> float | None:
    known = [one for one in seconds if one is not None]
    return sum(known) if known and len(known) == len(seconds) else None
