"""Sending jobs to devices so that none is lost and none is sent twice.

A :class:`Dispatcher` takes a request through the journal: intended, sent, done. What it needs of a device's service is
a :class:`Machine`; everything foreign is behind that. A replay of an interrupted round asks for the same keys again:
the journal answers those that are done, finds by their tags the jobs that may exist, and sends only what was never
accepted.
"""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.backends.devices.answers import check_expectations
from qiskit_fedqml.backends.devices.budget import Budget
from qiskit_fedqml.backends.devices.finder import SHORT_SECONDS, Finder
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.backends.devices.machine import (
    BatchClosedError,
    JobStatus,
    Machine,
    MissingError,
    RateLimitedError,
    UnreachableError,
    WrongAnswerError,
)
from qiskit_fedqml.backends.devices.patience import Patience, Pauses
from qiskit_fedqml.backends.devices.request import JobRequest, JobWaiting, Policy, TooLongError
from qiskit_fedqml.backends.devices.submission import State, Submission
from qiskit_fedqml.config.devices import Waiting
from qiskit_fedqml.errors import BackendError, BudgetError, JobError, ResultError

logger = logging.getLogger(__name__)

_WRONG_ANSWERS = 3
"""How often a job's results must have been wrong until they are given up, so that a resumed run sends the job again."""
_NEAR = 1e-3
"""Radians by which the angles of a replay may differ: far less than a shot's worth."""


