import re
from dataclasses import replace

import pytest

from qiskit_fedqml import load_experiment
from qiskit_fedqml.errors import ConfigurationError
from tests.conftest import ROOT


def test_schemes_differ_in_their_machines_alone(script):
    path, design = ROOT / "experiments" / "digits.yaml", script.FULL
    made = {name: load_experiment(path, {"backends": backends}) for name, backends in design.schemes().items()}
    noiseless = made["Noiseless"]
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
    assert re.search(r"\d \(\S+ and \S+\)", table)  # two seeds


def test_a_study_needs_a_quantum_layer(script, tmp_path):
    path = ROOT / "experiments" / "digits.yaml"
    with pytest.raises(ConfigurationError, match="needs a quantum layer"):
        script.run_study(path, {"model.quantum": "classical"}, tmp_path / "out", seeds=1, processes=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [{"factors": (2.0,)}, {"shots_swept": (128,)}, {"skewed": {}}])
def test_a_design_holds_what_its_figures_need(script, wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        replace(script.FULL, **wrong)
