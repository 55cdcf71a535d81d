"""A loopback server that speaks the IBM Quantum REST API to the real client library, for tests.

It is an independent referee: it imports nothing of the package under test. Jobs run on fake devices; the server keeps
its own count of circuits, executions and QPU seconds, and misbehaves on request::

    with IBMServer({"ibm_manila": "FakeManilaV2"}) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        service = QiskitRuntimeService()  # token, URL and instance come from the environment
        server.faults.answer("POST /jobs", status=429)

Environment variables that `QiskitRuntimeService()` obeys when given no arguments: `QISKIT_IBM_TOKEN` (required: with it
no saved account is read), `QISKIT_IBM_URL`, `QISKIT_IBM_INSTANCE` and `QISKIT_IBM_CHANNEL`. The first three are
ignored together as soon as `token=` or `name=` is passed; with `channel=` or `instance=` alone
the others still count. A saved account's
file lies under the home folder that the process had when it imported the library, so point `HOME` elsewhere in a
client process that is started; in a process where the library is already imported, `HOME` has no effect any more.
"""

from tests.ibm_server.devices import Device
from tests.ibm_server.faults import Faults
from tests.ibm_server.jobs import Job
from tests.ibm_server.programs import seed_of
from tests.ibm_server.schedule import circuit_seconds
from tests.ibm_server.server import IBMServer
from tests.ibm_server.usage import UsageAccount

__all__ = ["Device", "Faults", "IBMServer", "Job", "UsageAccount", "circuit_seconds", "seed_of"]
