"""A provider's backend as a device: its jobs, as far as the provider lets them be found again.

Other providers know no tags. So the ids of a job are written into the journal by the machine itself, at once when the
provider has returned them. Where a process ends while it sends a job, or its jobs cannot be found again by their ids,
nobody knows what became of them; the entry says whether they are then sent once more.
"""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.providers import BackendV2
from qiskit.transpiler import Target

from qiskit_fedqml.backends.devices.answers import read_job_id
from qiskit_fedqml.backends.devices.cost import circuit_seconds
from qiskit_fedqml.backends.devices.machine import (
    JobStatus,
    Memory,
    MissingError,
    Primitive,
    RateLimitedError,
    RunBy,
    UnreachableError,
    UnreadableError,
)
from qiskit_fedqml.backends.ibm.errors import one_line
from qiskit_fedqml.backends.providers.errors import asked, said
from qiskit_fedqml.backends.providers.primitive import ProviderPrimitive
from qiskit_fedqml.config.devices import ProviderEntry
from qiskit_fedqml.errors import BackendError, shortened, shown

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

LOST = "unknown-"
"""How the name of a job begins that may have been accepted, but whose ids are not known; its tag follows."""
_LONGEST_ID = 100
_FINDERS = ("retrieve_job", "restore_job")
"""Methods by which providers find a job again: the usual one, and that of AQT, which needs ``job.persist()`` first."""
_STATES = {
    **dict.fromkeys(("INITIALIZING", "VALIDATING", "QUEUED"), JobStatus("queued")),
    "RUNNING": JobStatus("running"),
    "DONE": JobStatus("done"),
    "ERROR": JobStatus("failed"),
    "CANCELLED": JobStatus("cancelled", "it was cancelled"),
}
"""What the states of Qiskit's jobs mean."""
_ORDER = ("failed", "cancelled", "running", "queued", "done")
"""Which state of several jobs is that of all of them: the first that one has."""
_AGAIN = "it may have been charged, and is sent again when the run is resumed"


class _LostError(Exception):
    """A job cannot be found again."""


