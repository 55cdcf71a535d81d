"""The machines of a backends file, or of an experiment, in a terminal."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from qiskit_fedqml.backends.array import overview
from qiskit_fedqml.backends.array.registry import BackendRegistry, find_calibration
from qiskit_fedqml.files import check_replaceable
from qiskit_fedqml.terminal.json_files import write_json
from qiskit_fedqml.terminal.output import print_table

if TYPE_CHECKING:
    from qiskit_fedqml.config.experiment import Experiment


def show_machines(path: Path, run: "Experiment | None", json_: Path | None, *, overwrite: bool) -> None:
    """Print a row for each machine of a backends file, or of an experiment if there is one.

    Args:
        path: The backends file.
        run: The experiment, or None.
        json_: Where the rows are written as JSON, or None; ``-`` prints that, and nothing else.
        overwrite: Whether a file there that holds something else may be replaced.
    """
    registry = machines_of(path, run)
    rows = [{"Backend": name, **overview.summary(registry, name)} for name in registry]
    if write_json([_keyed(row) for row in rows], json_, overwrite=overwrite):
        print_table(rows)


def check_machines(path: Path, run: "Experiment | None", json_: Path | None, *, overwrite: bool) -> bool:
    """Print whether each machine's noise acts as its rates say; return whether all do."""
    checks = overview.check(machines_of(path, run))
    if write_json([asdict(check) for check in checks], json_, overwrite=overwrite):
        print_table([c.row() for c in checks])
    return all(c.passed for c in checks)


def _keyed(row: dict[str, str]) -> dict[str, str]:
    return {title.lower().replace(" ", "_"): text for title, text in row.items()}


def save_machine(name: str, target: Path, path: Path, run: "Experiment | None", *, overwrite: bool) -> None:
    """Write the calibration of a fake device, which needs no backends file, or of a machine.

    Raises:
        FedQMLError: There is none, the file exists with another one and ``overwrite`` is False, or it cannot be
            written.
    """
    registry = machines_of(path, run) if run or path.exists() else None
    calibration = find_calibration(name, registry)
    if not overwrite:
        check_replaceable(target, calibration.as_text().encode())
    calibration.save(target)
    print(f"Saved the calibration of {calibration.device}, {calibration.date}, to {target}.")


def machines_of(path: Path, run: "Experiment | None") -> BackendRegistry:
    """Return the machines of a backends file, or of an experiment if there is one.

    Raises:
        ConfigurationError: The file cannot be read, or says something unknown or inconsistent.
    """
    return BackendRegistry(run.backends, Path()) if run else BackendRegistry.from_yaml(path)
