"""A SuperLink and three SuperNodes in processes of their own, with encryption and authentication of nodes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.results.result import RunResult

pytestmark = pytest.mark.slow


def fedqml(*arguments):
    """Run a command; return what it printed."""
    command = [str(Path(sys.executable).parent / "fedqml"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


def test_the_final_model_is_that_of_the_local_engine_to_the_bit(story):
    local, deployed = RunResult.load(story.local), RunResult.load(story.deployed)
    assert local.state.keys() == deployed.state.keys()
    for name, tensor in local.state.items():
        assert torch.equal(tensor, deployed.state[name]), name


def test_the_records_are_those_of_the_local_engine(story):
    local, deployed = RunResult.load(story.local), RunResult.load(story.deployed)
    assert [r.without_times() for r in local.rounds] == [r.without_times() for r in deployed.rounds]
    assert [c.backend for c in sorted(deployed.rounds[0].clients, key=lambda c: c.id)] == [
        "ideal",
        "noisy",
        "rehearsed",
    ]


def test_a_node_killed_in_mid_round_gets_its_task_again(story):
    assert "Round 2, client 1: sent again: " in story.first_run
    assert RunResult.load(story.deployed).rounds[1].clients[1].outcome == "ok"


def test_a_node_that_is_not_registered_is_refused(story):
    assert "SuperNode ID" not in story.stranger
    assert "No SuperNode found with the given public key" in story.stranger or "activat" in story.stranger


def test_after_the_superlink_is_killed_the_run_goes_on_at_the_next_round(story):
    assert story.rounds_at_kill == 2
    assert "Round 1 of 4" in story.first_run
    assert "Round 3 of 4" in story.second_run
    assert "Round 2 of 4" not in story.second_run
    assert story.second_code == 0
    assert len(RunResult.load(story.deployed).rounds) == 4


def test_a_finished_run_is_not_trained_again(story):
    assert "The run has its 4 rounds" in story.third_run
    assert "Round 4 of 4" not in story.third_run


def test_the_device_of_a_node_keeps_its_jobs_there(story):
    (path,) = (story.deployed.parent.parent / "client-2" / "journals").iterdir()
    assert path.stem == RunResult.load(story.deployed).run["run_id"]
    keys = [submission.key for submission in Journal(path, read_only=True).all()]
    assert sorted({key.server_step for key in keys}) == [1, 2, 3, 4]
    assert {key.client for key in keys} == {2}
    assert not (story.deployed / "journal.sqlite").exists()


def test_each_node_has_its_own_data_and_key_alone(story):
    deployment = story.deployed.parent.parent
    for client in range(3):
        own = {path.name for path in (deployment / f"client-{client}").iterdir() if path.is_file()}
        assert own == {"ca.crt", "node.key", "node.toml", "backends.yaml", "examples.npz", ".node-process.json"}
    assert not [path for path in deployment.rglob("server.key") if path.parent.name != "server"]


def test_commands_read_the_result(story, tmp_path):
    assert "accuracy" in fedqml("evaluate", story.deployed, "--backend", "noisy")
    fedqml("report", story.deployed, story.local, "--out", tmp_path / "report")
    assert "rehearsed" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    table = fedqml("compare", story.deployed, story.local, "--out", tmp_path / "comparison")
    rows = [line.split("|") for line in table.splitlines() if line.startswith(("| result", "| local"))]
    assert len(rows) == 2
    assert rows[0][2:7] == rows[1][2:7]


def test_nothing_was_sent_to_flower(story):
    log = (story.deployed.parent.parent / "superlink.log").read_text(encoding="utf-8", errors="replace")
    assert "telemetry" not in log.lower()
    assert json.loads((story.deployed / "run.json").read_text(encoding="utf-8"))["remote_clients"] is True
