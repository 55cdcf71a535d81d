"""A device of IBM Quantum: its calibration, its batches, its jobs."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.providers import BackendV2

from qiskit_fedqml.backends.broadcast import UnshiftedPub
from qiskit_fedqml.backends.calibration import Calibration, refreshed_calibration
from qiskit_fedqml.backends.devices.answers import read_job_id, read_seconds
from qiskit_fedqml.backends.devices.cost import SECONDS_PER_JOB, circuit_seconds
from qiskit_fedqml.backends.devices.machine import (
    BatchClosedError,
    JobStatus,
    Memory,
    MissingError,
    Primitive,
    RateLimitedError,
    RunBy,
    UnreachableError,
    UnreadableError,
)
from qiskit_fedqml.backends.ibm.connection import Connection
from qiskit_fedqml.backends.ibm.errors import one_line
from qiskit_fedqml.backends.ibm.extrapolation import as_sent, read_mitigated
from qiskit_fedqml.backends.ibm.primitive import IBMPrimitive
from qiskit_fedqml.config.devices import IBMEntry
from qiskit_fedqml.errors import BackendError

_SECONDS_BETWEEN_LOOKS_AT_QUEUE = 60.0
_INTERNAL = 9999
_ERROR_CODE = re.compile(r"Error code (\d+)")


class ServiceMachine:
    """A device of IBM Quantum, with a login of its own; for one thread at a time.

    Whatever reads an answer is inside the question, so that an answer that cannot be read is asked for again.

    Args:
        name: The backend's name.
        entry: Its entry.
        memory: Keeps which device was the least busy one.

    Raises:
        BackendError: There is no such account or device, an option is refused, or the service is out of reach.
    """

    simulator: RunBy = "ibm"
    seconds_per_job = SECONDS_PER_JOB
    reports_charges = True
    circuit_seconds = staticmethod(circuit_seconds)

    def __init__(self, name: str, entry: IBMEntry, memory: Memory) -> None:
        self._entry = entry
        self.primitive: Primitive = IBMPrimitive(entry)
        self._batch: Any = None
        self._batch_id: str | None = None
        self._is_together = False
        self._jobs: dict[str, Any] = {}
        self._queue: tuple[float, int | None] = (-np.inf, None)
        self._connection = Connection(name, entry, memory, self._forget)

    def _forget(self) -> None:
        """Forget objects of an earlier login; an open batch is found again by its id."""
        self._jobs, self._batch = {}, None

    @property
    def device(self) -> str:
        """The device's name."""
        return str(self._connection.device.name)

    @property
    def account(self) -> str | None:
        """The instance that is charged."""
        return str(getattr(self._connection.device, "_instance", None) or "the account")

    @property
    def qiskit_backend(self) -> BackendV2:
        """The device as Qiskit's transpiler knows it."""
        return self._connection.device

    def calibration(self) -> Calibration:
        """Return the calibration that was read last."""
        calibration: Calibration = self._connection.calibration
        return calibration

    def refresh(self) -> None:
        """Read the calibration again."""

        def read() -> Calibration:
            return refreshed_calibration(self._connection.device)

        self._connection.calibration = self._connection.ask("read the calibration", read)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send the jobs inside as one batch or session, which is opened with the first of them."""
        self._is_together = self._entry.mode != "job"
        try:
            yield
        finally:
            self._is_together = False
            self._close_batch()
            self._jobs.clear()

    def check_ready(self) -> None:
        """Raise BackendError if the device is offline or paused: its jobs would be accepted and wait."""

        def ask() -> tuple[bool, str]:
            status = self._connection.device.status()
            if not status.status_msg:  # the library makes an offline device of an empty answer
                raise UnreadableError("the service does not say what state the device is in")
            return bool(status.operational), str(status.status_msg)

        is_operational, message = self._connection.ask("report the device's status", ask)
        later = "the run can be resumed when it is back."
        if not is_operational:
            raise BackendError(f"{self.device} is offline; {later}")
        if message != "active":
            raise BackendError(f"{self.device} is paused ({one_line(message)}); {later}")

    def remaining_seconds(self) -> float | None:
        """Return the QPU seconds that the account's instance has left, or None where there is no limit."""

        def ask() -> float | None:
            usage = self._connection.service.usage()
            if usage.get("usage_limit_reached"):
                return 0.0
            remaining = usage.get("usage_remaining_seconds")
            return None if remaining is None else read_seconds(remaining)

        return self._connection.ask("report what the account has left", ask)

    def submit(self, pub: Any, tag: str, shots: int | None = None) -> str:
        """Send one PUB as one job."""

        def send() -> Any:
            mode = self._batch if self._is_together else self._connection.device
            extrapolates = isinstance(pub, UnshiftedPub)
            estimator = self.primitive.estimator(mode, [tag], shots=shots, extrapolates=extrapolates)
            job = estimator.run([as_sent(pub, self._entry.mitigation)])
            return read_job_id(job.job_id()), job

        try:
            if self._is_together:
                self._connection.ask("open a batch or session", self._open_batch)
            job_id, job = self._connection.send("run a job", send)
        except (BatchClosedError, MissingError) as error:
            self._batch = self._batch_id = None
            raise BatchClosedError(str(error)) from None
        self._jobs[job_id] = job
        return str(job_id)

    def find(self, tag: str) -> list[str]:
        """Return the ids of the jobs with a tag, the oldest first, fifty at most."""

        def ask() -> dict[str, Any]:
            jobs = self._connection.service.jobs(job_tags=[tag], limit=50, descending=False)
            return {read_job_id(job.job_id()): job for job in jobs if not job.tags or tag in job.tags}

        found = self._connection.ask("list jobs", ask)
        self._jobs = found | self._jobs
        return list(found)

    def status(self, job_id: str) -> JobStatus:
        """Return how far a job is."""
        try:
            state = self._connection.ask("report a job's state", lambda: str(self._job(job_id).status()))
        except MissingError as error:
            return JobStatus("failed", f"it was deleted ({error})")
        match state:
            case "DONE":
                return JobStatus("done")
            case "CANCELLED":
                return JobStatus("cancelled", "it was cancelled")
            case "ERROR":
                return self._failure(job_id)
            case "RUNNING":
                return JobStatus("running")
        return JobStatus("queued", pending=self._pending())

    def result(self, job_id: str) -> NDArray[np.float64]:
        """Return the expectation values of a job that is done, shape (samples, points, outputs)."""

        def ask() -> NDArray[np.float64]:
            answer = self._job(job_id).result()
            if answer is None:
                raise UnreachableError("the service has no results yet")
            return read_mitigated(answer, self._entry.mitigation)

        return self._connection.ask("give a job's results", ask)

    def usage(self, job_id: str) -> float | None:
        """Return the QPU seconds that a job was charged, or None where they are not known yet."""

        def ask() -> float | None:
            usage = self._job(job_id).metrics().get("usage") or {}
            charged = [usage.get(key) for key in ("qpu_charge_time_seconds", "quantum_seconds")]
            known = [read_seconds(seconds) for seconds in charged if seconds is not None]
            return known[0] if known and usage.get("status") != "pending" else None

        return self._connection.ask("report a job's charge", ask)

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; return False if it had ended already."""
        from qiskit_ibm_runtime.exceptions import RuntimeInvalidStateError

        def cancel() -> bool:
            try:
                self._job(job_id).cancel()
            except RuntimeInvalidStateError:
                return False
            return True

        return self._connection.ask("cancel a job", cancel)

    def _open_batch(self) -> None:
        """Open a batch or session, or find the open one after a new login."""
        from qiskit_ibm_runtime import Batch, Session

        kind = Batch if self._entry.mode == "batch" else Session
        if self._batch is None and self._batch_id is not None:
            self._batch = kind.from_id(self._batch_id, self._connection.service)
        if self._batch is None:
            self._batch = kind(backend=self._connection.device)
            self._batch_id = self._batch.session_id

    def _close_batch(self) -> None:
        if self._batch_id is None:
            return

        def close() -> None:
            self._open_batch()
            self._batch.close()

        # Where that fails it closes by itself, when it has been idle for a while.
        with suppress(UnreachableError, RateLimitedError, BackendError, BatchClosedError):
            self._connection.ask("close a batch or session", close)
        self._batch = self._batch_id = None

    def _job(self, job_id: str) -> Any:
        if job_id not in self._jobs:
            self._jobs[job_id] = self._connection.service.job(job_id)
        return self._jobs[job_id]

    def _failure(self, job_id: str) -> JobStatus:
        """Return why a job failed, which the library says by raising."""
        from qiskit_ibm_runtime.exceptions import RuntimeJobFailureError, RuntimeJobMaxTimeoutError

        token = self._connection.token

        def reason() -> JobStatus:
            try:
                self._job(job_id).result()
            except RuntimeJobMaxTimeoutError as error:
                return JobStatus("too long", one_line(error.message, token))
            except RuntimeJobFailureError as error:
                text = one_line(error.message, token)
                code = _ERROR_CODE.search(text)
                return JobStatus("failed", text, is_internal=code is not None and int(code[1]) == _INTERNAL)
            return JobStatus("done")

        return self._connection.ask("report why a job failed", reason)

    def _pending(self) -> int | None:
        """Return how many jobs wait on the device, asked once a minute; None where that is not known."""
        asked, pending = self._queue
        if time.monotonic() - asked > _SECONDS_BETWEEN_LOOKS_AT_QUEUE:
            with suppress(UnreachableError, RateLimitedError, BackendError):
                pending = self._connection.ask(
                    "report the device's queue", lambda: int(self._connection.device.status().pending_jobs)
                )
            self._queue = time.monotonic(), pending
        return pending
