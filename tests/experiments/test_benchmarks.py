"""The benchmark scripts run, and find that all ways to take the step agree; how fast they are is not tested."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow


def run(script, *arguments):
    command = [sys.executable, str(ROOT / "experiments" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ}).stdout


def test_training_step(tmp_path):
    output = run(
        "benchmark_training_step.py", "--batch", "3", "--repeats", "2", "--stock-repeats", "1", "--out", str(tmp_path)
    )
    assert output.count("results agree") == 5
    rows = [json.loads(line) for line in (tmp_path / "training_step.jsonl").read_text().splitlines()]
    assert {row["name"] for row in rows} >= {"this package, sweeps", "stock EstimatorQNN, Aer's EstimatorV2"}
    assert all(row["median_ms"] > 0 for row in rows)
    assert (tmp_path / "training_step.png").stat().st_size > 10_000


@pytest.mark.parametrize("kind", ["ideal, exact", "noise, 1,024 shots"])
def test_scaling_takes_a_measurement(kind):
    measured = [
        json.loads(run("benchmark_scaling.py", "--measure", json.dumps([kind, s, 3, 1, 2]))) for s in ("sweep", "aer")
    ]
    assert all(row["seconds"] > 0 and row["qubits"] == 3 for row in measured)
    assert measured[0]["shifted"] == measured[1]["shifted"]


def test_head(tmp_path):
    small = ("--features", "2048", "--widths", "2048", "--steps", "2")
    assert "times as fast by oneDNN" in run("benchmark_head.py", *small, "--out", str(tmp_path))
    (line,) = map(json.loads, (tmp_path / "head.jsonl").read_text().splitlines())
    assert line["ratio"] == pytest.approx(sum(line["ms"]["torch"]) / sum(line["ms"]["oneDNN"]))
    assert all(part > 0 for times in line["ms"].values() for part in times)
