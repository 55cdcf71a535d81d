"""The jobs that a run sent to devices: shown, and cancelled."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from qiskit_fedqml.backends.device import DeviceBackend
from qiskit_fedqml.backends.dispatch import Dispatcher
from qiskit_fedqml.backends.journal import Journal
from qiskit_fedqml.backends.registry import BackendRegistry
from qiskit_fedqml.backends.submission import Submission
from qiskit_fedqml.results import RunFolder
from qiskit_fedqml.tables import duration


def job_rows(submissions: Sequence[Submission]) -> list[dict[str, str]]:
    """Return a row for each job: what it was for, how far it is, and what it cost."""
    return [
        {
            "Round": str(s.key.round),
            "Client": "centre" if s.key.client is None else str(s.key.client),
            "Step": f"{s.key.kind} {s.key.step}{f', part {s.part}' if s.part else ''}",
            "Backend": s.backend,
            "Job": s.job_id or "–",
            "State": s.state,
            "Executions": f"{s.executions:,}",
            "Planned": f"{s.planned_seconds:.1f} s",
            "Reported": "–" if s.reported_seconds is None else f"{s.reported_seconds:.1f} s",
            "Difference": _difference([s]),
            "Duplicates": ", ".join(f"{job_id} ({fate})" for job_id, fate in s.duplicates.items()) or "–",
        }
        for s in submissions
    ]


def job_sentence(submissions: Sequence[Submission]) -> str:
    """Return all jobs in one sentence."""
    if not submissions:
        return "This run sent no job to a device."
    reported = [s for s in submissions if s.reported_seconds is not None]
    alive = sum(s.is_open for s in submissions)
    duplicates = sum(len(s.duplicates) for s in submissions)
    charged = sum(s.reported_seconds or 0.0 for s in reported)
    return (
        f"{len(submissions)} jobs, {alive} of them still open, {duplicates} duplicates. QPU time reported of "
        f"{len(reported)}: {duration(charged)} ({_difference(reported)} of what was planned)."
    )


def cancel_jobs(folder: RunFolder) -> Iterator[str]:
    """Cancel the jobs of a run that may still wait or run, and say what became of each.

    Args:
        folder: The run's.

    Raises:
        ResultError: It is no result folder.
        BackendError: A device cannot be opened or asked.
    """
    experiment = folder.load_experiment()
    dispatcher = Dispatcher(Journal(folder.journal) if folder.journal.exists() else None)
    registry = BackendRegistry(experiment.backends, Path(), dispatcher)
    dispatcher.journal.hold()
    found = dispatcher.journal.open()
    if not found:
        yield "No job is open."
    for submission in found:
        backend = registry[submission.backend]
        assert isinstance(backend, DeviceBackend)
        fates = dispatcher.cancel(backend.machine, submission, backend.entry.waiting.outage_seconds)
        who = f"{submission.key} on {submission.backend}"
        yield f"{who}: {', '.join(f'job {job} {fate}' for job, fate in fates.items()) or 'no job was accepted'}"


def _difference(submissions: Sequence[Submission]) -> str:
    planned = sum(s.planned_seconds for s in submissions)
    if not submissions or any(s.reported_seconds is None for s in submissions) or not planned:
        return "–"
    return f"{sum(s.reported_seconds or 0.0 for s in submissions) / planned - 1:+.1%}"
