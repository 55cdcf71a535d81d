"""`fedqml evaluate` on one machine and on several."""

import json

import pytest
import yaml

from tests.conftest import TINY

MACHINES = {"backends": {"ideal": {"type": "aer"}, "noisy": {"type": "aer", "noise": {"readout": 0.05}}}}


@pytest.fixture
def here(tmp_path, monkeypatch, fedqml):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"backends": MACHINES}))
    (tmp_path / "more.yaml").write_text(yaml.safe_dump({"backends": {"quito": {"type": "aer"}}, "assignment": {}}))
    assert fedqml("run", "tiny.yaml", "--set", "federation.rounds=1", "-q")[0] == 0
    return tmp_path


def test_accuracies_on_several_machines_are_side_by_side(here, fedqml):
    code, out, err = fedqml("evaluate", "results/tiny", "--backend", "ideal", "--backend", "noisy")
    assert code == 0, err
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in out.splitlines() if line[:1] == "|"]
    assert rows[0] == ["Backend", "Accuracy", "Loss", "Examples"]
    for backend, accuracy, loss, _ in rows[2:]:
        of = json.loads((here / "results" / "tiny" / "evaluations" / f"{backend}.json").read_text())
        assert (accuracy, loss) == (f"{of['accuracy']:.2%}", f"{of['loss']:.4f}")
    assert [row[0] for row in rows[2:]] == ["ideal", "noisy"]
    assert "Outputs: results/tiny/evaluations/ideal.csv, results/tiny/evaluations/noisy.csv" in out
    code, out, _ = fedqml("evaluate", "results/tiny", "--backend", "ideal", "--backend", "noisy", "--json", "-")
    assert [of["backend"] for of in json.loads(out)] == ["ideal", "noisy"]
    code, _, err = fedqml("evaluate", "results/tiny", "--backend", "ideal", "--backend", "ideal")
    assert (code, "--backend must name each backend once" in err) == (2, True)


def test_a_backend_that_is_not_known(here, fedqml):
    for command in (["evaluate", "results/tiny", "--backend", "quito"], ["predict", "results/tiny", "x.npz"]):
        code, _, err = fedqml(*command, *(["--backend", "quito"] if command[0] == "predict" else []))
        assert code == 4
        assert "There is no backend 'quito'; known are ideal, noisy. --backends FILE names another backends file" in err
        assert "`quito: {type: aer, noise: FakeQuitoV2}`" in err
