"""What a new user runs first, and one federation of the paper's own size."""

import subprocess
import sys

import numpy as np
import pytest

from qiskit_fedqml import RunResult, load_experiment, run_federation
from tests.conftest import ROOT


@pytest.mark.slow
def test_noisy_vs_noiseless(tmp_path):
    script = ROOT / "experiments" / "noisy_vs_noiseless.py"
    done = subprocess.run(
        [sys.executable, str(script), "--out", str(tmp_path)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "Federated, noisy array" in done.stdout
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    assert (tmp_path / "curves.svg").exists()
    noiseless, noisy = (RunResult.load(tmp_path / f"federated_{kind}") for kind in ("no_noise", "noisy_array"))
    assert noiseless.rounds[-1].test_accuracy > 0.7
    assert len({c.backend for r in noisy.rounds for c in r.clients}) == 5
    assert [[c.id for c in r.clients] for r in noisy.rounds] == [[c.id for c in r.clients] for r in noiseless.rounds]
    assert noisy.rounds[0].train_loss != noiseless.rounds[0].train_loss


@pytest.mark.slow
def test_paper_circuit_and_head_on_real_images(shared_data, cache, tmp_path):
    experiment = load_experiment(ROOT / "experiments" / "planes_vs_cars.yaml", {"federation.rounds": 3})
    result = run_federation(experiment, tmp_path / "run")
    assert result.run["num_features"] == 8192
    assert result.run["num_trained_parameters"] == 8192 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 4 + 4 + 24
    assert result.rounds[-1].test_accuracy > 0.65
    assert np.log(1 + np.exp(-2)) < result.rounds[-1].test_loss < result.rounds[0].test_loss
    assert max(r.peak_memory_bytes for r in result.rounds) < 6e9
