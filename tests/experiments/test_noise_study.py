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
    assert len(made) == 1 + len(design.devices) + 4 + len(design.shots_swept) + len(design.factors) - 1
    assert set(design.machines_and_arrays) <= set(made)


def test_a_study_needs_a_quantum_layer(script, tmp_path):
    path = ROOT / "experiments" / "digits.yaml"
    with pytest.raises(ConfigurationError, match="needs a quantum layer"):
        script.run_study(path, {"model.quantum": "classical"}, tmp_path / "out", seeds=1, processes=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [{"factors": (2.0,)}, {"shots_swept": (128,)}, {"skewed": {}}])
def test_a_design_holds_what_its_figures_need(script, wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        replace(script.FULL, **wrong)
