"""The server against the real client library, over HTTP."""

import ast
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch, EstimatorV2, QiskitRuntimeService, Session, fake_provider
from qiskit_ibm_runtime.exceptions import (
    IBMNotAuthorizedError,
    IBMRuntimeError,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobMaxTimeoutError,
    RuntimeJobTimeoutError,
)
from qiskit_ibm_runtime.executor_estimator import Estimator

from tests.ibm_server import IBMServer, circuit_seconds, seed_of

SHOTS = 64
VALUES = np.random.default_rng(5).uniform(-1, 1, (3, 4))


@pytest.fixture(scope="module")
def shared():
    with IBMServer({"ibm_manila": "FakeManilaV2", "ibm_nairobi": "FakeNairobiV2"}) as server:
        yield server


@pytest.fixture
def server(shared, monkeypatch):
    """A server as new, with the environment pointing at it."""
    shared.reset()
    for name, value in shared.environment.items():
        monkeypatch.setenv(name, value)
    yield shared
    shared.reset()


@pytest.fixture
def backend(server):
    return QiskitRuntimeService().backend("ibm_manila")


def pub_for(backend, labels=("IZ", "ZI")):
    """Return a PUB of a two-qubit circuit: each observable at three parameter sets."""
    angles = ParameterVector("angle", 4)
    circuit = QuantumCircuit(2)
    for index in range(2):
        circuit.ry(angles[index], index)
    circuit.cx(0, 1)
    for index in range(2):
        circuit.ry(angles[index + 2], index)
    circuit = generate_preset_pass_manager(1, backend=backend, seed_transpiler=1).run(circuit)
    return circuit, [[SparsePauliOp(label).apply_layout(circuit.layout)] for label in labels], VALUES


def submit(backend, *pubs, seed=None, tags=(), **options):
    mode, backend = backend, backend._backend if isinstance(backend, Session) else backend
    estimator = Estimator(mode, options={"default_shots": SHOTS, "resilience_level": 0, **options})
    estimator.options.environment.job_tags = list(tags)
    estimator.options.simulator.seed_simulator = seed
    return estimator.run(list(pubs) or [pub_for(backend)])


def result_of(job):
    return job.result(poll_interval=0.1)


def evs(job):
    """Return the expectation values of a job's first PUB."""
    return result_of(job)[0].data.evs


def test_service_from_the_environment(server):
    service = QiskitRuntimeService()
    assert sorted(backend.name for backend in service.backends()) == ["ibm_manila", "ibm_nairobi"]
    server.devices["ibm_manila"].queue_length = 3
    assert QiskitRuntimeService().least_busy().name == "ibm_nairobi"
    server.devices["ibm_nairobi"].online = False
    assert QiskitRuntimeService().least_busy().name == "ibm_manila"
    assert not service.backend("ibm_nairobi").status().operational
    assert service.backend("ibm_manila").status().pending_jobs == 3


def test_executor_job_equals_local_testing_mode(backend, server):
    pub = pub_for(backend)
    local = submit(fake_provider.FakeManilaV2(), pub, seed=seed_of([VALUES]))
    np.testing.assert_array_equal(evs(submit(backend, pub)), local.result()[0].data.evs)
    job = server.jobs[-1]
    server.wait_for(lambda _: job.results_read == 1)  # counted when the last byte is out
    assert (job.pubs, job.circuits, job.executions, job.posts) == (1, 3, 3 * SHOTS, 1)
    assert job.payload_bytes > 1000


def test_equal_submissions_have_equal_outcomes(backend):
    first, second, other = (submit(backend, pub) for pub in [pub_for(backend)] * 2 + [(*pub_for(backend)[:2], -VALUES)])
    np.testing.assert_array_equal(evs(first), evs(second))
    assert (evs(first) != evs(other)).any()


