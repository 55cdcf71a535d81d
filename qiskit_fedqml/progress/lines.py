"""Progress as lines of text, for files, pipes and logs."""

import sys
import time
from types import TracebackType
from typing import TextIO

from qiskit_fedqml.backends.devices.request import JobWaiting
from qiskit_fedqml.config.evaluation import labelled
from qiskit_fedqml.federation.messages import ClientUpdate, Status
from qiskit_fedqml.progress.size import RunSize
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.tables import duration, number

_BETWEEN_SECONDS = 10.0
"""Between two lines about the same phase."""

_LONG_SECONDS = 5.0
"""A phase that takes longer has a line in any case."""

MOST_METRICS = 3
"""How many metrics a round's line has at most."""


class ProgressLines:
    """Prints a line for each round, each client that failed, and each job that waits; a context manager.

    Args:
        title: What the run is called.
        stream: Where to print; the standard error by default.
        has_phases: Whether each phase and each client has a line too; otherwise phases have one that take long.
    """

    def __init__(self, title: str, stream: TextIO | None = None, *, has_phases: bool = False) -> None:
        self._title = title
        self._stream = stream
        self._has_phases = has_phases
        self._phase, self._phase_began, self._phase_shown = "", 0.0, 0.0
        self._is_phase_said = False
        self._shown: dict[str, str] = {}

    def __enter__(self) -> "ProgressLines":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def features_extracted(self, what: str, done: int, total: int) -> None:
        """Print how far that phase is."""
        self.preparing(what, done, total)

    def preparing(self, what: str, done: int, total: int) -> None:
        """Print a line where a phase begins, or once it takes long, and at times how long it still takes."""
        now = time.perf_counter()
        if what != self._phase:
            self._phase, self._phase_began, self._phase_shown = what, now, now
            self._is_phase_said = self._has_phases
            if self._has_phases:
                self._say(f"{self._title}: {what}")
        elif not self._is_phase_said:
            if now - self._phase_began > _LONG_SECONDS:
                self._is_phase_said, self._phase_shown = True, now
                self._say(f"{self._title}: {what}")
        elif total and now - self._phase_shown > _BETWEEN_SECONDS:
            self._phase_shown = now
            left = (now - self._phase_began) * (total / done - 1) if done else None
            until = "" if left is None else f", {duration(left)} left"
            self._say(f"{self._title}: {what}: {done:,} of {total:,}{until}")

    def prepared(self, size: RunSize) -> None:
        """Print how large the run is."""
        for line in (str(size), size.warning and f"warning: {size.warning}"):
            if line:
                self._say(f"{self._title}: {line}.")

    def round_started(self, round: int, num_rounds: int, num_clients: int) -> None:
        """Print a line where phases are shown."""
        self._phase = ""
        if self._has_phases:
            self._say(f"{self._title}: round {round} of {num_rounds}: {num_clients} clients")

    def client_finished(self, client: ClientUpdate) -> None:
        """Print a line for a client that failed; where phases are shown, for each."""
        if client.status not in (Status.OK, Status.TESTED):
            self._say(failure(client))
        elif self._has_phases:
            self._say(f"{self._title}: {success(client)}, {duration(client.seconds)}")

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


def success(client: ClientUpdate) -> str:
    """Return what a client has come to."""
    loss = f"loss {client.train_loss:.3f}" if client.train_loss is not None else client.outcome
    loss += f", accuracy {client.accuracy:.1%}" if client.accuracy is not None else ""
    return f"client {client.client_id} on {client.backend}: {loss}"


def state_of(job: JobWaiting) -> str:
    """Return how far a job is."""
    text = f"{job.key} on {job.backend}: "
    if job.status.state in ("preparing", "sending"):
        return f"{text}{job.status.state} the job"
    ahead = "" if job.status.pending is None else f", {job.status.pending} waiting on the device"
    return f"{text}job {job.job_id} {job.status.state}{ahead}"


def figures_of(record: RoundRecord, most_metrics: int = MOST_METRICS) -> str:
    """Return a round's losses and accuracy, the first metrics, and how many more there are.

    Args:
        record: The round.
        most_metrics: How many metrics there is room for.
    """
    train = "–" if record.train_loss is None else f"{record.train_loss:.3f}"
    metrics = [f", {name} {number(value, 3)}" for name, value in labelled(record.metrics).items()]
    further = f", {len(metrics) - most_metrics} more" if len(metrics) > most_metrics > 0 else ""
    figures = f"train {train}, test {record.test_loss:.3f}, accuracy {record.test_accuracy:.1%}"
    return "".join([figures, *metrics[:most_metrics], further])
