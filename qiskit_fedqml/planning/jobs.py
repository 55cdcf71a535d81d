"""The jobs that a run sent to devices, as they are shown."""

from collections.abc import Sequence
from typing import Any

from qiskit_fedqml.backends.devices.submission import Submission
from qiskit_fedqml.errors import listed
from qiskit_fedqml.tables import duration

_MOST_CLIENTS = 6


def job_rows(submissions: Sequence[Submission]) -> list[dict[str, str]]:
    """Return a row for each job: what it was for, how far it is, and what it cost."""
    return [
        {
            "Round": str(s.key.server_step),
            "Client": _who(s),
            "Step": f"{s.key.kind} {s.key.step}{f', part {s.part}' if s.part else ''}",
            "Backend": s.backend,
            "Job": s.job_id or "–",
            "State": s.state,
            "Executions": f"{s.executions:,}",
            "Planned": "–" if s.planned_seconds is None else f"{s.planned_seconds:.1f} s",
            "Reported": "–" if s.reported_seconds is None else f"{s.reported_seconds:.1f} s",
            "Difference": _difference([s]),
            "Duplicates": ", ".join(f"{job_id} ({fate})" for job_id, fate in s.duplicates.items()) or "–",
        }
        for s in submissions
    ]


def _who(of: Submission) -> str:
    if of.key.clients:
        return listed(of.key.clients, _MOST_CLIENTS)
    return "server" if of.key.client is None else str(of.key.client)


def job_note(submissions: Sequence[Submission]) -> str:
    """Return in words what the first columns of :func:`job_rows` mean; nothing where there are no jobs."""
    if not submissions:
        return ""
    together = "; several clients of a device share a job" if any(s.key.clients for s in submissions) else ""
    return f"Client: for whom a job was sent{together}. Step: what it was for, counted from 0 in each round."


def job_values(submissions: Sequence[Submission]) -> list[dict[str, Any]]:
    """Return each job as values of JSON."""
    return [
        {
            "round": s.key.server_step,
            "client": s.key.client,
            "clients": list(s.key.clients),
            "kind": s.key.kind,
            "step": s.key.step,
            "part": s.part or None,
            "backend": s.backend,
            "device": s.device,
            "job_id": s.job_id,
            "state": s.state,
            "circuits": s.circuits,
            "executions": s.executions,
            "planned_seconds": s.planned_seconds,
            "reported_seconds": s.reported_seconds,
            "reason": s.reason,
            "duplicates": dict(s.duplicates),
        }
        for s in submissions
    ]


def job_sentence(submissions: Sequence[Submission]) -> str:
    """Return all jobs in one sentence."""
    if not submissions:
        return "This run sent no job to a device."
    alive = sum(s.is_open for s in submissions)
    duplicates = sum(len(s.duplicates) for s in submissions)
    text = f"{_count(len(submissions), 'job')}, {alive} of them still open, {_count(duplicates, 'duplicate')}"
    known = [s.planned_seconds for s in submissions if s.planned_seconds is not None]
    unknown = len(submissions) - len(known)
    text += f"; {duration(sum(known))} of QPU time planned" if known else ""
    text += f"; {_count(unknown, 'job')} on devices that state no durations." if unknown else "."
    reported = [s for s in submissions if s.reported_seconds is not None]
    if all(s.account is None for s in submissions):
        return f"{text} A rehearsal: nobody charges for it."
    if not reported:
        return text
    charged = duration(sum(s.reported_seconds or 0.0 for s in reported))
    count = _count(len(reported), "job")
    return f"{text} The service reported {charged} for {count}, {_difference(reported)} of the plan."


def _count(number: int, thing: str) -> str:
    return f"1 {thing}" if number == 1 else f"{number} {thing}s"


def _difference(submissions: Sequence[Submission]) -> str:
    planned = sum(s.planned_seconds or 0.0 for s in submissions)
    if not submissions or any(s.reported_seconds is None for s in submissions) or not planned:
        return "–"
    return f"{sum(s.reported_seconds or 0.0 for s in submissions) / planned - 1:+.1%}"
