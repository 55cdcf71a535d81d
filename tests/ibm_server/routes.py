"""The API's endpoints."""

import re

from tests.ibm_server.answers import Answer, Request, refusal
from tests.ibm_server.programs import PROGRAMS
from tests.ibm_server.sessions import Session


class Routes:
    """The endpoints of one server."""

    def __init__(self, server):
        self._server = server
        table = {
            "GET /backends": self._list_devices,
            "GET /backends/([^/]+)/(configuration|properties|status)": self._describe_device,
            "GET /instances/usage": lambda request: Answer(200, server.usage.answer()),
            "POST /jobs": self._submit,
            "GET /jobs": lambda request: Answer(200, server.store.select(request)),
            "GET /jobs/([^/]+)": self._job,
            "DELETE /jobs/([^/]+)": self._delete_job,
            "GET /jobs/([^/]+)/results": self._results,
            "GET /jobs/([^/]+)/metrics": self._metrics,
            "GET /jobs/([^/]+)/logs": self._logs,
            "POST /jobs/([^/]+)/cancel": self._cancel,
            "PUT /jobs/([^/]+)/tags": self._change_tags,
            "POST /sessions": self._open_session,
            "GET /sessions/([^/]+)": self._session,
            "PATCH /sessions/([^/]+)": self._stop_session,
            "DELETE /sessions/([^/]+)/close": self._close_session,
        }
        self._table = [(re.compile(route), function) for route, function in table.items()]

    def answer(self, request: Request) -> Answer:
        """Carry a request out."""
        account, name = self._server.account, f"{request.method} {request.path}"
        if name == "POST /identity/token":
            return account.issue_token(request)
        if name == "POST /v3/resources/search":
            return account.list_instances(request)
        if name.startswith("GET /catalog/"):
            return account.describe_plan(request)
        if refused := account.check(request):
            return refused
        for route, function in self._table:
            if found := route.fullmatch(name):
                try:
                    return function(request, *found.groups())
                except _NotFoundError as error:
                    return refusal(404, *error.args)
        return refusal(404, 1000, f"There is no endpoint {name}.")

    def _list_devices(self, request: Request) -> Answer:
        return Answer(200, {"devices": [device.list_entry() for device in self._server.devices.values()]})

    def _describe_device(self, request: Request, name: str, what: str) -> Answer:
        device = self._server.devices.get(name)
        if device is None:
            raise _NotFoundError(1007, f"Backend {name} not found.")
        return Answer(200, getattr(device, f"{what}_answer")())

    def _submit(self, request: Request) -> Answer:
        data = request.data
        if data.get("program_id") not in PROGRAMS or "params" not in data:
            return refusal(400, 1201, f"Argument `program_id` must be one of {sorted(PROGRAMS)}, with `params`.")
        device = self._server.devices.get(data.get("backend"))
        if device is None:
            return refusal(400, 1007, f"Backend {data.get('backend')} not found.")
        session = None
        if data.get("session_id") is not None:
            session = self._find_session(data["session_id"])
            if not session.accepting_jobs:
                return refusal(400, 1217, "Session has been closed.")
        job = self._server.store.accept(request.body, device)
        if session is not None:
            session.jobs.append(job)
        return Answer(200, {"id": job.id, "backend": job.backend, "session_id": job.session_id})

    def _job(self, request: Request, job_id: str) -> Answer:
        with_params = request.parameter("exclude_params") != "true"
        return Answer(200, self._find_job(job_id).answer(with_params))

    def _delete_job(self, request: Request, job_id: str) -> Answer:
        job = self._find_job(job_id)
        if not job.final:
            return refusal(409, 1291, "Job is not in a final state.")
        self._server.store.jobs.remove(job)
        return Answer(204)

    def _results(self, request: Request, job_id: str) -> Answer:
        job = self._find_job(job_id)
        if job.state != "Completed":
            # The client asks for a failed job's results too, to find its traceback.
            return Answer(200, job.result or job.reason) if job.final else Answer(204)

        def delivered():
            job.results_read += 1

        return Answer(200, job.result, delivered)

    def _metrics(self, request: Request, job_id: str) -> Answer:
        return Answer(200, self._find_job(job_id).metrics(self._server.metrics_pending))

    def _logs(self, request: Request, job_id: str) -> Answer:
        job = self._find_job(job_id)
        return Answer(200, f"Job {job.id}: {job.state}\n")

    def _cancel(self, request: Request, job_id: str) -> Answer:
        job = self._find_job(job_id)
        if not job.end("Cancelled", "Job was cancelled by the user."):
            return refusal(409, 1291, f"Job is already in a final state: {job.state}.")
        return Answer(204)

    def _change_tags(self, request: Request, job_id: str) -> Answer:
        self._find_job(job_id).tags = list(request.data["tags"])
        return Answer(204)

    def _open_session(self, request: Request) -> Answer:
        session = Session(request.data)
        self._server.sessions.append(session)
        return Answer(200, session.answer())

    def _session(self, request: Request, session_id: str) -> Answer:
        return Answer(200, self._find_session(session_id).answer())

    def _stop_session(self, request: Request, session_id: str) -> Answer:
        session = self._find_session(session_id)
        if request.data.get("accepting_jobs") is False:
            session.stop_accepting()
        return Answer(204)

    def _close_session(self, request: Request, session_id: str) -> Answer:
        self._find_session(session_id).close()
        return Answer(204)

    def _find_job(self, job_id: str):
        job = self._server.store.find(job_id)
        if job is None:
            raise _NotFoundError(1291, f"Job not found. Job ID: {job_id}")
        return job

    def _find_session(self, session_id: str) -> Session:
        for session in self._server.sessions:
            if session.id == session_id:
                return session
        raise _NotFoundError(1212, f"Session not found. Session ID: {session_id}")


class _NotFoundError(Exception):
    """No such job, session or device: its code and message."""