class Dispatcher:
    """Sends the jobs of one run; usable by several threads.

    Args:
        journal: Where submissions are written; in memory by default.
        budget_seconds: The most QPU seconds of the whole run, or None.
        on_waiting: Called with how far a job is, at each look; may be called by several threads.
    """

    def __init__(
        self,
        journal: Journal | None = None,
        budget_seconds: float | None = None,
        on_waiting: Callable[[JobWaiting], None] | None = None,
    ) -> None:
        self.journal = journal or Journal()
        self._budget = Budget(self.journal, budget_seconds)
        self.on_waiting = on_waiting
        self.patience = Patience()
        self._finder = Finder(self.journal, self.patience)

    def run(self, machine: Machine, request: JobRequest, policy: Policy) -> tuple[NDArray[np.float64], Submission]:
        """Return the expectation values of a request: from the journal, from a job that exists, or from a new one.

        Raises:
            TooLongError: The job is, or was, too long for one job.
            JobError: The device takes no jobs, or the job was refused, failed, was cancelled, or is out of reach; it
                says which, and of whom.
            BudgetError: The job would pass a budget, or (AccountLimitError) what the account has left; nothing was
                sent.
            ResultError: The journal cannot be read or written, or is damaged.
            StoppedError: The run is being stopped.
        """
        try:
            submission = self._finished(machine, request, policy)
        except JobError:
            raise
        except BackendError as error:
            raise JobError(f"{self._place(request)}: {error}") from error.__cause__
        except BudgetError as error:
            raise type(error)(f"{self._place(request)}: {error}") from None
        return self._result(request, submission), submission

    def cancel(self, machine: Machine, submission: Submission, waiting: Waiting) -> dict[str, str]:
        """Cancel the jobs of a submission; return what became of each, by job id.

        A job that had ended already keeps its place in the journal, so that a resumed run reads its answer.

        Raises:
            BackendError: The service cannot be asked.
        """
        outage = waiting.outage_seconds
        try:
            found = {*self._finder.look_for(machine, waiting, submission.tag), *filter(None, [submission.job_id])}
            cancelled = {job: self.patience.ask(partial(machine.cancel, job), outage) for job in sorted(found)}
        except BackendError as error:
            raise BackendError(f"Backend {submission.backend!r}, {submission.key}: {error}") from error.__cause__
        if all(cancelled.values()):
            charges = [self.patience.ask_once(partial(machine.usage, job), None) for job in cancelled]
            known = [seconds for seconds in charges if seconds is not None]
            charged = sum(known) if len(known) == len(charges) else None
            self.journal.ended(submission.tag, "cancelled", "it was cancelled on request", charged)
        return {job: "cancelled" if done else "had ended already" for job, done in cancelled.items()}

    def settle(self, machine: Machine, backend: str) -> bool:
        """Ask for charges and duplicates that were not known; return whether all charges are."""
        for submission in self.journal.unsettled(backend):
            found = self.patience.ask_once(partial(machine.find, submission.tag), list[str]())
            self._finder.drop_duplicates(machine, submission, [*found, *submission.duplicates])
            if submission.reported_seconds is None:
                self._settle(machine, submission)
        return all(s.reported_seconds is not None for s in self.journal.unsettled(backend))

    def close_round(self, machine: Machine, backend: str, policy: Policy, round: int, clients: Collection[int]) -> None:
        """Cancel what skipped clients have left behind in a round, whose answers nobody will ask for again."""
        briefly = policy.waiting.model_copy(update={"outage_seconds": SHORT_SECONDS})
        for submission in self.journal.open(backend):
            askers = submission.key.clients or (submission.key.client,)
            if submission.key.server_step == round and all(client in clients for client in askers):
                self.patience.ask_once(partial(self.cancel, machine, submission, briefly), dict[str, str]())

    def _finished(self, machine: Machine, request: JobRequest, policy: Policy) -> Submission:
        """Take a request through the journal until it is done."""
        is_resubmitted = is_new = False
        while True:
            submission = self.journal.latest(request.backend, request.key, request.part)
            if submission is None or submission.state in ("intended", "failed", "cancelled"):
                self._tell(machine, request, "preparing")
            if submission is None or submission.state in ("failed", "cancelled"):
                attempt = 0 if submission is None else submission.attempt + 1
                submission, is_new = self._intend(machine, request, policy, attempt), True
            self._check_same(submission, request)
            if submission.state == "done":
                return submission
            if submission.state == "too long":
                raise TooLongError(submission.reason)
            if submission.state == "intended":
                submission = self._send(machine, request, policy, submission, may_exist=not is_new)
            status = self._wait(machine, request, policy, submission)
            if status.state == "done":
                self._read(machine, request, policy, submission)
                continue
            self._end(machine, submission, status)
            may_retry = status.is_internal or (status.state == "cancelled" and policy.resubmit_cancelled)
            if status.state != "too long":
                if is_resubmitted or not may_retry:
                    raise JobError(f"{_place(request, submission)} {status.state}: {status.reason}")
                logger.warning("%s %s: %s; sent again", _place(request, submission), status.state, status.reason)
                is_resubmitted = True

    def _check_same(self, submission: Submission, request: JobRequest) -> None:
        """Check that the journal holds this question; angles may differ by the rounding of another environment."""
        angles = self.journal.angles(submission.tag)
        is_near = angles.shape == request.angles.shape and np.allclose(angles, request.angles, rtol=0, atol=_NEAR)
        if submission.fingerprint != request.fingerprint or not is_near:
            raise BackendError(
                "the journal holds another question under this key, so that the run is not replayed as it was; start a "
                "new run."
            )

    def _intend(self, machine: Machine, request: JobRequest, policy: Policy, attempt: int) -> Submission:
        """Check that the device takes jobs and that no budget is passed, and write the intent."""
        tag = self.journal.tag(request.backend, request.key, request.part, attempt)
        submission = Submission(
            tag=tag,
            key=request.key,
            part=request.part,
            attempt=attempt,
            backend=request.backend,
            device=machine.device,
            account=machine.account,
            fingerprint=request.fingerprint,
            request=request.details,
            circuits=request.cost.circuits,
            executions=request.cost.executions,
            planned_seconds=request.cost.seconds,
            state="intended",
        )
        remaining = self._ready(machine, policy)
        with self.journal.transaction():
            self._budget.check(request, policy, submission, remaining)
            self.journal.intend(submission, request.angles)
        return submission

    def _ready(self, machine: Machine, policy: Policy) -> float | None:
        """Check that the device takes jobs; return what the account has left."""
        self.patience.ask(machine.check_ready, policy.waiting.outage_seconds)
        return self.patience.ask(machine.remaining_seconds, policy.waiting.outage_seconds)

    def _send(
        self, machine: Machine, request: JobRequest, policy: Policy, submission: Submission, *, may_exist: bool
    ) -> Submission:
        """Send a job, unless it exists already; return its submission with the job's id."""
        pauses, is_reopened = Pauses(policy.waiting.outage_seconds), False
        while True:
            self.patience.check()
            if may_exist:
                if found := self._finder.look_for(machine, policy.waiting, submission.tag):
                    return self._finder.adopt(machine, policy, submission, found)
                submission = self._revised(machine, request, policy, submission)
            try:
                pub = request.pub()
                self._tell(machine, request, "sending")
                job_id = machine.submit(pub, submission.tag, request.shots)
                break
            except BatchClosedError as error:
                if is_reopened:
                    raise BackendError(f"a new batch was closed at once: {error}") from error
                is_reopened = True
            except (RateLimitedError, UnreachableError) as error:
                if isinstance(error, UnreachableError):
                    self.journal.doubt(submission.tag)
                self.patience.pause(pauses, error)
            except (BackendError, BudgetError) as error:
                # The library may have sent it before without a word, and have been refused only when it sent it again.
                if found := self._finder.look_for(machine, policy.waiting, submission.tag):
                    return self._finder.adopt(machine, policy, submission, found)
                self.journal.ended(submission.tag, "failed", str(error), 0.0)
                raise
            may_exist = True
        self.journal.sent(submission.tag, job_id)
        found = self._finder.listed(machine, submission)
        return self._finder.adopt(machine, policy, submission, [job_id, *(j for j in found if j != job_id)])

    def _revised(self, machine: Machine, request: JobRequest, policy: Policy, submission: Submission) -> Submission:
        """Check again what may have changed since the intent, and write how the job is sent now."""
        remaining = self._ready(machine, policy)
        revised = replace(
            submission,
            device=machine.device,
            request=request.details,
            circuits=request.cost.circuits,
            executions=request.cost.executions,
            planned_seconds=request.cost.seconds,
        )
        with self.journal.transaction():
            self._budget.check(request, policy, revised, remaining)
            self.journal.revise(revised)
        return revised

    def _wait(self, machine: Machine, request: JobRequest, policy: Policy, submission: Submission) -> JobStatus:
        started, job_id = time.monotonic(), str(submission.job_id)
        longest = policy.waiting.queue_seconds
        while True:
            status = self.patience.ask(partial(machine.status, job_id), policy.waiting.outage_seconds)
            waited = time.monotonic() - started
            if self.on_waiting:
                self.on_waiting(JobWaiting(request.key, request.backend, machine.device, job_id, status, waited))
            if status.state not in ("queued", "running"):
                return status
            if status.state == "queued" and longest is not None and waited > longest:
                raise BackendError(f"it still waits in the queue after {waited:.0f} s; it lives on for a resumed run.")
            self.patience.sleep(policy.waiting.poll_seconds)
            self.patience.check()

    def _read(self, machine: Machine, request: JobRequest, policy: Policy, submission: Submission) -> None:
        """Read and write down the answer; then what it cost, and duplicates, which may have been listed late."""
        job_id, shape = str(submission.job_id), request.shape(submission.request)
        wrong: list[WrongAnswerError] = []

        def read() -> NDArray[np.float64]:
            try:
                return check_expectations(machine.result(job_id), shape)
            except WrongAnswerError as error:
                wrong.append(error)
                raise

        try:
            values = self.patience.ask(read, policy.waiting.outage_seconds)
        except BackendError as error:
            is_wrong = error.__cause__ in wrong and len(wrong) >= _WRONG_ANSWERS
            if isinstance(error, MissingError) or is_wrong:
                why = f"{error.__cause__}, for {policy.waiting.outage_seconds:g} s" if is_wrong else str(error)
                charged = self.patience.ask_once(partial(machine.usage, job_id), None)
                self.journal.ended(submission.tag, "failed", f"its results cannot be used: {why}", charged)
                raise BackendError(f"its results cannot be used: {why}; a resumed run sends it again.") from error
            raise
        self.journal.done(submission.tag, values)
        self._settle(machine, submission)
        found = self._finder.listed(machine, submission)
        written = self.journal.latest(submission.backend, submission.key, submission.part)
        self._finder.drop_duplicates(machine, written or submission, found)

    def _settle(self, machine: Machine, submission: Submission) -> None:
        charged = self.patience.ask_once(partial(machine.usage, str(submission.job_id)), None)
        if charged is not None:
            self.journal.reported(submission.tag, charged)

    def _end(self, machine: Machine, submission: Submission, status: JobStatus) -> None:
        states: dict[str, State] = {"cancelled": "cancelled", "too long": "too long"}
        charged = status.charged_seconds
        if charged is None:
            charged = self.patience.ask_once(partial(machine.usage, str(submission.job_id)), None)
        self.journal.ended(submission.tag, states.get(status.state, "failed"), status.reason, charged)

    def _result(self, request: JobRequest, submission: Submission) -> NDArray[np.float64]:
        try:
            return check_expectations(self.journal.result(submission.tag), request.shape(submission.request))
        except WrongAnswerError as error:
            raise ResultError(f"The journal {self.journal.name} is damaged: {error}.") from None

    def _tell(self, machine: Machine, request: JobRequest, state: Literal["preparing", "sending"]) -> None:
        if self.on_waiting:
            self.on_waiting(JobWaiting(request.key, request.backend, machine.device, "", JobStatus(state), 0.0))

    def _place(self, request: JobRequest) -> str:
        submission = self.journal.latest(request.backend, request.key, request.part)
        return _place(request, submission)


def _place(request: JobRequest, submission: Submission | None) -> str:
    job = f", job {submission.job_id}" if submission is not None and submission.job_id else ""
    return f"Backend {request.backend!r}, {request.key}{job}"
