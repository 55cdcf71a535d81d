"""A device of IBM Quantum: its account, its calibration, its jobs."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from qiskit.providers import BackendV2

from qiskit_fedqml.backends.broadcast import expectations_of
from qiskit_fedqml.backends.calibration import Calibration, calibration_of
from qiskit_fedqml.backends.devices.machine import (
    BatchClosedError,
    JobStatus,
    MissingError,
    Primitive,
    RateLimitedError,
    UnreachableError,
)
from qiskit_fedqml.backends.devices.watchdog import NoAnswerError, call_within
from qiskit_fedqml.backends.ibm.errors import redacted, translated
from qiskit_fedqml.backends.ibm.primitive import IBMPrimitive
from qiskit_fedqml.config.backends import IBMEntry
from qiskit_fedqml.errors import BackendError

Answer = TypeVar("Answer")

_LOGINS = 3
"""How often an account is tried: a refused key and an identity service that is down look alike."""
_SECONDS_BETWEEN_LOOKS_AT_QUEUE = 60.0
_INTERNAL = 9999
_ERROR_CODE = re.compile(r"Error code (\d+)")


class Memory(Protocol):
    """Facts of a run that outlive its process."""

    def recall(self, name: str) -> str | None:
        """Return a fact, or None."""
        ...

    def remember(self, name: str, value: str) -> str:
        """Keep a fact unless it is kept already; return what is kept."""
        ...


class ServiceMachine:
    """A device of IBM Quantum, with a service object of its own; for one thread at a time.

    Args:
        name: The backend's name.
        entry: Its entry.
        memory: Keeps which device was the least busy one.

    Raises:
        BackendError: There is no such account or device, an option is refused, or the service is out of reach.
    """

    def __init__(self, name: str, entry: IBMEntry, memory: Memory) -> None:
        self._name, self._entry, self._memory = name, entry, memory
        self.primitive: Primitive = IBMPrimitive(entry)
        self._token: str | None = None
        self._service: Any = None
        self._device: Any = None
        self._calibration: Any = None
        self._batch: Any = None
        self._is_together = False
        self._jobs: dict[str, Any] = {}
        self._queue: tuple[float, int | None] = (-np.inf, None)
        self._log_in()

    @property
    def device(self) -> str:
        """The device's name."""
        return str(self._device.name)

    @property
    def account(self) -> str | None:
        """The instance that is charged."""
        return str(self._device._instance) if getattr(self._device, "_instance", None) else "the account"

    @property
    def qiskit_backend(self) -> BackendV2:
        """The device as Qiskit's transpiler knows it."""
        return self._device

    def calibration(self) -> Calibration:
        """Return the calibration that was read last."""
        calibration: Calibration = self._calibration
        return calibration

    def refresh(self) -> None:
        """Read the calibration again."""

        def read() -> Calibration:
            self._device.refresh()
            return calibration_of(self._device)

        self._calibration = self._ask(read)

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
        status = self._ask(lambda: self._device.status())
        later = "the run can be resumed when it is back"
        if not status.operational:
            raise BackendError(f"{self.device} is offline; {later}")
        if status.status_msg != "active":
            raise BackendError(f"{self.device} is paused ({status.status_msg}); {later}")

    def remaining_seconds(self) -> float | None:
        """Return the QPU seconds that the account's instance has left, or None where there is no limit."""
        usage = self._ask(lambda: self._service.usage())
        if usage.get("usage_limit_reached"):
            return 0.0
        remaining = usage.get("usage_remaining_seconds")
        return None if remaining is None else float(remaining)

    def submit(self, pub: Any, tag: str) -> str:
        """Send one PUB as one job."""
        try:
            if self._is_together and self._batch is None:
                self._batch = self._ask(self._open_batch)
            job = self._ask(lambda: self.primitive.estimator(self._batch or self._device, [tag]).run([pub]))
        except BatchClosedError:
            self._batch = None
            raise
        self._jobs[job.job_id()] = job
        return str(job.job_id())

    def find(self, tag: str) -> list[str]:
        """Return the ids of the jobs with a tag, the oldest first, fifty at most."""
        jobs = self._ask(lambda: self._service.jobs(job_tags=[tag], limit=50, descending=False))
        self._jobs |= {job.job_id(): job for job in jobs if job.job_id() not in self._jobs}
        return [str(job.job_id()) for job in jobs]

    def status(self, job_id: str) -> JobStatus:
        """Return how far a job is."""
        try:
            state = self._ask(lambda: str(self._job(job_id).status()))
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
        """Return the expectation values of a job that is done."""
        answer = self._ask(lambda: self._job(job_id).result())
        if answer is None:
            raise UnreachableError("the service has no results yet")
        return expectations_of(answer[0].data.evs)

    def usage(self, job_id: str) -> float | None:
        """Return the QPU seconds that a job was charged, or None where they are not reckoned up yet."""
        usage = self._ask(lambda: self._job(job_id).metrics()).get("usage") or {}
        charged = [usage.get(key) for key in ("qpu_charge_time_seconds", "quantum_seconds")]
        known = [float(seconds) for seconds in charged if seconds is not None]
        return known[0] if known and usage.get("status") != "pending" else None

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; return False if it had ended already."""
        from qiskit_ibm_runtime.exceptions import RuntimeInvalidStateError

        def cancel() -> bool:
            try:
                self._job(job_id).cancel()
            except RuntimeInvalidStateError:
                return False
            return True

        return self._ask(cancel)

    def _log_in(self) -> None:
        """Open the service and the device; a refused account is tried a few times."""
        for attempt in range(1, _LOGINS + 1):
            try:
                self._connect()
                return
            except (UnreachableError, RateLimitedError) as error:
                if attempt == _LOGINS:
                    raise BackendError(f"The service cannot be opened: {error}") from None
                time.sleep(float(attempt))

    def _connect(self) -> None:
        service, device, calibration = self._within(self._open)
        self._service, self._device, self._calibration = service, device, calibration
        self._jobs, self._batch = {}, None

    def _open(self) -> tuple[Any, Any, Calibration]:
        """Return service, device and calibration, with all that the library reads only when it is asked for."""
        from qiskit.providers.exceptions import QiskitBackendNotFoundError
        from qiskit_ibm_runtime import QiskitRuntimeService

        entry = self._entry
        account = {"name": entry.account, "instance": entry.instance, "channel": entry.channel}
        service = QiskitRuntimeService(**{key: value for key, value in account.items() if value is not None})
        self._token = (service.active_account() or {}).get("token")
        try:
            device = self._find_device(service)
        except QiskitBackendNotFoundError as error:  # also where the service cannot list its devices for a moment
            wanted = repr(entry.device) if isinstance(entry.device, str) else entry.device.model_dump_json()
            raise UnreachableError(f"there is no device {wanted}, or the service cannot list it: {error}") from None
        calibration = calibration_of(device)
        _ = device.target
        return service, device, calibration

    def _find_device(self, service: Any) -> Any:
        """Return the entry's device; of the least busy ones the one that the run began with."""
        entry, fact = self._entry, f"device of {self._name}"
        if isinstance(entry.device, str):
            return service.backend(entry.device)
        if kept := self._memory.recall(fact):
            return service.backend(kept)
        wanted = entry.device.least_busy

        def fits(device: Any) -> bool:
            family = (device.configuration().to_dict().get("processor_type") or {}).get("family")
            return wanted.processor is None or family == wanted.processor

        device = service.least_busy(min_num_qubits=wanted.min_qubits, operational=True, simulator=False, filters=fits)
        self._memory.remember(fact, device.name)
        return device

    def _open_batch(self) -> Any:
        from qiskit_ibm_runtime import Batch, Session

        return (Batch if self._entry.mode == "batch" else Session)(backend=self._device)

    def _close_batch(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            # Where that fails it closes by itself, when it has been idle for a while.
            with suppress(UnreachableError, RateLimitedError, BackendError, BatchClosedError):
                self._within(batch.close)

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

        return self._ask(reason)

    def _pending(self) -> int | None:
        """Return how many jobs wait on the device, asked once a minute."""
        asked, pending = self._queue
        if time.monotonic() - asked > _SECONDS_BETWEEN_LOOKS_AT_QUEUE:
            pending = int(self._ask(lambda: self._device.status().pending_jobs))
            self._queue = time.monotonic(), pending
        return pending

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Ask the service; after a request that got no answer the next one begins with a new login."""
        if self._service is None:
            self._connect()
        return self._within(question)

    def _within(self, question: Callable[[], Answer]) -> Answer:
        """Ask for as long as a request may take: the library sets no limit to how long it reads an answer."""

        def ask() -> Answer:
            return call_within(self._entry.waiting.request_seconds, question, f"IBM Quantum: {self._name}")

        try:
            return translated(ask, self._token)
        except NoAnswerError as error:
            _cut_off(self._service)
            self._service, self._jobs, self._batch = None, {}, None
            raise UnreachableError(str(error)) from None


def _cut_off(service: Any) -> None:
    """Let the thread that was left behind with a request send no further one; a job, above all.

    The library has no public way to do that. Where this fails, a job that is sent late is found by its tag.
    """
    from requests.adapters import HTTPAdapter

    class Refusing(HTTPAdapter):
        def send(self, *_: Any, **__: Any) -> Any:
            raise ConnectionError("this connection was given up")

    with suppress(Exception):
        for client in service._get_api_clients().values():
            client._session.mount("https://", Refusing())
            client._session.mount("http://", Refusing())
