"""A job that is sent to a device, as the journal has it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from qiskit_fedqml.backends.job import JobKey

State = Literal["intended", "sent", "done", "failed", "cancelled", "too long"]
OPEN: tuple[State, ...] = ("intended", "sent")
"""States of submissions whose jobs may be waiting or running."""
CANCELLED, RAN, UNKNOWN = "cancelled", "ran", "unknown"
"""What became of a duplicate."""


@dataclass(frozen=True)
class Submission:
    """A row of the journal, without the result.

    Args:
        tag: The job's tag, unique to this row.
        key: What the job is for.
        part: Which part of the evaluation's samples: "" is all, "0" and "1" its halves, "01" the second half of "0".
        attempt: From 0; a job that failed for the service's own reasons is sent again as the next attempt.
        backend: The backend's name in the registry.
        device: The device's name.
        account: The instance, or the provider, that charges; None for a rehearsal.
        fingerprint: Digest of how it was asked: shots, estimator, options, gradient.
        request: What is needed to read the answer, as JSON values.
        circuits: Bound circuits.
        executions: Their shots.
        planned_seconds: QPU seconds that were estimated; None where the device states no durations.
        state: How far it is.
        job_id: The service's name of the job, once known.
        reported_seconds: QPU seconds that the service charged, once known.
        reason: Why it failed.
        duplicates: Other jobs that the same submission made (the client library sends a submission again after a
            503), each with ``"cancelled"``, ``"ran"``, or ``"unknown"`` where the service did not say yet.
        doubtful: Whether the service was once asked to take it without answering, so that duplicates may come late.
    """

    tag: str
    key: JobKey
    part: str
    attempt: int
    backend: str
    device: str
    account: str | None
    fingerprint: str
    request: dict[str, Any]
    circuits: int
    executions: int
    planned_seconds: float | None
    state: State
    job_id: str | None = None
    reported_seconds: float | None = None
    reason: str | None = None
    duplicates: Mapping[str, str] = field(default_factory=dict)
    doubtful: bool = False

    @property
    def is_open(self) -> bool:
        """Whether its job may be waiting or running."""
        return self.state in OPEN

    @property
    def has_uncertain_duplicates(self) -> bool:
        """Whether duplicates ran or may have run: what they took is counted as planned."""
        return any(fate != CANCELLED for fate in self.duplicates.values())

    @property
    def charged_seconds(self) -> float:
        """QPU seconds to count with: reported, or else planned; of duplicates that were not cancelled as planned."""
        planned = self.planned_seconds or 0.0
        own = planned if self.reported_seconds is None else self.reported_seconds
        return own + planned * sum(fate != CANCELLED for fate in self.duplicates.values())
