"""The comparison of circuits: its schemes are equal in all but the circuit, and it does not run twice what is there."""

import csv
import sys

import pytest

from qiskit_fedqml import load_experiment
from qiskit_fedqml.model.building import circuit_for
from tests.conftest import ROOT


@pytest.mark.parametrize(("num_qubits", "classes"), [(4, (8, 9)), (8, (1, 3, 8, 9))])
def test_schemes_differ_in_circuit_and_machines_alone(script, num_qubits, classes):
    made = {
        name: load_experiment(ROOT / "experiments" / "digits.yaml", overrides)
        for name, overrides in script.schemes(num_qubits, classes).items()
    }
    assert len(made) == 9
    for name, experiment in made.items():
        assert experiment.data == made["paper"].data
        assert experiment.federation == made["paper"].federation
        assert circuit_for(experiment.model, len(classes)).num_inputs == num_qubits
        assert (experiment.backends == made["paper"].backends) == (not name.endswith("noisy array"))


@pytest.mark.slow
def test_a_small_comparison(script, tmp_path, monkeypatch, capsys):
    made = script.schemes(4, (0, 1))
    small = {"federation.rounds": 1, "federation.clients_per_round": 1, "data.test_fraction": 0.9}
    monkeypatch.setattr(script, "schemes", lambda *_: {name: {**made[name], **small} for name in made})
    arguments = ["--seeds", "2", "--num-qubits", "4", "--classes", "0", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["", *arguments])
    script.main()
    out = tmp_path / "digits_0_1_on_4_qubits"
    with (out / "table.csv").open() as table:
        assert [line["Circuit"] for line in csv.DictReader(table)] == [*script.ANSATZE, "classical"]
    assert (out / "circuits.svg").exists()
    written = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("rounds.jsonl")}
    assert len(written) == 18
    script.main()
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("rounds.jsonl")} == written
    assert capsys.readouterr().out.count("Two-qubit gates") == 2
