"""Experiments on devices over HTTP, and their rehearsals."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from qiskit_fedqml import load_experiment

DEVICES = {"ibm_manila": "FakeManilaV2", "ibm_nairobi": "FakeNairobiV2"}
SMALL = {"model.circuit": {"num_qubits": 2, "num_layers": 1}}
# A process that was started in the background would ignore Ctrl-C, and so would its children.
MAIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
MAIN += "from qiskit_fedqml.cli import main; main()"


@pytest.fixture
def server(monkeypatch):
    pytest.importorskip("qiskit_ibm_runtime.executor_estimator", reason="the loopback server runs the executor's jobs")
    from tests.ibm_server import IBMServer

    with IBMServer(DEVICES) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def experiment(tmp_path):
    """Return a function that makes an experiment of three clients: two on two devices, one on a simulator."""

    def make(*, real=True, entries=None, changes=None, backends=None):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(15, 3)).astype(np.float32)
        y = (x[:, 0] > 0).astype(int)
        np.savez(tmp_path / "data.npz", x_train=x[:12], y_train=y[:12], x_test=x[9:], y_test=y[9:])
        common = {"shots": 32, "waiting": {"poll_seconds": 0.1, "outage_seconds": 30, "request_seconds": 30}}
        array = {"ideal": {"type": "aer"}, "noisy": {"type": "aer", "noise": "FakeJakartaV2", "shots": 32}}
        for name, fake in DEVICES.items():
            device = {"type": "ibm", "device": name if real else fake, **common}
            array[name.removeprefix("ibm_")] = device | (entries or {}).get(name.removeprefix("ibm_"), {})
        file = {"backends": array, "assignment": {"clients": {0: "manila", 1: "nairobi", 2: "noisy"}}}
        data = {
            "seed": 3,
            "data": {"dataset": "npz", "path": str(tmp_path / "data.npz")},
            "model": {"hidden": [4], "dropout": 0.2},
            "federation": {
                **{"clients": 3, "clients_per_round": 3, "rounds": 2},
                **{"batch_size": 2, "learning_rate": 0.05},
            },
            "backends": file | (backends or {}),
        }
        (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(data))
        return load_experiment(tmp_path / "experiment.yaml", {**SMALL, **(changes or {})})

    return make


def same_model(one, other):
    return all(torch.equal(one.state[name], other.state[name]) for name in one.state)


def fedqml(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def start(experiment, tmp_path, **changes):
    made = experiment(**changes)
    (tmp_path / "whole.yaml").write_text(yaml.safe_dump(made.resolved()))
    return fedqml("run", tmp_path / "whole.yaml", "--out", tmp_path / "run")
