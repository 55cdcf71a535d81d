"""What the server counts of packed jobs on a device of 156 qubits, and the program that prints its count."""

import re
import subprocess
import sys

import numpy as np
import pytest

from qiskit_fedqml import paper_circuit, quantum_layer
from qiskit_fedqml.backends.array.registry import BackendRegistry
from tests.conftest import ROOT
from tests.ibm_server import IBMServer

pytest.importorskip("qiskit_ibm_runtime.executor_estimator", reason="the loopback server runs the executor's jobs")


@pytest.mark.slow
def test_a_packed_step_on_a_large_device(monkeypatch):
    """Batch 32, 512 shots: 868,352 executions and 222 s one copy at a time."""
    rng = np.random.default_rng(1)
    entry = {"type": "ibm", "device": "ibm_fez", "shots": 512, "blocks": "auto", "waiting": {"poll_seconds": 0.2}}
    with IBMServer({"ibm_fez": "FakeFez"}) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        registry = BackendRegistry.from_mapping({"backends": {"ideal": {"type": "aer"}, "fez": entry}})
        network = quantum_layer(paper_circuit(), registry["fez"]).neural_network
        network.evaluate(rng.uniform(-1, 1, (32, 4)), rng.uniform(-3, 3, 24), jacobian=True)
        (job,) = server.jobs
    assert job.executions == 33_792 < 868_352 / 20
    assert job.quantum_seconds < 12
    assert network.usage.receipts[0].planned_seconds == pytest.approx(job.quantum_seconds, rel=1e-3)


@pytest.mark.slow
def test_the_server_counts_an_experiment():
    few = ("federation.rounds=1", "federation.clients_per_round=1", "federation.batch_size=64")
    options = [word for setting in few for word in ("--set", setting)]
    command = [sys.executable, "-m", "tests.count_at_server", "experiments/rehearsal.yaml", *options]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    counted, planned = (float(text) for text in re.findall(r"([\d.]+) QPU seconds", run.stdout))
    assert counted == pytest.approx(planned, rel=1e-3)
