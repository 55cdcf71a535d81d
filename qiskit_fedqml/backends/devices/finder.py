"""Which jobs a submission made: found by their tag, one kept, the others cancelled and written down."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.backends.devices.machine import Machine
from qiskit_fedqml.backends.devices.patience import Patience
from qiskit_fedqml.backends.devices.request import Policy
from qiskit_fedqml.backends.devices.submission import CANCELLED, RAN, UNKNOWN, Submission
from qiskit_fedqml.config.devices import Waiting

logger = logging.getLogger(__name__)

SHORT_SECONDS = 20.0
"""How long the service may give no answer to what a run can do without."""
_LOOKUP_PAUSES = (0.0, 1.0, 2.0)
"""Before each look for a job of unknown fate by its tag, in seconds; then it counts as never accepted. Who polls more
often than twice a second pauses for two and four polls."""
_PREFERENCE = ("done", "running", "queued", "too long", "failed", "cancelled")
"""Which of several jobs of one submission is kept."""


class Finder:
    """Finds the jobs of submissions; usable by several threads.

    Args:
        journal: Where they are written.
        patience: How the run waits for services.
    """

    def __init__(self, journal: Journal, patience: Patience) -> None:
        self._journal, self._patience = journal, patience

    def look_for(self, machine: Machine, waiting: Waiting, tag: str) -> list[str]:
        """Return the jobs with a tag; an accepted one may take a moment until it is listed.

        Raises:
            BackendError: The service cannot be asked.
        """
        for pause in _LOOKUP_PAUSES:
            self._patience.sleep(min(pause, 2 * pause * waiting.poll_seconds))
            if found := self._patience.ask(partial(machine.find, tag), waiting.outage_seconds):
                return found
        return []

    def listed(self, machine: Machine, submission: Submission) -> list[str]:
        """Return the jobs that are listed by now; where that cannot be asked, it is asked again after the round."""
        found = self._patience.ask_once(partial(machine.find, submission.tag), None)
        if found is None:
            self._journal.doubt(submission.tag)
        return found or []

    def adopt(self, machine: Machine, policy: Policy, submission: Submission, job_ids: list[str]) -> Submission:
        """Keep one of the jobs of a submission, write its id down, and cancel the others.

        Raises:
            BackendError: The service cannot be asked.
        """
        kept, outage = job_ids[0], policy.waiting.outage_seconds
        if len(job_ids) > 1:
            states = {job: self._patience.ask(partial(machine.status, job), outage).state for job in job_ids}
            kept = min(job_ids, key=lambda job: _PREFERENCE.index(states[job]))
        self._journal.sent(submission.tag, kept)
        submission = replace(submission, state="sent", job_id=kept)
        self.drop_duplicates(machine, submission, job_ids)
        return submission

    def drop_duplicates(self, machine: Machine, submission: Submission, job_ids: Iterable[str]) -> None:
        """Cancel the other jobs of a submission, and write down what became of each."""
        fates = dict(submission.duplicates)
        for job in job_ids:
            if job != submission.job_id and fates.get(job, UNKNOWN) == UNKNOWN:
                question = partial(self._patience.ask, partial(_fate, machine, job), SHORT_SECONDS)
                fates[job] = self._patience.ask_once(question, UNKNOWN)
        if fates != submission.duplicates:
            logger.warning(
                "Backend %r, %s, job %s: the service took the same submission again: %s",
                *(submission.backend, submission.key, submission.job_id, fates),
            )
            self._journal.duplicated(submission.tag, fates)


def _fate(machine: Machine, job_id: str) -> str:
    """Cancel a job; return what became of it."""
    return CANCELLED if machine.cancel(job_id) or machine.status(job_id).state == "cancelled" else RAN
