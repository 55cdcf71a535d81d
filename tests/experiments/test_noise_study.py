import pytest

from qiskit_fedqml import load_experiment
from qiskit_fedqml.study.outcomes import ACCURACY
from qiskit_fedqml.study.statistics import Interval
from tests.conftest import ROOT


def test_schemes_differ_in_their_machines_alone(script):
    path, design = ROOT / "experiments" / "digits.yaml", script.FULL
    made = {name: load_experiment(path, {"backends": backends}) for name, backends in design.schemes().items()}
    noiseless = made[script.NOISELESS]
    assert all(e.model_copy(update={"backends": noiseless.backends}) == noiseless for e in made.values())
    assert len({e.backends.model_dump_json() for e in made.values()}) == len(made)
    assert len(made) == 1 + len(design.devices) + 2 + len(design.shots_swept) + len(design.factors) - 1
    assert set(design.machines_and_arrays) <= set(made)


@pytest.mark.slow
def test_whole_study_in_small(script, tmp_path):
    design = script.Design(
        devices={"Manila": {"noise": "FakeManilaV2"}},
        skewed={"Quito": {"noise": "FakeQuitoV2"}},
        shots_swept=(128, None),
        factors=(1.0, 2.0),
    )
    federation = {"federation.rounds": 2, "federation.clients": 6, "federation.clients_per_round": 2}
    small = {**federation, "data.test_fraction": 0.8}
    path = ROOT / "experiments" / "digits.yaml"
    script.run_study(path, small, tmp_path, seeds=2, processes=1, design=design)
    for name in ("gaps.png", "gaps.svg", "clients.png", "gradients.png", "table.csv", "clients.csv", "rounds.csv"):
        assert (tmp_path / name).stat().st_size > 100
    table = (tmp_path / "results.md").read_text()
    assert "Uniform array, rates × 2" in table
    assert "±" in table


def test_gap_is_that_of_pairs(script):
    class Pairs:
        def values(self, scheme, _):
            return {1: 0.9, 2: 0.8} if scheme == script.NOISELESS else {1: 0.85, 2: 0.75}

    gap = script.gap(Pairs(), "x", ACCURACY)
    assert gap == Interval(pytest.approx(-0.05), pytest.approx(0.0, abs=1e-12), 2)