def test_legacy_estimator_job(backend, server):
    pubs = [pub_for(backend), pub_for(backend, ["ZZ", "XX", "XI"])]
    seed = seed_of([VALUES, VALUES])
    results = []
    for mode in (backend, fake_provider.FakeManilaV2()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator = EstimatorV2(mode, options={"default_shots": SHOTS, "simulator": {"seed_simulator": seed}})
            results.append(estimator.run(pubs).result())
    for remote, local in zip(*results):
        np.testing.assert_array_equal(remote.data.evs, local.data.evs)
    job = server.jobs[-1]
    # The Z observables of the first PUB share a circuit; ZZ and XX of the second do not.
    assert (job.pubs, job.circuits, job.executions) == (2, 3 + 2 * 3, 9 * SHOTS)


def test_qpu_time(backend, server):
    job = submit(backend, execution={"rep_delay": 1e-4})
    result_of(job)
    target = fake_provider.FakeManilaV2().target
    circuit = server.jobs[-1].program.program.items[0].circuit
    length = circuit_seconds(circuit, target)
    assert length == pytest.approx(circuit.estimate_duration(target, "s"), rel=1e-9)
    assert job.usage() == pytest.approx(2 + (1e-4 + length) * 3 * SHOTS)
    assert job.usage_estimation["quantum_seconds"] == server.usage.consumed_seconds == job.usage()
    server.metrics_pending = True
    assert job.usage() == 0
    assert QiskitRuntimeService().usage()["usage_consumed_seconds"] == server.usage.consumed_seconds


def test_jobs_by_tag(backend):
    job = submit(backend, tags=["round-1", "step-2"])
    service = backend.service
    assert [found.job_id() for found in service.jobs(job_tags=["round-1", "step-2"])] == [job.job_id()]
    assert service.jobs(job_tags=["round-1", "step-3"]) == []
    assert len(service.jobs(limit=None)) == len(service.jobs(limit=None, descending=False))
    np.testing.assert_array_equal(evs(service.job(job.job_id())), evs(job))


def test_cancel(backend, server):
    server.devices["ibm_manila"].hold()
    job = submit(backend)
    assert job.status() == "QUEUED"
    with pytest.raises(RuntimeJobTimeoutError):
        job.result(timeout=0.1)
    assert server.devices["ibm_manila"].queue_length == 1
    job.cancel()
    with pytest.raises(RuntimeInvalidStateError, match="cancelled"):
        result_of(job)
    server.devices["ibm_manila"].release()
    done = submit(backend)
    result_of(done)
    with pytest.raises(RuntimeInvalidStateError, match="cannot be cancelled"):
        done.cancel()


def test_batch_and_closed_session(backend, server):
    with Batch(backend) as batch:
        job = submit(batch)
        assert batch.status() == "In progress, accepting new jobs"
    result_of(job)
    assert server.jobs[-1].session_id == batch.session_id == job.session_id
    assert batch.status() == "Closed"
    session = Session(backend)
    server.close_sessions()
    with pytest.raises(IBMRuntimeError, match=r"400 .*Session has been closed"):
        submit(session)


def test_paused_device_and_used_up_instance(backend, server):
    server.devices["ibm_manila"].status = "internal"
    with pytest.warns(UserWarning, match="internal"):
        job = submit(backend)
    assert job.status() == "QUEUED"
    server.devices["ibm_manila"].status = "active"
    result_of(job)
    server.usage.consumed_seconds = server.usage.limit_seconds
    with pytest.warns(UserWarning, match="usage limit"):
        job = submit(backend)
    assert job.status() == "QUEUED"
    server.usage.consumed_seconds = 0.0
    result_of(job)


def test_recalibration(monkeypatch):
    with IBMServer({"ibm_manila": "FakeManilaV2"}) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        backend = QiskitRuntimeService().backend("ibm_manila")
        pub = pub_for(backend)
        before, first = backend.properties(), evs(submit(backend, pub))
        date = server.devices["ibm_manila"].recalibrate(factor=10)
        assert backend.properties().last_update_date == before.last_update_date
        backend.refresh()
        after = backend.properties()
        assert after.last_update_date == date
        assert after.gate_error("cx", [0, 1]) == pytest.approx(10 * before.gate_error("cx", [0, 1]))
        assert after.t1(0) == pytest.approx(before.t1(0) / 10)
        assert (evs(submit(backend, pub)) != first).any()


def test_failed_job(backend, server):
    server.faults.fail_job("Internal error.")
    with pytest.raises(RuntimeJobFailureError, match="Error code 9999; Internal error"):
        result_of(submit(backend))
    result_of(submit(backend))


def test_circuit_that_is_not_in_the_devices_gates(backend):
    circuit = QuantumCircuit(backend.num_qubits)
    circuit.h(0)
    circuit.cx(0, 3)
    with pytest.raises(RuntimeJobFailureError, match="h on qubits .* is not supported"):
        result_of(submit(backend, (circuit, SparsePauliOp("IIIIZ"))))


def test_job_that_runs_too_long(backend, server):
    job = submit(backend, max_execution_time=1)
    with pytest.raises(RuntimeJobMaxTimeoutError):
        result_of(job)
    assert server.jobs[-1].quantum_seconds > server.usage.consumed_seconds == 1


def test_refused_submission(backend, server):
    server.faults.answer("POST /jobs", 429, after=1)
    submit(backend)
    with pytest.raises(IBMRuntimeError, match="429"):
        submit(backend)
    assert server.count("POST", "/jobs") == 2
    assert server.faults.pending == 0


def test_accepted_submission_with_a_lost_answer(backend, server):
    server.faults.drop("POST /jobs", processed=True)
    with pytest.raises(IBMRuntimeError, match="Connection"):
        submit(backend, tags=["lost"])
    (job,) = backend.service.jobs(job_tags=["lost"])
    result_of(job)
    server.faults.drop("POST /jobs")
    with pytest.raises(IBMRuntimeError, match="Connection"):
        submit(backend, tags=["never"])
    assert backend.service.jobs(job_tags=["never"]) == []


def test_repeated_submission_after_503(backend, server):
    """The library repeats a POST by itself: an accepted job whose answer was a 503 then exists twice."""
    server.faults.answer("POST /jobs", 503, processed=True)
    result_of(submit(backend, tags=["twice"]))
    first, second = server.jobs[-2:]
    assert first.tags == second.tags == ["twice"]
    assert first.posts == second.posts == server.count("POST", "/jobs") == 2


def test_stalled_results(backend, server):
    job = submit(backend)
    job.wait_for_final_state()
    server.faults.stall("GET /jobs/.*/results", seconds=0.5)
    start = time.monotonic()
    job.result(timeout=0.1)
    assert time.monotonic() - start > 0.5
    server.wait_for(lambda s: s.jobs[-1].results_read == 1)


def test_call_in_the_middle_of_a_request(backend, server):
    seen = []
    accepted = len(server.jobs)
    server.faults.call("POST /jobs", lambda: seen.append(len(server.jobs) - accepted))
    server.faults.call("POST /jobs", lambda: seen.append(len(server.jobs) - accepted), processed=True)
    submit(backend), submit(backend)
    assert seen == [0, 2]


CLIENT = """
from qiskit_ibm_runtime import QiskitRuntimeService
QiskitRuntimeService().backend("ibm_manila").status()
"""


def test_client_killed_at_a_request(server, tmp_path):
    client = subprocess.Popen([sys.executable, "-c", CLIENT], env={**server.environment, "HOME": str(tmp_path)})
    server.faults.call("GET /backends/ibm_manila/status", client.kill)
    assert client.wait(400) == -9
    assert server.requests[-1] == ("GET", "/backends/ibm_manila/status")
    assert not (tmp_path / ".qiskit").exists()
    assert server.errors == []


def test_wrong_tokens(server, backend, monkeypatch):
    server.revoke_tokens()
    with pytest.raises(IBMNotAuthorizedError):
        backend.status()
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "x" * 44)
    with pytest.raises(Exception, match="valid API token") as caught:
        QiskitRuntimeService()
    assert type(caught.value).__name__ == "InvalidAccountError"
    assert server.token not in str(caught.value)


def test_wait_for_times_out(server):
    with pytest.raises(TimeoutError):
        server.wait_for(lambda server: False, seconds=0.05)


def test_imports_nothing_of_the_package_under_test():
    for path in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "qiskit_fedqml" for name in names), path


@pytest.mark.slow
def test_large_device(monkeypatch):
    with IBMServer({"ibm_kingston": "FakeKingston"}) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        backend = QiskitRuntimeService().backend("ibm_kingston")
        zero = np.zeros((2, 4))
        first, second = (evs(submit(backend, (*pub_for(backend)[:2], zero))) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert first.shape == (2, 2)
        assert first.min() > 0.5
