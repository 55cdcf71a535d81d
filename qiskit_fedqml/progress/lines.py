"""Progress as lines of text, for files, pipes and logs."""

import sys
from types import TracebackType
from typing import TextIO

from qiskit_fedqml.backends.devices.request import JobWaiting
from qiskit_fedqml.federation.messages import ClientUpdate, Status
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.tables import duration


class ProgressLines:
    """Prints a line for each round, each client that failed, and each job that waits; a context manager.

    Args:
        title: What the run is called.
        stream: Where to print; the standard error by default.
    """

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self._title = title
        self._stream = stream
        self._shown: dict[str, str] = {}

    def __enter__(self) -> "ProgressLines":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def features_extracted(self, what: str, done: int, total: int) -> None:
        """Print nothing."""

    def round_started(self, round: int, num_rounds: int, num_clients: int) -> None:
        """Print nothing."""

    def client_finished(self, client: ClientUpdate) -> None:
        """Print a line for a client that failed."""
        if client.status not in (Status.OK, Status.TESTED):
            self._say(failure(client))

    def job_waiting(self, job: JobWaiting) -> None:
        """Print a line where a job's state has changed."""
        text = state_of(job)
        if job.status.state in ("queued", "running") and self._shown.get(job.job_id) != text:
            self._shown[job.job_id] = text
            self._say(f"{self._title}: {text}, {duration(job.seconds)}")

    def round_finished(self, record: RoundRecord) -> None:
        """Print the round's line."""
        self._say(f"{self._title}: round {record.round}: {figures_of(record)}")

    def _say(self, text: str) -> None:
        print(text, file=self._stream or sys.stderr, flush=True)


def failure(client: ClientUpdate) -> str:
    """Return what became of a client that failed."""
    return f"client {client.client_id} on {client.backend}: {client.outcome}"


def state_of(job: JobWaiting) -> str:
    """Return how far a job is."""
    text = f"{job.key} on {job.backend}: "
    if job.status.state in ("preparing", "sending"):
        return f"{text}{job.status.state} the job"
    ahead = "" if job.status.pending is None else f", {job.status.pending} waiting on the device"
    return f"{text}job {job.job_id} {job.status.state}{ahead}"


def figures_of(record: RoundRecord) -> str:
    """Return a round's losses and accuracy."""
    train = "–" if record.train_loss is None else f"{record.train_loss:.3f}"
    return f"train {train}, test {record.test_loss:.3f}, accuracy {record.test_accuracy:.1%}"
