"""A device of IBM Quantum: its account, its calibration, its jobs."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives import BaseEstimatorV2
from qiskit.providers import BackendV2

from qiskit_fedqml.backends.base import expectations_of
from qiskit_fedqml.backends.calibration import Calibration, calibration_of
from qiskit_fedqml.backends.cost import DEFAULT_REP_DELAY_SECONDS
from qiskit_fedqml.backends.entries import IBMEntry
from qiskit_fedqml.backends.ibm.errors import redacted, translated
from qiskit_fedqml.backends.ibm.primitive import Primitive
from qiskit_fedqml.backends.machine import (
    BatchClosedError,
    JobStatus,
    RateLimitedError,
    UnreachableError,
)
from qiskit_fedqml.backends.watchdog import call_within
from qiskit_fedqml.errors import BackendError

Answer = TypeVar("Answer")

_LOGINS = 3
"""How often an account is tried: a refused key and an identity service that is down look alike."""
_SECONDS_BETWEEN_LOOKS_AT_QUEUE = 60.0
_INTERNAL = 9999
_ERROR_CODE = re.compile(r"Error code (\d+)")


class ServiceMachine:
    """A device of IBM Quantum, with a service object of its own.

    Args:
        name: The backend's name.
        entry: Its entry.
        primitive: Makes estimators.
        remember: Keeps a fact of the run unless one is kept already, and returns what is kept.

    Raises:
        BackendError: There is no such account or device, or the service is out of reach.
    """

    def __init__(self, name: str, entry: IBMEntry, primitive: Primitive, remember: Callable[[str, str], str]) -> None:
        self._name, self._entry, self._primitive, self._remember = name, entry, primitive, remember
        self._token: str | None = None
        self._service: Any = None
        self._device: Any = None
        self._batch: Any = None
        self._is_together = False
        self._jobs: dict[str, Any] = {}
        self._looked_at_queue: dict[str, tuple[float, int | None]] = {}
        self._log_in()

    @property
    def device(self) -> str:
        """The device's name."""
        return str(self._device.name)

    @property
    def qiskit_backend(self) -> BackendV2:
        """The device as Qiskit's transpiler knows it."""
        return self._device

    @property
    def rep_delay_seconds(self) -> float:
        """The time between two executions: the option's, or the device's own."""
        own = getattr(self._device.configuration(), "default_rep_delay", None) or DEFAULT_REP_DELAY_SECONDS
        return float(self._entry.options.get("execution", {}).get("rep_delay") or own)

    @property
    def measures_all_qubits(self) -> bool:
        """Whether all qubits are measured: so does the executor."""
        return self._primitive.is_executor

    def calibration(self) -> Calibration:
        """Return the calibration that was read last."""
        return calibration_of(self._device)

    def refresh(self) -> None:
        """Read the calibration again."""
        self._bounded(lambda: self._device.refresh())

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send the jobs inside as one batch or session, which is opened with the first of them."""
        self._is_together = self._entry.mode != "job"
        try:
            yield
        finally:
            self._is_together = False
            self._close_batch()

    def estimator(self) -> BaseEstimatorV2:
        """Return the estimator by which jobs are made."""
        return self._primitive.estimator(self._device, [])

    def size(self, pub: Any, circuits: int) -> tuple[int, int]:
        """Return circuits and executions of a PUB."""
        return self._primitive.size(pub, circuits, self._device)

    def payload_bytes(self, pub: Any) -> int:
        """Return the size of a PUB as it is sent."""
        return self._primitive.payload_bytes(pub, self._device)

    def check_ready(self) -> None:
        """Raise BackendError if the device is offline or paused: its jobs would be accepted and wait."""
        status = self._bounded(lambda: self._device.status())
        if not status.operational:
            raise BackendError(f"{self.device} is offline; the run can be resumed when it is back.")
        if status.status_msg != "active":
            raise BackendError(
                f"{self.device} is paused ({status.status_msg}); the run can be resumed when it is back."
            )

    def remaining_seconds(self) -> float | None:
        """Return the QPU seconds that the account's instance has left, or None where there is no limit."""
        usage = self._bounded(lambda: self._service.usage())
        remaining = usage.get("usage_remaining_seconds")
        if usage.get("usage_limit_reached"):
            return 0.0
        return None if remaining is None else float(remaining)

    def submit(self, pub: Any, tag: str) -> str:
        """Send one PUB as one job."""

        def send() -> Any:
            if self._is_together and self._batch is None:
                self._batch = self._open_batch()
            return self._primitive.estimator(self._batch or self._device, [tag]).run([pub])

        try:
            job = self._bounded(send)
        except BatchClosedError:
            self._batch = None
            raise
        self._jobs[job.job_id()] = job
        return str(job.job_id())

    def find(self, tag: str) -> list[str]:
        """Return the ids of all jobs with a tag, the oldest first."""
        jobs = self._bounded(lambda: self._service.jobs(job_tags=[tag], limit=50, descending=False))
        self._jobs |= {job.job_id(): job for job in jobs if job.job_id() not in self._jobs}
        return [str(job.job_id()) for job in jobs]

    def status(self, job_id: str) -> JobStatus:
        """Return how far a job is."""
        state = self._bounded(lambda: self._job(job_id).status())
        if state == "DONE":
            return JobStatus("done")
        if state == "CANCELLED":
            return JobStatus("cancelled", "it was cancelled")
        if state == "ERROR":
            return self._failure(job_id)
        return JobStatus("running") if state == "RUNNING" else JobStatus("queued", pending=self._pending(job_id))

    def result(self, job_id: str) -> NDArray[np.float64]:
        """Return the expectation values of a job that is done."""
        answer = self._bounded(lambda: self._job(job_id).result())
        if answer is None:
            raise UnreachableError("the service has no results yet")
        return expectations_of(answer[0].data.evs)

    def usage(self, job_id: str) -> float | None:
        """Return the QPU seconds that a job was charged, or None where they are not reckoned up yet."""
        usage = self._bounded(lambda: self._job(job_id).metrics()).get("usage") or {}
        seconds = usage.get("qpu_charge_time_seconds", usage.get("quantum_seconds"))
        return None if seconds is None or usage.get("status") == "pending" else float(seconds)

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; return False if it had ended already."""
        from qiskit_ibm_runtime.exceptions import RuntimeInvalidStateError

        def cancel() -> bool:
            try:
                self._job(job_id).cancel()
            except RuntimeInvalidStateError:
                return False
            return True

        return self._bounded(cancel)

    def _log_in(self) -> None:
        """Open the service and the device; a refused account is tried a few times."""
        for attempt in range(1, _LOGINS + 1):
            try:
                self._service, self._device = self._within(self._open)
                self._jobs, self._batch = {}, None
                return
            except UnreachableError as error:
                if attempt == _LOGINS:
                    raise BackendError(f"The service cannot be opened: {error}") from None
                time.sleep(float(attempt))

    def _open(self) -> tuple[Any, Any]:
        from qiskit.providers.exceptions import QiskitBackendNotFoundError
        from qiskit_ibm_runtime import QiskitRuntimeService

        entry = self._entry
        account = {"name": entry.account, "instance": entry.instance, "channel": entry.channel}
        service = QiskitRuntimeService(**{key: value for key, value in account.items() if value is not None})
        self._token = (service.active_account() or {}).get("token")
        try:
            return service, self._find_device(service)
        except QiskitBackendNotFoundError as error:  # also where the service cannot list its devices for a moment
            wanted = repr(entry.device) if isinstance(entry.device, str) else entry.device.model_dump_json()
            raise UnreachableError(f"there is no device {wanted}, or the service cannot list it: {error}") from None

    def _find_device(self, service: Any) -> Any:
        entry = self._entry
        if isinstance(entry.device, str):
            return service.backend(entry.device)
        wanted = entry.device.least_busy

        def fits(device: Any) -> bool:
            family = (device.configuration().to_dict().get("processor_type") or {}).get("family")
            return wanted.processor is None or family == wanted.processor

        device = service.least_busy(min_num_qubits=wanted.min_qubits, operational=True, simulator=False, filters=fits)
        kept = self._remember(f"device of {self._name}", device.name)
        return device if kept == device.name else service.backend(kept)

    def _open_batch(self) -> Any:
        from qiskit_ibm_runtime import Batch, Session

        return (Batch if self._entry.mode == "batch" else Session)(backend=self._device)

    def _close_batch(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            # Where that fails it closes by itself, when it has been idle for a while.
            with suppress(UnreachableError, RateLimitedError, BackendError, BatchClosedError):
                self._bounded(batch.close)

    def _job(self, job_id: str) -> Any:
        if job_id not in self._jobs:
            self._jobs[job_id] = self._service.job(job_id)
        return self._jobs[job_id]

    def _failure(self, job_id: str) -> JobStatus:
        """Return why a job failed, as the library tells it: by raising."""
        from qiskit_ibm_runtime.exceptions import RuntimeJobFailureError, RuntimeJobMaxTimeoutError

        def reason() -> JobStatus:
            try:
                self._job(job_id).result()
            except RuntimeJobMaxTimeoutError as error:
                return JobStatus("too long", redacted(error.message, self._token))
            except RuntimeJobFailureError as error:
                text = redacted(error.message, self._token)
                code = _ERROR_CODE.search(text)
                return JobStatus("failed", text, is_internal=code is not None and int(code[1]) == _INTERNAL)
            return JobStatus("done")

        return self._bounded(reason)

    def _pending(self, job_id: str) -> int | None:
        """Return how many jobs wait on the device, asked once a minute."""
        now = time.monotonic()
        asked, pending = self._looked_at_queue.get(job_id, (-np.inf, None))
        if now - asked > _SECONDS_BETWEEN_LOOKS_AT_QUEUE:
            pending = int(self._bounded(lambda: self._device.status().pending_jobs))
            self._looked_at_queue[job_id] = now, pending
        return pending

    def _bounded(self, question: Callable[[], Answer]) -> Answer:
        """Ask the service; after a request that got no answer the next one begins with a new login."""
        if self._service is None:
            self._service, self._device = self._within(self._open)
        return self._within(question)

    def _within(self, question: Callable[[], Answer]) -> Answer:
        """Ask for as long as a request may take: the library sets no limit to how long it reads an answer."""
        with translated(self._token):
            try:
                return call_within(self._entry.waiting.request_seconds, question, f"IBM Quantum: {self._name}")
            except TimeoutError as error:
                self._service, self._jobs, self._batch = None, {}, None
                raise UnreachableError(str(error)) from None
