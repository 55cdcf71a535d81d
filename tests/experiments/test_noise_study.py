import pytest

from qiskit_fedqml import load_experiment
from qiskit_fedqml.study.statistics import Interval
from tests.conftest import ROOT


def experiments(script, path):
    return {name: load_experiment(path, {"backends": backends}) for name, backends in script.schemes().items()}


def test_schemes_differ_in_their_machines_alone(script):
    made = experiments(script, ROOT / "experiments" / "digits.yaml")
    noiseless = made[script.NOISELESS]
    assert all(e.model_copy(update={"backends": noiseless.backends}) == noiseless for e in made.values())
    assert len({e.backends.model_dump_json() for e in made.values()}) == len(made)
    assert {script.with_shots(shots) for shots in script.SHOTS_SWEPT} <= set(made)
    assert {script.with_factor(factor) for factor in script.FACTORS} <= set(made)


@pytest.mark.slow
def test_whole_study_in_small(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "DEVICES", {"Manila": {"noise": "FakeManilaV2"}})
    monkeypatch.setattr(script, "skewed_machines", lambda: {"Quito": {"noise": "FakeQuitoV2"}})
    monkeypatch.setattr(script, "FACTORS", (1.0, 2.0))
    monkeypatch.setattr(script, "SHOTS_SWEPT", (128, None))
    federation = {"federation.rounds": 2, "federation.clients": 6, "federation.clients_per_round": 2}
    small = {**federation, "data.test_fraction": 0.8}
    script.run_study(ROOT / "experiments" / "digits.yaml", small, tmp_path, seeds=2, processes=1)
    for name in ("gaps.png", "gaps.svg", "clients.png", "gradients.png", "table.csv", "clients.csv", "rounds.csv"):
        assert (tmp_path / name).stat().st_size > 100
    table = (tmp_path / "results.md").read_text()
    assert "Uniform array, rates × 2" in table
    assert "±" in table


def test_gap_is_that_of_pairs(script, monkeypatch):
    class Pairs:
        def values(self, scheme, _):
            return {1: 0.9, 2: 0.8} if scheme == script.NOISELESS else {1: 0.85, 2: 0.75}

    gap = script.gap(Pairs(), "x")
    assert gap == Interval(pytest.approx(-0.05), pytest.approx(0.0, abs=1e-12), 2)
