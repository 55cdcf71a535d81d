"""A study's results as small files: a line for each run, a line for each round, and tables of text."""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qiskit_fedqml.config.evaluation import name_of
from qiskit_fedqml.files import make_folder, write_text
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.study.outcomes import settled_accuracy
from qiskit_fedqml.study.study import Study


def run_line(scheme: str, run: RunResult) -> dict[str, Any]:
    """Return what there is to say of one run, as plain values."""
    last = run.final
    peaks = [record.peak_memory_bytes for record in run.rounds if record.peak_memory_bytes]
    return {
        "scheme": scheme,
        "seed": run.experiment.seed,
        "rounds": len(run.rounds),
        "train_loss": last.train_loss,
        "test_loss": last.test_loss,
        "test_accuracy": last.test_accuracy,
        "test_accuracy_of_last_rounds": settled_accuracy(run),
        "test_accuracy_best": max(record.test_accuracy for record in run.rounds),
        **({"metrics": last.metrics} if last.metrics else {}),
        "examples": sum(record.examples for record in run.rounds),
        "circuits": sum(record.circuits for record in run.rounds),
        "executions": sum(record.executions for record in run.rounds),
        "trained_parameters": run.run.get("num_trained_parameters"),
        "seconds": sum(record.seconds for record in run.rounds),
        "peak_memory_bytes": max(peaks) if peaks else None,
        "threads": run.run.get("threads"),
        "git_commit": run.run.get("git_commit"),
        "versions": run.run.get("versions"),
    }


def write_study(study: Study, folder: Path) -> None:
    """Write ``runs.jsonl`` (a line a run), ``rounds.csv`` (a line a round) and ``configurations.json``.

    The last holds the resolved configuration of each scheme's first seed; those of the others differ in the seed alone.
    A ``model.initial`` and calibrations start at the folder, so that no file says where the study ran.
    """
    make_folder(folder)
    lines = [json.dumps(run_line(scheme, run)) for (scheme, _), run in study.runs.items()]
    write_text(folder / "runs.jsonl", "".join(f"{line}\n" for line in lines))
    write_text(folder / "rounds.csv", _rounds_csv(study))
    first = {scheme: _configuration(next(iter(study.of(scheme).values())), folder) for scheme in study.schemes}
    write_text(folder / "configurations.json", json.dumps(first, indent=1, ensure_ascii=False) + "\n")


def _configuration(run: RunResult, folder: Path) -> dict[str, Any]:
    placed = run.experiment.with_files(lambda _, path: Path(os.path.relpath(path, folder)).as_posix())
    resolved = placed.resolved()
    if initial := resolved["model"].get("initial"):
        resolved["model"]["initial"] = Path(os.path.relpath(initial, folder)).as_posix()
    return resolved


def _rounds_csv(study: Study) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ["scheme", "seed", "round", "examples", "train_loss", "test_loss", "test_accuracy"]
    metrics = _metrics_of(study)
    is_timed = any(record.clock_seconds is not None for run in study.runs.values() for record in run.rounds)
    writer.writerow([*columns, *(f"test_{m}" for m in metrics), "seconds", *(["clock_seconds"] if is_timed else [])])
    for (scheme, seed), run in study.runs.items():
        examples = 0
        for record in run.rounds:
            examples += record.examples
            tests = record.train_loss, record.test_loss, record.test_accuracy, *map(record.metrics.get, metrics)
            figures = ["" if value is None else f"{value:.6g}" for value in tests]
            clock = [f"{record.clock_seconds or 0.0:.6g}"] if is_timed else []
            writer.writerow([scheme, seed, record.round, examples, *figures, f"{record.seconds:.4g}", *clock])
    return text.getvalue()


def _metrics_of(study: Study) -> list[str]:
    """Return the names of all metrics of a study."""
    named = (name_of(metric) for run in study.runs.values() for metric in run.experiment.evaluation.shown_metrics)
    return list(dict.fromkeys(named))


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows of equal keys as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    make_folder(path.parent)
    write_text(path, text.getvalue())
