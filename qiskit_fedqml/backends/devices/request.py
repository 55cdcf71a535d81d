"""What a backend asks a dispatcher for, and what is reported to observers while it waits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.backends.devices.cost import JobCost
from qiskit_fedqml.backends.devices.machine import JobStatus
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.config.devices import Waiting


class TooLongError(Exception):
    """The job would take longer than a job may; it must be split."""


@dataclass(frozen=True)
class JobWaiting:
    """A job that a client waits for, as it is reported to observers.

    Args:
        key: What it is for.
        backend: The backend's name.
        device: The device's name.
        job_id: The service's name of the job; empty while it is prepared and sent.
        status: How far it is.
        seconds: Time waited so far; from 0 again once it is accepted.
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
        fingerprint: Digest of how it is asked: shots, estimator, options, gradient.
        angles: What is asked for, shape (samples, angles).
        details: What is needed to read the answer, as JSON values.
        pub: Makes the PUB.
        cost: What it will cost.
        shape: The shape of its answer, (samples, points, outputs), where it was sent with these details.
        shots: Of each circuit; None takes those of the backend's entry.
    """

    backend: str
    key: JobKey
    part: str
    fingerprint: str
    angles: NDArray[np.float64]
    details: dict[str, Any]
    pub: Callable[[], Any]
    cost: JobCost
    shape: Callable[[dict[str, Any]], tuple[int, int, int]]
    shots: int | None = None


@dataclass(frozen=True)
class Policy:
    """What a backend's entry says about its jobs.

    Args:
        waiting: How long to wait for what.
        budget_seconds: The most QPU seconds of this backend in the run, or None.
        resubmit_cancelled: Whether a job that somebody cancelled is sent again.
        budget_executions: The most executions of this backend in the run, or None.
    """

    waiting: Waiting
    budget_seconds: float | None = None
    resubmit_cancelled: bool = False
    budget_executions: int | None = None
