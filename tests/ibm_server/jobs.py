"""Jobs: accepting, running, listing and cancelling them."""

import hashlib
import json
import traceback
import uuid
from collections import Counter
from datetime import UTC, datetime
from threading import Event, RLock

from qiskit_ibm_runtime import RuntimeDecoder

from tests.ibm_server.programs import PROGRAMS

FINAL = {"Completed", "Failed", "Cancelled"}
RAN_TOO_LONG = 1305


class Job:
    """A job that the server accepted.

    Attributes:
        state: "Queued", "Running", "Completed", "Failed" or "Cancelled".
        payload_bytes: The length of the submission's body.
        charged_seconds: QPU seconds charged so far; `quantum_seconds` is what the whole job takes.
        results_read: How many times the results were delivered whole.
    """

    def __init__(self, body: bytes, device, posts: Counter):
        data = json.loads(body)
        self.id = uuid.uuid4().hex[:20]
        self.backend, self.program_id = data["backend"], data["program_id"]
        self.tags, self.session_id = list(data.get("tags", [])), data.get("session_id")
        self.max_execution_seconds, self.private = data.get("cost"), data.get("private", False)
        self.raw_params = data["params"]
        self.created, self.running, self.finished = _now(), None, None
        self.state, self.reason, self.reason_code = "Queued", None, None
        self.result: str | None = None
        self.payload_bytes, self.results_read, self.charged_seconds = len(body), 0, 0.0
        self.ended = Event()
        self.lock = RLock()
        self._program, self._quantum_seconds = None, None
        self._device, self._posts, self._digest = device, posts, hashlib.sha256(body).digest()

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.program_id} on {self.backend}: {self.state}>"

    @property
    def final(self) -> bool:
        return self.state in FINAL

    @property
    def posts(self) -> int:
        """How many submissions with exactly this body have arrived, refused and repeated ones included."""
        return self._posts[self._digest]

    @property
    def params(self) -> dict:
        """The parameters, decoded by the client library's decoder."""
        return json.loads(json.dumps(self.raw_params), cls=RuntimeDecoder)

    @property
    def program(self):
        """The program that the parameters describe."""
        with self.lock:
            if self._program is None:
                self._program = PROGRAMS[self.program_id](self.raw_params)
            return self._program

    @property
    def pubs(self) -> int:
        return self.program.pubs

    @property
    def circuits(self) -> int:
        """The number of circuits with bound parameters."""
        return self.program.circuits

    @property
    def executions(self) -> int:
        """Circuits times shots."""
        return self.program.executions

    @property
    def quantum_seconds(self) -> float:
        """The QPU time that the whole job takes."""
        with self.lock:
            if self._quantum_seconds is None:
                self._quantum_seconds = self._device.quantum_seconds(self.program)
            return self._quantum_seconds

    def end(self, state: str, reason: str | None = None, code: int | None = None, result: str | None = None) -> bool:
        """Bring the job to a final state; False where it is in one already."""
        with self.lock:
            if self.final:
                return False
            self.reason, self.reason_code, self.result, self.finished = reason, code, result, _now()
            self.state = state
        self.ended.set()
        return True

    def answer(self, with_params: bool = False) -> dict:
        """Return the body of GET /jobs/{id}."""
        with self.lock:
            state = {"status": self.state}
            if self.reason is not None:
                state |= {"reason": self.reason, "reasonCode": self.reason_code}
        body = {"id": self.id, "backend": self.backend, "state": state, "status": state["status"], "tags": self.tags}
        body |= {"program": {"id": self.program_id}, "created": self.created, "private": self.private}
        body |= {"session_id": self.session_id, "cost": self.max_execution_seconds}
        try:
            body["estimated_running_time_seconds"] = self.quantum_seconds
        except Exception:  # the job itself fails with this error's text
            body["estimated_running_time_seconds"] = None
        return body | {"params": self.raw_params} if with_params else body

    def metrics(self, pending: bool) -> dict:
        """Return the body of GET /jobs/{id}/metrics."""
        times = {"created": self.created, "running": self.running, "finished": self.finished}
        usage: dict = {"status": "pending"}
        if self.final and not pending:
            charged = self.charged_seconds
            usage = {"status": "complete", "quantum_seconds": charged, "qpu_charge_time_seconds": charged}
        return {"timestamps": times, "usage": usage}


class JobStore:
    """All jobs of a server, in order of acceptance."""

    def __init__(self, usage, faults):
        self.jobs: list[Job] = []
        self.posts: Counter = Counter()
        self._usage, self._faults = usage, faults

    def note_post(self, body: bytes) -> None:
        """Count a submission, whatever becomes of it."""
        self.posts[hashlib.sha256(body).digest()] += 1

    def accept(self, body: bytes, device) -> Job:
        """Put a new job into its device's queue."""
        job = Job(body, device, self.posts)
        self.jobs.append(job)
        device.submit(job)
        return job

    def find(self, job_id: str) -> Job | None:
        """Return a job by its id."""
        return next((job for job in list(self.jobs) if job.id == job_id), None)

    def select(self, request) -> dict:
        """Answer GET /jobs: the jobs that the query asks for, the newest first."""
        chosen = [job for job in list(self.jobs) if _matches(job, request)]
        if request.parameter("sort") != "ASC":
            chosen.reverse()
        start = int(request.parameter("offset", "0"))
        limit = int(request.parameter("limit", "200"))
        page = chosen[start : start + limit]
        return {"jobs": [job.answer() for job in page], "count": len(chosen), "limit": limit, "offset": start}

    def run(self, job: Job, device) -> None:
        """Carry a job out, in the thread of its device."""
        with job.lock:
            if job.final:
                return
            job.state, job.running = "Running", _now()
        job.ended.wait(device.run_seconds)
        try:
            self._carry_out(job, device)
        except Exception as error:
            job.end("Failed", f"{type(error).__name__}: {error}", 9999, traceback.format_exc())

    def _carry_out(self, job: Job, device) -> None:
        if failure := self._faults.take_failure():
            job.end("Failed", *failure, result=f"Traceback of the failed job: {failure[0]}")
        elif job.max_execution_seconds and job.max_execution_seconds < job.quantum_seconds:
            self._charge(job, job.max_execution_seconds)
            job.end("Cancelled", "Job exceeded its maximum execution time.", RAN_TOO_LONG)
        elif not job.final:
            result = device.simulate(job.program)
            with job.lock:
                if not job.final:
                    self._charge(job, job.quantum_seconds)
                    job.end("Completed", result=result)

    def _charge(self, job: Job, seconds: float) -> None:
        job.charged_seconds = seconds
        self._usage.charge(seconds)


def _matches(job: Job, request) -> bool:
    wanted = request.parameter
    pending = wanted("pending")
    return (
        set(request.query.get("tags", [])) <= set(job.tags)
        and wanted("backend", job.backend) == job.backend
        and wanted("program", job.program_id) == job.program_id
        and wanted("session_id", job.session_id) == job.session_id
        and (pending is None or (pending == "true") != job.final)
        and wanted("created_after", "") <= job.created <= wanted("created_before", "9")
    )


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
