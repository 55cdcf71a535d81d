"""Warm starts: a run that begins from another run's final model, and no longer needs it once it has begun."""

import logging
import shutil

import pytest
import torch
import yaml

from qiskit_fedqml import RunResult, load_experiment, load_model, resume_federation, run_federation
from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.federation.runs.assembly import assemble
from qiskit_fedqml.federation.runs.resuming import extend_federation
from qiskit_fedqml.report.overview import origin_rows
from qiskit_fedqml.results.evaluation import evaluate_model
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.manifest import digest_of_file
from tests.conftest import TINY, make_tiny
from tests.federation.test_federation import same
from tests.stopping import Interrupt, StopAfter

CLASSICAL = {"num_qubits": 2, "num_layers": 2}
"""A circuit that a classical layer can match."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Result folders: a finished run, a stopped one, and a finished one of a classical model."""
    parent = tmp_path_factory.mktemp("sources")
    run_federation(make_tiny(federation__rounds=3), parent / "finished")
    with pytest.raises(Interrupt):
        run_federation(make_tiny(federation__rounds=3), parent / "stopped", observer=StopAfter(2, 1))
    run_federation(make_tiny(model__circuit=CLASSICAL, model__quantum="classical"), parent / "classical")
    return parent


@pytest.fixture
def source(sources, tmp_path):
    """A finished run, which a test may change."""
    return shutil.copytree(sources / "finished", tmp_path / "before")


def begun_from(source, **overrides):
    return make_tiny(model__initial=str(source), seed=9, **overrides)


def test_run_begins_from_the_model_and_says_so(source, tmp_path):
    final = RunResult.load(source)
    begins = assemble(begun_from(source), None, None).initial.model
    assert begins.keys() < final.state.keys()
    assert all(torch.equal(tensor, final.state[name]) for name, tensor in begins.items())
    result = run_federation(begun_from(source), tmp_path / "run")
    assert result.rounds[0].test_loss != run_federation(make_tiny(seed=9)).rounds[0].test_loss
    assert result.run["initial"] == {
        "folder": str(source),
        "run_id": final.run["run_id"],
        "rounds": 3,
        "sha256": digest_of_file(source / "model.safetensors"),
    }
    assert RunResult.load(tmp_path / "run").run == result.run
    (row,) = (row for row in origin_rows({"A": result, "B": final}) if row[""] == "Began from")
    assert row["A"].startswith("the model of before after 3 rounds (SHA-256 ")
    assert row["B"] == "–"


@pytest.mark.parametrize("stop", [(1, 1), (2, 1)])
def test_run_that_has_begun_needs_the_other_run_no_longer(source, tmp_path, stop):
    whole = run_federation(begun_from(source), tmp_path / "whole")
    with pytest.raises(Interrupt):
        run_federation(begun_from(source), tmp_path / "run", observer=StopAfter(*stop))
    shutil.rmtree(source)
    same(resume_federation(tmp_path / "run"), whole)
    longer = extend_federation(tmp_path / "run", 3)
    assert len(longer.rounds) == 3
    assert evaluate_model(tmp_path / "run", assemble(make_tiny(), None, None).registry.server).accuracy == (
        longer.rounds[-1].test_accuracy
    )
    assert load_model(tmp_path / "run").state_dict().keys() == longer.state.keys()
    with pytest.raises(ResultError, match=r"model.initial: .*before is not a result folder"):
        run_federation(begun_from(source), tmp_path / "another")


def test_model_in_the_folder_that_is_overwritten(source, tmp_path):
    before = RunResult.load(source).state
    run_federation(begun_from(source), source, overwrite=True)
    assert RunResult.load(source).run["initial"]["folder"] == str(source)
    assert RunResult.load(source).state.keys() == before.keys()


