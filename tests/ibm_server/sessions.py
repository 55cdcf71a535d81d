"""Sessions and batches: groups of jobs that can be closed."""

import uuid
from datetime import UTC, datetime


class Session:
    """A session ("dedicated") or a batch."""

    def __init__(self, data: dict):
        self.id = str(uuid.uuid4())
        self.backend_name, self.mode = data.get("backend"), data.get("mode", "dedicated")
        self.max_seconds = data.get("max_ttl")
        self.accepting_jobs, self.closed, self.jobs = True, False, []
        self.created = datetime.now(UTC).isoformat()

    @property
    def state(self) -> str:
        """The state: one that takes no more jobs closes when the last of its jobs has ended."""
        done = all(job.final for job in self.jobs)
        if self.closed or (not self.accepting_jobs and done):
            return "closed"
        return "active" if self.jobs else "open"

    def stop_accepting(self) -> None:
        """Take no more jobs; those that are there run on."""
        self.accepting_jobs = False

    def close(self) -> None:
        """Take no more jobs, and cancel those that wait."""
        self.accepting_jobs, self.closed = False, True
        for job in self.jobs:
            if job.state == "Queued":
                job.end("Cancelled", "The session was closed.")

    def answer(self) -> dict:
        """Return the body of GET /sessions/{id}."""
        body = {"id": self.id, "backend_name": self.backend_name, "mode": self.mode, "state": self.state}
        body |= {"accepting_jobs": self.accepting_jobs, "max_ttl": self.max_seconds, "interactive_ttl": 60}
        body |= {"active_ttl": self.max_seconds, "started_at": self.created, "timestamps": []}
        return body | {"elapsed_time": sum(job.charged_seconds for job in self.jobs)}