class ProviderMachine:
    """A backend of any provider; for one thread at a time.

    Args:
        entry: Its entry.
        backend: The backend.
        primitive: Sends PUBs to it, and reads its results.
        memory: Keeps the ids of jobs.
    """

    simulator: RunBy = "provider"
    seconds_per_job = 0.0
    reports_charges = False

    def __init__(self, entry: ProviderEntry, backend: BackendV2, primitive: ProviderPrimitive, memory: Memory) -> None:
        self._entry, self._backend, self._memory = entry, backend, memory
        self.primitive: Primitive = primitive
        self._sender = primitive
        self._jobs: dict[str, Sequence[Any]] = {}

    @property
    def device(self) -> str:
        """The backend's name."""
        return str(self._backend.name or type(self._backend).__name__)

    @property
    def account(self) -> str | None:
        """The provider's package."""
        return type(self._backend).__module__.partition(".")[0]

    @property
    def qiskit_backend(self) -> BackendV2:
        """The backend."""
        return self._backend

    def calibration(self) -> None:
        """Return None: there is no calibration in IBM's format. What the backend's target states counts."""

    def refresh(self) -> None:
        """Do nothing: a backend's target stays."""

    def circuit_seconds(self, circuit: QuantumCircuit, measured: Sequence[int], target: Target) -> float | None:
        """Return the length of a transpiled circuit with its measurement; None where durations are not stated."""
        try:
            return circuit_seconds(circuit, measured, target)
        except BackendError:
            return None

    @contextmanager
    def together(self) -> Iterator[None]:
        """Forget the jobs afterwards, whose results have been read."""
        yield
        self._jobs.clear()

    def check_ready(self) -> None:
        """Do nothing: no question is known that all providers answer."""

    def remaining_seconds(self) -> float | None:
        """Return None: nobody says what an account has left."""
        return None

    def submit(self, pub: Any, tag: str, shots: int | None = None) -> str:
        """Send one PUB, as one job of the provider or as several; return one name for all of them."""
        attempt = next(n for n in range(1_000_000) if self._memory.recall(f"sending {tag} {n}") is None)
        self._memory.remember(f"sending {tag} {attempt}", "")
        jobs: list[Any] = []
        try:
            reading = asked(self.device, "run a job", lambda: self._sender.send(pub, jobs.append, shots))
            ids = asked(self.device, "name a job", lambda: [self._id(job) for job in jobs])
        except (BackendError, RateLimitedError, UnreachableError) as error:
            if jobs:
                self._give_up(jobs)
                self._memory.remember(
                    f"partly {tag}", f"{len(jobs)} parts of it were taken and then cancelled: {error}"
                )
            elif not isinstance(error, UnreachableError):
                self._memory.remember(f"refused {tag} {attempt}", str(error))
            raise
        name = _name(ids)
        self._memory.remember(f"job {name}", json.dumps({"ids": ids, "reading": reading}))
        self._memory.remember(f"sent {tag}", name)
        self._jobs[name] = jobs
        return name

    def find(self, tag: str) -> list[str]:
        """Return the job with a tag, also where it may have been accepted, but was never heard of again."""
        if (name := self._memory.recall(f"sent {tag}")) is not None:
            return [name]
        attempt = 0
        while self._memory.recall(f"sending {tag} {attempt}") is not None:
            if self._memory.recall(f"refused {tag} {attempt}") is None:
                return [f"{LOST}{tag}"]
            attempt += 1
        return []

    def status(self, job_id: str) -> JobStatus:
        """Return how far a job is."""
        try:
            jobs = self._found(job_id)
        except _LostError as error:
            return JobStatus("failed", str(error), is_internal=self._entry.on_lost_job == "resubmit")
        found = [(self._status(job), job) for job in jobs]
        status, job = min(found, key=lambda pair: _ORDER.index(pair[0].state))
        return replace(status, reason=self._reason(job)) if status.state == "failed" else status

    def result(self, job_id: str) -> NDArray[np.float64]:
        """Return the expectation values of a job that is done, shape (samples, points, outputs)."""
        try:
            jobs = self._found(job_id)
        except _LostError as error:
            raise MissingError(str(error)) from None
        try:
            results = self._ask("give a job's results", lambda: self._sender.results(jobs))
        except BackendError as error:
            raise MissingError(str(error).rstrip(".")) from None
        return self._sender.expectations(results, self._facts(job_id)["reading"])

    def usage(self, job_id: str) -> float | None:
        """Return None: no provider but IBM says it in QPU seconds."""
        return None

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; return False if it had ended already."""
        try:
            jobs = self._found(job_id)
        except _LostError as error:
            raise BackendError(f"it cannot be cancelled: {error}.") from None
        alive = [job for job in jobs if self._status(job).state in ("queued", "running")]
        for job in alive:
            self._ask("cancel a job", job.cancel)
        return bool(alive)

    def _give_up(self, jobs: Sequence[Any]) -> None:
        """Cancel what was accepted of a job that was not accepted whole."""
        for job in jobs:
            with suppress(BackendError, UnreachableError, RateLimitedError):
                self._ask("cancel a job", job.cancel)
        logger.warning("%s took %d parts of a job, but not all; they were cancelled", self.device, len(jobs))

    def _id(self, job: Any) -> str:
        """Return a job's id; a job that its provider finds only if it was kept is kept."""
        finder = self._sender.finder
        if hasattr(finder, "restore_job") and not hasattr(finder, "retrieve_job") and hasattr(job, "persist"):
            job.persist()
        return read_job_id(job.job_id())

    def _found(self, name: str) -> Sequence[Any]:
        """Return the provider's jobs of a name, found again by their ids where another process has sent them."""
        if name.startswith(LOST):
            if partly := self._memory.recall(f"partly {name.removeprefix(LOST)}"):
                raise _LostError(f"{partly.rstrip('.')}; {_AGAIN}")
            raise _LostError(
                f"the process ended, or the connection broke, while {self.device} was asked to run it, so that nobody "
                f"knows whether it was accepted: look at the provider's own list of jobs; {_AGAIN}"
            )
        if name not in self._jobs:
            finder = self._sender.finder
            method = next((found for one in _FINDERS if (found := getattr(finder, one, None))), None)
            if method is None:
                raise _LostError(
                    f"the process that sent it has ended, and {type(finder).__name__} has no method retrieve_job that "
                    f"finds its jobs again; {_AGAIN}"
                )
            ids = self._facts(name)["ids"]
            try:
                self._jobs[name] = self._ask("find a job again", lambda: [method(id) for id in ids])
            except BackendError as error:
                raise _LostError(f"{str(error).rstrip('.')}; {_AGAIN}") from None
        return self._jobs[name]

    def _facts(self, name: str) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self._memory.recall(f"job {name}") or '{"ids": [], "reading": {}}')
        return facts

    def _status(self, job: Any) -> JobStatus:
        status = self._ask("report a job's state", job.status)
        name = str(getattr(status, "name", status)).upper()  # of one of Qiskit's states, or a text
        if name not in _STATES:
            raise UnreadableError(f"{self.device} reports a job's state that is none: {shown(name)}")
        return _STATES[name]

    def _reason(self, job: Any) -> str:
        """Return why a job failed, which most providers say by raising."""
        try:
            if callable(message := getattr(job, "error_message", None)) and (text := message()):
                return one_line(str(text)).rstrip(".")
            job.result()
        except Exception as error:
            return said(error)
        return "the provider does not say why"

    def _ask(self, what: str, question: Callable[[], Answer]) -> Answer:
        return asked(self.device, what, question, self._entry.waiting.request_seconds)


def _name(ids: Sequence[str]) -> str:
    """Return one name for all of a provider's jobs; Amazon's ids of many tasks are already joined."""
    first, *more = [part for id in ids for part in id.split(";")]
    return f"{shortened(first, _LONGEST_ID)}{f' and {len(more):,} more' if more else ''}"
