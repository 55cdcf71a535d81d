"""The server that tests start."""

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import ThreadingHTTPServer
from threading import Event, Thread

from tests.ibm_server.accounts import Account
from tests.ibm_server.devices import Device
from tests.ibm_server.faults import Faults
from tests.ibm_server.handler import PREFIX, Handler
from tests.ibm_server.jobs import Job, JobStore
from tests.ibm_server.routes import Routes
from tests.ibm_server.sessions import Session
from tests.ibm_server.usage import UsageAccount


class IBMServer:
    """A loopback server with these devices, running inside a `with` block.

    Args:
        devices: Device names as clients see them, each with the class name of its fake device.

    Attributes:
        devices: The devices by name.
        requests: Method and path (without prefix and query) of every request that arrived, in order.
        sessions: Sessions and batches, in order of creation.
        usage: The instance's QPU time; at its limit, accepted jobs wait.
        faults: What is to go wrong.
        metrics_pending: True while the usage of finished jobs is not yet worked out.
        errors: Tracebacks of the server's own errors; leaving the `with` block raises them.
    """

    def __init__(self, devices: Mapping[str, str]):
        self.account, self.usage, self.faults = Account(), UsageAccount(), Faults()
        self.store = JobStore(self.usage, self.faults)
        self.devices = {
            name: Device(name, fake, self.store.run, lambda: not self.usage.limit_reached)
            for name, fake in devices.items()
        }
        self.requests: list[tuple[str, str]] = []
        self.sessions: list[Session] = []
        self.errors: list[str] = []
        self.connections: set[socket.socket] = set()
        self.metrics_pending = False
        self.stopped = Event()
        self.routes = Routes(self)
        self._http = _HTTPServer(("127.0.0.1", 0), Handler)
        self._http.owner = self
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> "IBMServer":
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.stopped.set()
        for job in list(self.jobs):
            job.end("Cancelled", "The server stops.")
        for device in self.devices.values():
            device.stop()
        self._http.shutdown()
        self._http.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if self.errors and error is None:
            raise AssertionError("\n".join(self.errors))

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def url(self) -> str:
        """The API's URL, for `QiskitRuntimeService(url=...)`."""
        return self.origin + PREFIX

    @property
    def token(self) -> str:
        return self.account.token

    @property
    def crn(self) -> str:
        return self.account.crn

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which `QiskitRuntimeService()` talks to this server."""
        return {
            "IAM_URL": self.origin,
            "GLOBAL_SEARCH_URL": self.origin,
            "GLOBAL_CATALOG_URL": f"{self.origin}/catalog",
            "QISKIT_IBM_TOKEN": self.token,
            "QISKIT_IBM_URL": self.url,
            "QISKIT_IBM_INSTANCE": self.crn,
            "QISKIT_IBM_CHANNEL": "ibm_quantum_platform",
            "NO_PROXY": "127.0.0.1",
        }

    @property
    def jobs(self) -> list[Job]:
        """The accepted jobs, in order of acceptance."""
        return self.store.jobs

    def count(self, method: str, path: str) -> int:
        """Return how many such requests have arrived."""
        return self.requests.count((method, path))

    def reset(self) -> None:
        """Let jobs end, then forget them, and sessions, requests, faults and charges; logins stay."""
        self.faults.clear()
        self.usage.consumed_seconds, self.usage.limit_seconds, self.account.token_seconds = 0.0, 36_000.0, 3600
        self.metrics_pending = False
        for device in self.devices.values():
            device.restore()
        self.wait_for(lambda server: all(job.final for job in server.jobs))
        self.requests.clear()
        self.sessions.clear()
        self.store.jobs.clear()

    def revoke_tokens(self) -> None:
        """Refuse the access tokens given out so far: their holders get 401."""
        self.account.revoke_tokens()

    def close_sessions(self) -> None:
        """Let all sessions and batches end: none takes a further job, and jobs that wait are cancelled."""
        for session in self.sessions:
            session.close()

    def wait_for(self, predicate: Callable[["IBMServer"], object], seconds: float = 30) -> None:
        """Wait until the predicate is true of this server.

        Raises:
            TimeoutError: It did not become true in time.
        """
        end = time.monotonic() + seconds
        while not predicate(self):
            if time.monotonic() > end:
                raise TimeoutError(f"Not so after {seconds} s; jobs: {self.jobs}, last requests: {self.requests[-5:]}")
            time.sleep(0.01)


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    owner: IBMServer

    def handle_error(self, request, client_address) -> None:
        """Say nothing of a connection that broke: clients are killed on purpose."""
