"""What a backend and a dispatcher need of a device and its service, and what the service may answer."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit.providers import BackendV2
from qiskit.transpiler import Target

from qiskit_fedqml.backends.calibration import Calibration
from qiskit_fedqml.config.devices import DeviceEntry
from qiskit_fedqml.errors import BackendError


class UnreachableError(Exception):
    """The service did not answer; whether it did what was asked is unknown."""


class RefusedError(UnreachableError):
    """The service refuses the login, which may have expired, or the account itself."""


class ForbiddenError(RefusedError):
    """The service knows who asks, and does not allow it: a new login is of no use."""


class UnreadableError(UnreachableError):
    """The service answered something that cannot be read as what was asked for."""


class WrongAnswerError(UnreadableError):
    """A job's results can be read, but are not the numbers that were asked for."""


class RateLimitedError(Exception):
    """The service wants fewer requests; it did not do what was asked."""


class BatchClosedError(Exception):
    """The batch or session takes no more jobs."""


class MissingError(BackendError):
    """What was asked for does not exist, or no longer."""


RunBy = Literal["ibm", "rehearsal", "provider"]
"""Whose machine runs circuits: IBM's, this computer in a rehearsal, another provider's."""


@dataclass(frozen=True)
class JobStatus:
    """How far a job is.

    Args:
        state: ``"queued"``, ``"running"``, or how it ended; ``"preparing"`` and ``"sending"`` are reported to observers
            before the service knows the job.
        reason: Why it ended without an answer.
        is_internal: Whether the service itself is to blame, so that the same job may succeed.
        pending: Jobs that wait on the device, this one included; None where that is not known.
        charged_seconds: What it was charged, where the status says.
    """

    state: Literal["preparing", "sending", "queued", "running", "done", "failed", "cancelled", "too long"]
    reason: str = ""
    is_internal: bool = False
    pending: int | None = None
    charged_seconds: float | None = None


class Memory(Protocol):
    """Facts of a run that outlive its process."""

    def recall(self, name: str) -> str | None:
        """Return a fact, or None."""
        ...

    def remember(self, name: str, value: str) -> str:
        """Keep a fact unless it is kept already; return what is kept."""
        ...


class Primitive(Protocol):
    """How PUBs become jobs."""

    @property
    def measures_all_qubits(self) -> bool:
        """Whether all of the device's qubits are measured, not only those of the observables."""
        ...

    def with_entry(self, entry: DeviceEntry) -> "Primitive":
        """Return the same for another entry, of the same type."""
        ...

    def estimator(
        self,
        mode: Any,
        tags: list[str],
        seed: int | None = None,
        shots: int | None = None,
        *,
        extrapolates: bool = False,
    ) -> BaseEstimatorV2:
        """Return an estimator on a device, batch or session, whose jobs carry these tags.

        Args:
            mode: The device, batch or session.
            tags: The tags.
            seed: Seed of a simulation.
            shots: Shots of each circuit; here and below None takes the entry's.
            extrapolates: Whether its jobs are tests, which are extrapolated where the entry says so.
        """
        ...

    def is_plain(self) -> bool:
        """Return whether each circuit runs as it is, without randomisations or mitigation."""
        ...

    def size(self, pub: Any, device: BackendV2, shots: int | None = None) -> tuple[int, int]:
        """Return circuits and executions of a PUB, randomisations included."""
        ...

    def payload_bytes(self, pub: Any, device: BackendV2, shots: int | None = None) -> int:
        """Return the size of a PUB as it is sent; 0 where that is not known."""
        ...


class Machine(Protocol):
    """A device and its service.

    Calls that ask the service may raise UnreachableError (of which RefusedError and UnreadableError are kinds) or
    RateLimitedError, and BackendError for what trying again cannot mend. A login that has expired is renewed inside.
    """

    primitive: Primitive
    simulator: RunBy
    """What records say computed the numbers."""
    seconds_per_job: float
    """QPU seconds of a job in addition to its executions."""
    reports_charges: bool
    """Whether the service says what jobs were charged."""

    @property
    def device(self) -> str:
        """The device's name."""
        ...

    @property
    def account(self) -> str | None:
        """The instance that is charged; None where nobody charges."""
        ...

    @property
    def qiskit_backend(self) -> BackendV2:
        """The device as Qiskit's transpiler knows it."""
        ...

    def calibration(self) -> Calibration | None:
        """Return the calibration that was read last; None where the provider publishes none in IBM's format."""
        ...

    def circuit_seconds(self, circuit: QuantumCircuit, measured: Sequence[int], target: Target) -> float | None:
        """Return the length of a transpiled circuit with its measurement; None where durations are not stated.

        Raises:
            BackendError: They are not stated, but are needed.
        """
        ...

    def refresh(self) -> None:
        """Read the calibration again."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Let the jobs that are sent inside run as one batch or session, if the backend's entry wants one."""
        ...

    def check_ready(self) -> None:
        """Raise BackendError if the device is offline, paused or retired."""
        ...

    def remaining_seconds(self) -> float | None:
        """Return the QPU seconds that the account has left, or None where there is no limit."""
        ...

    def submit(self, pub: Any, tag: str, shots: int | None = None) -> str:
        """Send one PUB as one job and return its id; raise BatchClosedError where the batch is closed."""
        ...

    def find(self, tag: str) -> list[str]:
        """Return the ids of the jobs with a tag, the oldest first."""
        ...

    def status(self, job_id: str) -> JobStatus:
        """Return how far a job is."""
        ...

    def result(self, job_id: str) -> NDArray[np.float64]:
        """Return the expectation values of a job that is done, shape (samples, points, outputs)."""
        ...

    def usage(self, job_id: str) -> float | None:
        """Return the QPU seconds that a job was charged, or None where that is not known (yet)."""
        ...

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; return False if it had ended already."""
        ...
