"""What a new user runs first, and one federation of the paper's own size."""

import subprocess
import sys

import numpy as np
import pytest

from qiskit_fedqml import RunResult, load_experiment, run_federation
from tests.conftest import ROOT

SIZES = {"train": 4000, "test": 400}


@pytest.mark.slow
def test_noisy_vs_noiseless(tmp_path):
    script = ROOT / "experiments" / "noisy_vs_noiseless.py"
    done = subprocess.run(
        [sys.executable, str(script), "--out", str(tmp_path)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "Federated, noisy array" in done.stdout
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    assert (tmp_path / "curves.svg").exists()
    runs = tmp_path / "runs"
    assert len(list(runs.glob("*/seed*"))) == 9
    noiseless, noisy = (RunResult.load(runs / f"federated_{kind}" / "seed1") for kind in ("no_noise", "noisy_array"))
    assert noiseless.rounds[-1].test_accuracy > 0.7
    assert len({c.backend for r in noisy.rounds for c in r.clients}) == 5
    assert [[c.id for c in r.clients] for r in noisy.rounds] == [[c.id for c in r.clients] for r in noiseless.rounds]
    assert noisy.rounds[0].train_loss != noiseless.rounds[0].train_loss


def federate(tmp_path, **overrides):
    """Run three rounds of the paper's federation, with its circuit and Table I's head."""
    path = ROOT / "experiments" / "planes_vs_cars.yaml"
    result = run_federation(load_experiment(path, {"federation.rounds": 3, **overrides}), tmp_path / "run")
    num_features = result.run["num_features"]
    head = num_features * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 4 + 4
    assert result.run["num_trained_parameters"] == head + 24
    assert np.log(1 + np.exp(-2)) < result.rounds[-1].test_loss < result.rounds[0].test_loss
    assert max(r.peak_memory_bytes for r in result.rounds) < 6e9
    return result


@pytest.mark.slow
def test_paper_circuit_and_head_on_made_features(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    labels = {"y_train": np.arange(4000) % 2, "y_test": np.arange(400) % 2}
    signs = np.where(rng.random(512) < 0.5, -1, 1)
    features = {f"x_{p}": rng.normal(size=(n, 512)) + 0.2 * np.outer(labels[f"y_{p}"], signs) for p, n in SIZES.items()}
    np.savez(tmp_path / "made.npz", **features, **labels)
    monkeypatch.chdir(tmp_path)
    data = {"dataset": "npz", "path": "made.npz"}
    result = federate(tmp_path, data=data, features={"scaling": {"method": "client_sums"}})
    assert result.rounds[-1].test_accuracy > 0.8


@pytest.mark.slow
def test_paper_circuit_and_head_on_real_images(shared_data, cache, tmp_path):
    result = federate(tmp_path)
    assert result.run["num_features"] == 8192
    assert result.rounds[-1].test_accuracy > 0.65
