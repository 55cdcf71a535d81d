"""Sending jobs to devices so that none is lost and none is sent twice.

A :class:`Dispatcher` takes a request through the journal: intended, sent, done. What it needs of a device's service is
a :class:`Machine`; everything foreign is behind that. A replay of an interrupted round asks for the same keys again:
the journal answers those that are done, finds by their tags the jobs that may exist, and sends only what was never
accepted.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.backends.base import JobKey, JobReceipt
from qiskit_fedqml.backends.cost import JobCost
from qiskit_fedqml.backends.entries import Waiting
from qiskit_fedqml.backends.journal import Journal, State, Submission
from qiskit_fedqml.backends.machine import (
    BatchClosedError,
    JobStatus,
    Machine,
    RateLimitedError,
    UnreachableError,
)
from qiskit_fedqml.errors import BackendError, BudgetError, JobError

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

_LOOKUPS = 3
"""How often a job of unknown fate is looked for by its tag before it counts as never accepted."""
_PREFERENCE = ("done", "running", "queued", "too long", "failed", "cancelled")
"""Which of several jobs of one submission is kept."""
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


class StoppedError(Exception):
    """The run is being stopped; the job lives."""


class TooLongError(Exception):
    """The job would take longer than a job may; it must be split."""


@dataclass(frozen=True)
class JobWaiting:
    """A job that a client waits for, as observers are told it.

    Args:
        key: What it is for.
        backend: The backend's name.
        device: The device's name.
        job_id: The service's name of the job.
        status: How far it is.
        seconds: Time waited so far.
    """

    key: JobKey
    backend: str
    device: str
    job_id: str
    status: JobStatus
    seconds: float


@dataclass(frozen=True)
class JobRequest:
    """What is to be sent.

    Args:
        backend: The backend's name.
        key: What it is for.
        part: Which part of the samples.
        fingerprint: Digest of what is asked, apart from layout and calibration.
        details: What is needed to read the answer, as JSON values.
        pub: Makes the PUB.
        cost: What it will cost.
    """

    backend: str
    key: JobKey
    part: str
    fingerprint: str
    details: dict[str, Any]
    pub: Callable[[], Any]
    cost: JobCost


@dataclass(frozen=True)
class Policy:
    """What a backend's entry says about its jobs.

    Args:
        waiting: How long to wait for what.
        budget_seconds: The most QPU seconds of this backend in the run, or None.
        resubmit_cancelled: Whether a job that somebody cancelled is sent again.
    """

    waiting: Waiting
    budget_seconds: float | None = None
    resubmit_cancelled: bool = False


class Dispatcher:
    """Sends the jobs of one run; usable by several threads.

    Args:
        journal: Where submissions are written; in memory by default.
        budget_seconds: The most QPU seconds of the whole run, or None.
        on_waiting: Told how far a job is, at each look; may be called by several threads.
    """

    def __init__(
        self,
        journal: Journal | None = None,
        budget_seconds: float | None = None,
        on_waiting: Callable[[JobWaiting], None] | None = None,
    ) -> None:
        self.journal = journal or Journal()
        self.budget_seconds = budget_seconds
        self.on_waiting = on_waiting
        self._stop = threading.Event()

    def stop(self) -> None:
        """Let every thread that waits for a job stop waiting; the jobs live."""
        self._stop.set()

    def run(self, machine: Machine, request: JobRequest, policy: Policy) -> tuple[NDArray[np.float64], Submission]:
        """Return the expectation values of a request: from the journal, from a job that exists, or from a new one.

        Raises:
            TooLongError: The job is, or was, too long for one job.
            JobError: The job failed, was cancelled, or is out of reach; it says which, and of whom.
            BudgetError: The job would pass a budget; nothing was sent.
            BackendError: The device takes no jobs, or refused this one.
            StoppedError: :meth:`stop` was called.
        """
        resubmitted = False
        while True:
            submission = self.journal.latest(request.key, request.part)
            is_new = submission is None or submission.state in ("failed", "cancelled")
            if submission is None or is_new:
                submission = self._intend(machine, request, policy, 0 if submission is None else submission.attempt + 1)
            if submission.fingerprint != request.fingerprint:
                raise JobError(
                    f"{_place(request, submission)}: the journal holds another request under this key, so the run was "
                    "not replayed as it was; start a new run."
                )
            if submission.state == "too long":
                raise TooLongError(submission.reason)
            if submission.state == "intended":
                submission = self._send(machine, request, policy, submission, may_exist=not is_new)
            if submission.state == "sent":
                status = self._wait(machine, request, policy, submission)
                if status.state != "done":
                    self._end(machine, submission, status)
                    if status.state == "too long":
                        continue
                    may_retry = status.is_internal or (status.state == "cancelled" and policy.resubmit_cancelled)
                    if resubmitted or not may_retry:
                        raise JobError(f"{_place(request, submission)} {status.state}: {status.reason}")
                    logger.warning("%s %s: %s; sent again", _place(request, submission), status.state, status.reason)
                    resubmitted = True
                    continue
                self._read(machine, request, policy, submission)
            return self.journal.result(submission.tag), self.journal.latest(request.key, request.part) or submission

    def cancel(self, machine: Machine, submission: Submission, waiting: Waiting) -> dict[str, str]:
        """Cancel the jobs of a submission; return what became of each, by job id.

        A job that had ended already keeps its place in the journal, so that its answer is read when the run goes on.
        """
        place = f"Backend {submission.backend!r}, {submission.key}"
        found = self.ask(lambda: machine.find(submission.tag), waiting, place)
        fates = {}
        for job_id in found:
            was_cancelled = self.ask(lambda job_id=job_id: machine.cancel(job_id), waiting, place)  # type: ignore[misc]
            fates[job_id] = "cancelled" if was_cancelled else "had ended already"
        if all(fate == "cancelled" for fate in fates.values()):
            self.journal.ended(submission.tag, "cancelled", "it was cancelled on request", 0.0)
        return fates

    def settle(self, machine: Machine, backend: str) -> None:
        """Ask again for the charge of jobs that the service had not reckoned up yet."""
        for submission in self.journal.all():
            if submission.backend == backend and submission.state == "done" and submission.reported_seconds is None:
                seconds = self._try(lambda job_id=submission.job_id: machine.usage(str(job_id)), None)  # type: ignore[misc]
                if seconds is not None:
                    self.journal.reported(submission.tag, seconds)

    def _intend(self, machine: Machine, request: JobRequest, policy: Policy, attempt: int) -> Submission:
        """Check that the device takes jobs and that no budget is passed, and write the intent."""
        place = f"Backend {request.backend!r}, {request.key}"
        self.ask(machine.check_ready, policy.waiting, place)
        remaining = self.ask(machine.remaining_seconds, policy.waiting, place)
        journal, cost = self.journal, request.cost
        submission = Submission(
            tag=journal.tag(request.key, request.part, attempt),
            key=request.key,
            part=request.part,
            attempt=attempt,
            backend=request.backend,
            device=machine.device,
            fingerprint=request.fingerprint,
            request=request.details,
            circuits=cost.circuits,
            executions=cost.executions,
            planned_seconds=cost.seconds,
            state="intended",
        )
        with journal.transaction():
            ceilings = [
                (f"the budget of backend {request.backend!r}", policy.budget_seconds, request.backend),
                ("the run's budget", self.budget_seconds, None),
            ]
            for what, ceiling, backend in ceilings:
                spent = journal.spent_seconds(backend)
                if ceiling is not None and spent + cost.seconds > ceiling:
                    raise BudgetError(
                        f"{place}: the next job needs {cost.seconds:.1f} QPU seconds, but of "
                        f"{what}, {ceiling:g} s, {spent:.1f} s are spent or under way: "
                        f"{spent + cost.seconds - ceiling:.1f} s are missing. Nothing was sent."
                    )
            if remaining is not None and cost.seconds > remaining:
                raise BudgetError(
                    f"{place}: the next job needs {cost.seconds:.1f} QPU seconds, but the "
                    f"account has {remaining:.1f} s left: {cost.seconds - remaining:.1f} s are missing. "
                    "Nothing was sent."
                )
            journal.intend(submission)
        return submission

    def _send(
        self, machine: Machine, request: JobRequest, policy: Policy, submission: Submission, *, may_exist: bool
    ) -> Submission:
        """Send a job, unless it exists already; return its submission with the job's id."""
        waiting, place, pauses = policy.waiting, _place(request, submission), _Pauses(policy.waiting.outage_seconds)
        reopened = False
        while True:
            self._check_stop()
            if may_exist and (found := self._look_for(machine, waiting, submission.tag, place)):
                return self._adopt(machine, waiting, submission, found, place)
            try:
                job_id = machine.submit(request.pub(), submission.tag)
                break
            except RateLimitedError as error:
                self._pause(pauses, error, place)
            except UnreachableError as error:
                may_exist = True
                self._pause(pauses, error, place)
            except BatchClosedError as error:
                if reopened:
                    raise JobError(f"{place}: a new batch was closed at once: {error}") from error
                reopened = True
            except (BackendError, BudgetError) as error:
                self.journal.ended(submission.tag, "failed", str(error), 0.0)
                raise type(error)(f"{place}: {error}") from error
        self.journal.sent(submission.tag, job_id)
        # The client library sends a submission again after a 503, without a word: such jobs have the same tag.
        found = self.ask(lambda: machine.find(submission.tag), waiting, place)
        return self._adopt(machine, waiting, submission, [job_id, *(j for j in found if j != job_id)], place)

    def _look_for(self, machine: Machine, waiting: Waiting, tag: str, place: str) -> list[str]:
        for attempt in range(_LOOKUPS):
            if attempt:  # an accepted job may take a moment until it is listed
                self._sleep(min(waiting.poll_seconds, _FIRST_PAUSE * 2**attempt))
            if found := self.ask(lambda: machine.find(tag), waiting, place):
                return found
        return []

    def _adopt(
        self, machine: Machine, waiting: Waiting, submission: Submission, job_ids: list[str], place: str
    ) -> Submission:
        """Keep one of the jobs of a submission, cancel the others, and write both down."""
        kept = job_ids[0]
        if len(job_ids) > 1:
            states = {j: self.ask(lambda j=j: machine.status(j), waiting, place).state for j in job_ids}  # type: ignore[misc]
            kept = min(job_ids, key=lambda job_id: _PREFERENCE.index(states[job_id]))
        self.journal.sent(submission.tag, kept)
        submission = replace(submission, state="sent", job_id=kept)
        self._drop_duplicates(machine, submission, job_ids, place)
        return submission

    def _drop_duplicates(self, machine: Machine, submission: Submission, job_ids: list[str], place: str) -> None:
        """Cancel the other jobs of a submission, and write down which of them ran."""
        fates = dict(submission.duplicates)
        for job_id in job_ids:
            if job_id != submission.job_id and job_id not in fates:
                was_cancelled = self._try(lambda j=job_id: machine.cancel(j) or _is_cancelled(machine, j), False)  # type: ignore[misc]
                fates[job_id] = "cancelled" if was_cancelled else "ran"
        if fates != submission.duplicates:
            logger.warning("%s: the service took the same submission again: %s", place, fates)
            self.journal.duplicated(submission.tag, fates)

    def _wait(self, machine: Machine, request: JobRequest, policy: Policy, submission: Submission) -> JobStatus:
        started, job_id = time.monotonic(), str(submission.job_id)
        place, longest = _place(request, submission), policy.waiting.queue_seconds
        while True:
            self._check_stop()
            status = self.ask(lambda: machine.status(job_id), policy.waiting, place)
            waited = time.monotonic() - started
            if self.on_waiting:
                self.on_waiting(JobWaiting(request.key, request.backend, machine.device, job_id, status, waited))
            if status.state not in ("queued", "running"):
                return status
            if status.state == "queued" and longest is not None and waited > longest:
                raise JobError(f"{place} still waits in the queue after {waited:.0f} s; it lives, and can be resumed.")
            self._sleep(policy.waiting.poll_seconds)

    def _read(self, machine: Machine, request: JobRequest, policy: Policy, submission: Submission) -> None:
        """Read and write down the answer; then look once more for duplicates, which may have been listed late."""
        job_id, place = str(submission.job_id), _place(request, submission)
        values = self.ask(lambda: machine.result(job_id), policy.waiting, place)
        self.journal.done(submission.tag, values, self._try(lambda: machine.usage(job_id), None))
        found: list[str] = self._try(lambda: machine.find(submission.tag), [])
        written = self.journal.latest(request.key, request.part) or submission
        self._drop_duplicates(machine, written, found, place)

    def _end(self, machine: Machine, submission: Submission, status: JobStatus) -> None:
        states: dict[str, State] = {"cancelled": "cancelled", "too long": "too long"}
        charged = self._try(lambda: machine.usage(str(submission.job_id)), None)
        if charged is None and status.state == "cancelled":
            charged = 0.0
        self.journal.ended(submission.tag, states.get(status.state, "failed"), status.reason, charged)

    def ask(self, question: Callable[[], Answer], waiting: Waiting, place: str) -> Answer:
        """Ask until the service answers, with growing pauses, for as long as an outage may last."""
        pauses = _Pauses(waiting.outage_seconds)
        while True:
            self._check_stop()
            try:
                return question()
            except (UnreachableError, RateLimitedError) as error:
                self._pause(pauses, error, place)

    def _try(self, question: Callable[[], Answer], otherwise: Answer) -> Answer:
        """Ask once for what the run can do without."""
        try:
            return question()
        except (UnreachableError, RateLimitedError, BackendError) as error:
            logger.info("The service gave no answer: %s", error)
            return otherwise

    def _pause(self, pauses: "_Pauses", error: Exception, place: str) -> None:
        seconds = pauses.next()
        if seconds is None:
            raise JobError(
                f"{place}: the service has been out of reach for {pauses.outage_seconds:g} s ({error}). What it "
                "accepted lives, and can be resumed."
            ) from error
        logger.warning("%s: %s; asked again in %.0f s", place, error, seconds)
        self._sleep(seconds)

    def _sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise StoppedError


class _Pauses:
    """Pauses of growing length, until an outage has lasted too long."""

    def __init__(self, outage_seconds: float) -> None:
        self.outage_seconds = outage_seconds
        self._began: float | None = None
        self._pause = _FIRST_PAUSE

    def next(self) -> float | None:
        """Return the next pause in seconds, or None if the outage has lasted too long."""
        now = time.monotonic()
        self._began = self._began or now
        if now - self._began >= self.outage_seconds:
            return None
        pause, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE)
        return min(pause, max(self.outage_seconds / 10, 0.05))


def _is_cancelled(machine: Machine, job_id: str) -> bool:
    return machine.status(job_id).state == "cancelled"


def receipt(submission: Submission) -> JobReceipt:
    """Return what a run's record tells of a submission."""
    return JobReceipt(str(submission.job_id), submission.planned_seconds, submission.reported_seconds)


def _place(request: JobRequest, submission: Submission) -> str:
    job = f", job {submission.job_id}" if submission.job_id else ""
    return f"Backend {request.backend!r}, {request.key}{job}"