def test_first_checkpoint_that_is_gone(source, tmp_path):
    with pytest.raises(Interrupt):
        run_federation(begun_from(source), tmp_path / "run", observer=StopAfter(1, 1))
    RunFolder(tmp_path / "run").checkpoints.remove()
    with pytest.raises(ResultError, match="its checkpoints are gone, and with them the model to resume from"):
        resume_federation(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("nothing", {}, "nothing is not a result folder"),
        ("x" * 300, {}, "xx… cannot be used: File name too long"),
        ("stopped", {}, "is not finished: 1 of its 3 rounds are done; `fedqml resume` continues it"),
        ("finished", {"model__hidden": [5]}, r"its model.hidden is \[4\], but must be \[5\]"),
        ("finished", {"model__circuit": CLASSICAL}, "its model.circuit is {'ansatz': 'paper'"),
        ("finished", {"model__quantum": "classical"}, "its model.quantum is 'trainable', but must be 'classical'"),
        ("classical", {"model__circuit": CLASSICAL}, "its model.quantum is 'classical', but must be 'trainable'"),
        ("finished", {"data__classes": [0, 2]}, "is for the classes 0, 1, but the data have 0, 2"),
    ],
)
def test_what_no_run_can_begin_from(sources, tmp_path, name, overrides, message):
    with pytest.raises(ResultError, match=f"^model.initial: .*{message}"):
        run_federation(begun_from(sources / name, **overrides), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("file", ["model.safetensors", "run.json", "manifest.json", "rounds.jsonl"])
def test_damaged_files(source, tmp_path, file):
    content = bytearray((source / file).read_bytes())
    content[len(content) // 2] ^= 4
    (source / file).write_bytes(content)
    with pytest.raises(ResultError, match=r"^model.initial: .*(damaged|is not JSON|cannot be read)"):
        run_federation(begun_from(source), tmp_path / "run")


def test_model_of_another_number_of_features(source, tmp_path):
    import numpy as np

    rng = np.random.default_rng(0)
    labels = {"y_train": np.arange(40) % 2, "y_test": np.arange(6) % 2}
    np.savez(tmp_path / "d.npz", x_train=rng.normal(size=(40, 3)), x_test=rng.normal(size=(6, 3)), **labels)
    other = begun_from(source, data={"dataset": "npz", "path": str(tmp_path / "d.npz")})
    with pytest.raises(ResultError, match=r"head.0.weight must have the shape \(4, 3\), but has the shape \(4, 64\)"):
        run_federation(other)


def test_other_scaling_is_logged(source, caplog):
    with caplog.at_level(logging.WARNING):
        assemble(begun_from(source), None, None)
        assert not caplog.records
        assemble(begun_from(source, features={"scaling": {"method": "constant", "divisor": 16.0}}), None, None)
    assert "was trained on features that were scaled differently" in caplog.text


def test_frozen_circuit_keeps_its_own_weights(source):
    with pytest.raises(ValueError, match="initial cannot come with quantum: frozen"):
        begun_from(source, model__quantum="frozen")


def test_relative_paths(tmp_path, monkeypatch):
    """Of a file they start at its folder, as its backends do; on the command line at the current folder."""
    (tmp_path / "files").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    file = tmp_path / "files" / "e.yaml"
    file.write_text(yaml.safe_dump({**TINY, "model": {**TINY["model"], "initial": "../runs/a"}}))
    assert load_experiment(file).model.initial == str(tmp_path / "files" / ".." / "runs" / "a")
    assert load_experiment(file, {"model.initial": "runs/b"}).model.initial == str(tmp_path / "here" / "runs" / "b")
    assert load_experiment(file, {"model.initial": None}).model.initial is None
    absolute = str(tmp_path / "runs" / "c")
    assert load_experiment(file, {"model.initial": absolute}).model.initial == absolute
    for wrong in ("", 3, ["a"]):
        with pytest.raises(ConfigurationError, match=r"'model.initial'"):
            load_experiment(file, {"model.initial": wrong})
