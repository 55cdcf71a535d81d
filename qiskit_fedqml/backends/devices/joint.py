"""What each of several clients gets of the jobs that they asked for together."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.backends.devices.submission import Submission
from qiskit_fedqml.backends.job import JobReceipt
from qiskit_fedqml.backends.program import Evaluation

Answered = tuple[NDArray[np.float64], NDArray[np.float64], Submission]
"""Values, derivatives and submission of one job."""


def shared_out(
    sizes: Sequence[int],
    values: NDArray[np.float64],
    derivatives: NDArray[np.float64] | None,
    answers: Sequence[Answered],
    simulator: str,
) -> list[Evaluation]:
    """Return what each client gets: its samples, and its share of each job that holds some of them.

    Args:
        sizes: Number of samples of each client, in the order of the samples.
        values: Of all samples, shape (samples, outputs).
        derivatives: Of all samples, shape (samples, outputs, angles), or None.
        answers: The jobs, in the order of their samples.
        simulator: What computed the numbers.
    """
    evaluations, start = [], 0
    for size in sizes:
        stop, circuits, executions, receipts = start + size, 0, 0, list[JobReceipt]()
        first = 0
        for of_job, _, job in answers:
            after = first + len(of_job)
            low, high = max(start, first) - first, min(stop, after) - first
            if low < high:
                circuits += _share(job.circuits, low, high, len(of_job))
                executions += _share(job.executions, low, high, len(of_job))
                receipts.append(_receipt(job, (high - low) / len(of_job)))
            first = after
        own = None if derivatives is None else derivatives[start:stop]
        evaluations.append(Evaluation(values[start:stop], own, circuits, executions, simulator, tuple(receipts)))
        start = stop
    return evaluations


def _share(total: int, low: int, high: int, of: int) -> int:
    """Return the share of the samples from ``low`` to ``high``; shares of all samples add up to the total."""
    return total * high // of - total * low // of


def _receipt(job: Submission, share: float) -> JobReceipt:
    planned, reported = (
        None if seconds is None else seconds * share for seconds in (job.planned_seconds, job.reported_seconds)
    )
    return JobReceipt(str(job.job_id), planned, reported)
