"""What `fedqml predict` does."""

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.files import check_replaceable, write_new
from qiskit_fedqml.progress.opening import open_progress
from qiskit_fedqml.results.prediction import Predictions, load_classifier
from qiskit_fedqml.results.unfinished import unfinished_jobs
from qiskit_fedqml.terminal.arguments import name_of
from qiskit_fedqml.terminal.evaluations import registry_for, stoppable
from qiskit_fedqml.terminal.output import print_table

_MOST_COLUMNS = 5
"""So many classes have a column each in the table on a terminal."""
_MOST_ROWS = 40
"""So many examples are printed where a file has them all."""
_MOST_NAMED = 20
"""So many examples that cannot be read are named."""
_SURE = 0.95
"""Below that, the highest probability that there can be is shown."""


def predict_files(
    directory: Path,
    files: Sequence[Path],
    backend: str | None,
    backends: Path | None,
    *,
    out: Path | None,
    json_: Path | None,
    overwrite: bool,
) -> None:
    """Classify files with the final model of a result folder, and print and write what it gave.

    Args:
        directory: The result folder.
        files: Image files and folders, or files of features.
        backend: The backend's name; None is the server's of the run.
        backends: The backends file; None is the run's, or `backends.yaml` here if only that has the backend.
        out: A CSV or JSON file for the results, or None.
        json_: A JSON file; ``-`` prints it, and nothing else.
        overwrite: Whether files with other content may be replaced.

    Raises:
        FedQMLError: It is no result folder of a finished run, no file can be read, the backend cannot be opened or
            fails, or a file cannot be written.
    """
    if out is not None and out.suffix.lower() not in (".csv", ".json"):
        raise ConfigurationError(f"--out must name a .csv or a .json file, but is {str(out)!r}.")
    targets = [path for path in (out, json_) if path is not None and str(path) != "-"]
    registry, name = registry_for(directory, backend, backends)
    if not overwrite and name in registry.file.backends and registry.is_queued(name):
        for target in targets:  # a device never gives the same twice, so nothing is sent to it
            check_replaceable(target)
    question = "\n".join(f"{path} {path.stat().st_mtime_ns if path.exists() else ''}" for path in files)
    with stoppable(), unfinished_jobs(directory, registry, name, question), open_progress(name_of(directory)) as bars:
        classifier = load_classifier(directory, registry[name] if backend else registry.server)
        found = classifier.predict_files(files, bars.features_extracted)
    contents = {target: _as_csv(found) if target.suffix.lower() == ".csv" else _as_json(found) for target in targets}
    write_new(contents, overwrite=overwrite)
    _name_unreadable(found)
    if json_ is not None and str(json_) == "-":
        sys.stdout.write(_as_json(found).decode())
        return
    _print(found, is_written=bool(targets))
    for target in targets:
        print(f"Written: {target}")


def _print(found: Predictions, *, is_written: bool) -> None:
    rows = []
    for name, label, row in zip(found.names, found.labels, found.probabilities, strict=True):
        if len(found.classes) <= _MOST_COLUMNS:
            columns = {f"P({of})": f"{value:.1%}" for of, value in zip(found.classes, row, strict=True)}
        else:
            columns = {"Probability": f"{row.max():.1%}"}
        rows.append({"Example": name, "Class": label, **columns})
    print_table(rows[:_MOST_ROWS] if is_written else rows)
    most = found.highest_probability
    if most < _SURE and found.probabilities.max() <= most:
        print(f"Outputs are a circuit's expectations, so that no probability here can be more than {most:.1%}.")
    counts = Counter(found.labels)
    print(f"{len(found)} examples on {found.backend}: {', '.join(f'{count} {of}' for of, count in counts.items())}.")


def _name_unreadable(found: Predictions) -> None:
    for reason in list(found.unreadable.values())[:_MOST_NAMED]:
        print(f"fedqml: left out: {reason}", file=sys.stderr)
    if (more := len(found.unreadable) - _MOST_NAMED) > 0:
        print(f"fedqml: left out: {more} more.", file=sys.stderr)


def _as_csv(found: Predictions) -> bytes:
    """Return a line for each example; one that cannot be read has its reason in the last column."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["example", "predicted", *(f"probability {name}" for name in found.classes), "unreadable"])
    for name, label, row in zip(found.names, found.labels, found.probabilities, strict=True):
        writer.writerow([name, label, *(f"{value:.9g}" for value in row), ""])
    for name, reason in found.unreadable.items():
        writer.writerow([name, "", *("" for _ in found.classes), reason])
    return lines.getvalue().encode("utf-8", "backslashreplace")


def _as_json(found: Predictions) -> bytes:
    return f"{json.dumps(found.as_json(), indent=2)}\n".encode()
