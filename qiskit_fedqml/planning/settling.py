"""What is still open of the jobs that a run sent to devices: charges are asked for, and jobs are cancelled."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.backends.devices.dispatch import Dispatcher
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.writer import RunWriter


def ask_for_charges(folder: RunFolder) -> None:
    """Ask the service what jobs were charged whose charge is not known yet, and write it into journal and rounds.

    Args:
        folder: The run's.

    Raises:
        ResultError: It is no result folder, or another process works on the run.
        BackendError: A device cannot be opened.
    """
    with _journal_of(folder) as (registry, writer):
        journal = registry.dispatcher.journal
        for name in {s.backend for s in journal.all() if s.account is not None and s.reported_seconds is None}:
            backend = registry[name]
            assert isinstance(backend, DeviceBackend)
            backend.dispatcher.settle(backend.machine, name)
        submissions = journal.all()
        writer.rewrite_records(record.with_charges(submissions) for record in folder.read()[2])


def cancel_jobs(folder: RunFolder) -> Iterator[str]:
    """Cancel the jobs of a run that may still wait or run, and say what became of each.

    Args:
        folder: The run's.

    Raises:
        ResultError: It is no result folder, or another process works on the run.
        BackendError: A device cannot be opened or asked.
    """
    with _journal_of(folder) as (registry, _):
        dispatcher = registry.dispatcher
        found = dispatcher.journal.open()
        if not found:
            yield "No job is open."
        for submission in found:
            backend = registry[submission.backend]
            assert isinstance(backend, DeviceBackend)
            fates = dispatcher.cancel(backend.machine, submission, backend.entry.waiting)
            who = f"{submission.key} on {submission.backend}"
            yield f"{who}: {', '.join(f'job {job} {fate}' for job, fate in fates.items()) or 'no job was accepted'}"


@contextmanager
def _journal_of(folder: RunFolder) -> Iterator[tuple[BackendRegistry, RunWriter]]:
    """Open the run's backends over its journal, which no other process may use meanwhile."""
    experiment = folder.load_experiment()
    writer = RunWriter(folder)
    writer.lock()
    try:
        with closing(Journal(folder.journal if folder.journal.exists() else None)) as journal:
            yield BackendRegistry(experiment.backends, Path(), Dispatcher(journal)), writer
    finally:
        writer.release()
