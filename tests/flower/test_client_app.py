"""What Flower starts for each message, and the process that stays."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from qiskit_fedqml.config.data import FeaturesConfig
from qiskit_fedqml.config.yaml_files import dump_yaml
from qiskit_fedqml.flower import client_app
from qiskit_fedqml.flower.protocol import Failure, Introduction, Question
from qiskit_fedqml.flower.records import packed, values_in
from tests.flower.machines import wait_for


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a node's folder, for a process of Flower's that ends with the test."""
    monkeypatch.chdir(tmp_path)
    np.savez("examples.npz", x=np.ones((3, 2), np.float32), y=np.array([0, 1, 1]))
    own = {"backends": {"own": {"type": "aer"}}, "assignment": {"server": "own", "default": "own"}}
    (tmp_path / "backends.yaml").write_text(dump_yaml(own), encoding="utf-8")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as flower:
        monkeypatch.setattr(os, "getppid", lambda: flower.pid)
        yield tmp_path
        flower.kill()


def ask(**config):
    """Ask the node which client it is, as Flower does; return the answer's records."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    values = {"client": 1, "data": "examples.npz", "backends": "backends.yaml", "backend": "own"} | config
    question = Message(packed(Question(features=FeaturesConfig(), classes=("0", "1"))), 1, "query")
    question.metadata.__dict__["_message_id"] = "1"
    return client_app.app(question, Context(1, 1, values, RecordDict(), {})).content


def processes_of(folder):
    """Return the ids of the processes that work for a node."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            if client_app.PROGRAM.encode() in words and os.readlink(f"/proc/{name}/cwd") == str(folder):
                found.append(int(name))
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are found in /proc")
def test_a_process_stays_for_a_node_and_ends_with_it(folder):
    assert values_in(ask(), Introduction).client == 1
    (first,) = processes_of(folder)
    assert stat.S_IMODE(client_app.ADDRESS.stat().st_mode) == 0o600
    assert "has no backend 'other'" in values_in(ask(backend="other"), Failure).text
    assert values_in(ask(client=2), Introduction).client == 2
    assert processes_of(folder) == [first]
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not os.path.exists(f"/proc/{first}/cwd"))
    assert values_in(ask(), Introduction).client == 1
    (second,) = processes_of(folder)
    os.kill(os.getppid(), signal.SIGKILL)
    wait_for(lambda: not os.path.exists(f"/proc/{second}/cwd"))


def test_what_flower_starts_for_each_message_imports_nothing_heavy():
    script = "import json, sys, qiskit_fedqml.flower.client_app; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "qiskit", "sklearn", "pydantic"} & set(json.loads(done.stdout))


def test_whoever_has_not_the_key_is_not_answered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    client_app.ADDRESS.write_text(json.dumps([str(tmp_path / "gone"), "00"]), encoding="utf-8")
    assert client_app._connection() is None
    client_app.ADDRESS.write_text("{", encoding="utf-8")
    assert client_app._connection() is None
