"""What ties a run's files together: nothing that was damaged, edited or exchanged is taken for the run's."""

import json
import logging
import shutil

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from qiskit_fedqml import RunResult, load_model, resume_federation, run_federation
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.federation.runs.run import extend_federation
from qiskit_fedqml.report.page import write_report
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.manifest import load_manifest
from qiskit_fedqml.results.writer import RunWriter
from tests.conftest import make_tiny
from tests.federation.test_federation import same
from tests.stopping import Interrupt, StopAfter

OPTIMIZED = {
    "aggregation__server_optimizer": {"method": "fedadam"},
    "federation__client_optimizer_state": "keep",
    "federation__clients_per_round": 3,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Result folders: a finished run, one stopped in its third round, and others with another seed."""
    parent = tmp_path_factory.mktemp("runs")
    for seed, (finished, stopped) in ((5, ("finished", "stopped")), (6, ("other", "other_stopped"))):
        experiment = make_tiny(seed=seed, federation__rounds=3, **OPTIMIZED)
        run_federation(experiment, parent / finished)
        with pytest.raises(Interrupt):
            run_federation(experiment, parent / stopped, observer=StopAfter(3, 1))
    return parent


@pytest.fixture
def copy(runs, tmp_path):
    """Return a function that copies one of the folders."""
    return lambda name: shutil.copytree(runs / name, tmp_path / name)


def everything_refuses(folder, match):
    """Check that nothing that reads a folder takes it."""
    for read in (RunResult.load, resume_federation, lambda f: write_report([f], f.parent / "report")):
        with pytest.raises(ResultError, match=match):
            read(folder)


@pytest.mark.parametrize("name", ["finished", "stopped"])
@pytest.mark.parametrize(
    ("file", "match"),
    [
        ("rounds.jsonl", "first . lines are not those of this run"),
        ("run.json", "damaged, or of another run"),
        ("manifest.json", "damaged|another"),
    ],
)
def test_files_of_another_run_are_refused(copy, runs, name, file, match):
    folder = copy(name)
    shutil.copy(runs / ("other" if name == "finished" else "other_stopped") / file, folder / file)
    everything_refuses(folder, match)


def test_model_and_checkpoint_of_another_run_are_refused(copy, runs):
    finished, stopped = copy("finished"), copy("stopped")
    shutil.copy(runs / "other" / "model.safetensors", finished / "model.safetensors")
    everything_refuses(finished, "damaged, or of another run")
    with pytest.raises(ResultError, match="damaged, or of another run"):
        load_model(finished)
    shutil.copy(runs / "other_stopped" / "checkpoint.safetensors", stopped / "checkpoint.safetensors")
    everything_refuses(stopped, "is of another run")


@pytest.mark.parametrize(
    "file", ["rounds.jsonl", "run.json", "manifest.json", "config.yaml", "model.safetensors", "checkpoint.safetensors"]
)
def test_a_flipped_bit_is_found_or_changes_nothing(copy, runs, file):
    finished = file == "model.safetensors"
    whole = RunResult.load(runs / "finished")
    folder = copy("finished" if finished else "stopped")
    content = (folder / file).read_bytes()
    for position in range(0, len(content), max(1, len(content) // 40)):
        (folder / file).write_bytes(bytes([*content[:position], content[position] ^ 4, *content[position + 1 :]]))
        try:
            stored = RunResult.load(folder)
            state = load_model(folder).state_dict() if finished else RunFolder(folder).load_checkpoint().states
        except ResultError:
            continue
        assert stored.rounds == whole.rounds[: len(stored.rounds)]
        assert stored.experiment == whole.experiment
        assert not finished or all(torch.equal(state[key], whole.state[key]) for key in state)
    (folder / file).write_bytes(content)
    assert finished or resume_federation(folder).rounds[-1].without_times() == whole.rounds[-1].without_times()


@pytest.mark.parametrize("name", ["finished", "stopped"])
@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda c: c["federation"].update(learning_rate=0.5), "federation.learning_rate was 0.05, is 0.5"),
        (lambda c: c["federation"].update(rounds=2), "federation.rounds was 3, is 2"),
        (lambda c: c["model"].pop("dropout"), "model.dropout was 0.25, is not there"),
        (lambda c: c.pop("evaluation"), "evaluation.backends was"),
        (lambda c: c["data"].update(classes=[1, 0]), r"data.classes was \[0, 1\], is \[1, 0\]"),
    ],
)
def test_edited_configuration_is_refused_by_the_key(copy, name, change, key):
    folder = copy(name)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    change(config)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    everything_refuses(folder, key)


def test_truncated_configuration_is_refused_and_comments_are_not(copy):
    folder = copy("finished")
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text("# mine\n" + text)
    assert RunResult.load(folder).is_complete
    (folder / "config.yaml").write_text(text[: text.index("aggregation:")])
    everything_refuses(folder, "was edited after the run began: aggregation.*and .* more")


def test_classes_and_data_that_changed_since_are_refused(tiny, tmp_path, runs, monkeypatch):
    import numpy as np

    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.normal(size=(40, 4)), "y_train": np.arange(40) % 2}
    arrays |= {"x_test": rng.normal(size=(10, 4)), "y_test": np.arange(10) % 2}
    np.savez(tmp_path / "d.npz", **arrays)
    experiment = tiny(data={"dataset": "npz", "path": str(tmp_path / "d.npz")}, federation__rounds=3)
    with pytest.raises(Interrupt):
        run_federation(experiment, tmp_path / "run", observer=StopAfter(2, 1))
    for name, values, match in (
        ("y_train", 1 - arrays["y_train"], "the train data are not those"),
        ("x_test", arrays["x_test"] + 1, "the test data are not those"),
        ("y_train", arrays["y_train"] * 2, "the classes were"),
    ):
        changed = arrays | {name: values} | ({"y_test": arrays["y_test"] * 2} if match.startswith("the cl") else {})
        np.savez(tmp_path / "d.npz", **changed)
        with pytest.raises(ResultError, match=match):
            resume_federation(tmp_path / "run")
    np.savez(tmp_path / "d.npz", **arrays)
    assert resume_federation(tmp_path / "run").is_complete


def test_checkpoint_with_another_tensor_is_refused(copy):
    folder = copy("stopped")
    path = folder / "checkpoint.safetensors"
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    name = next(iter(tensors))
    save_file(tensors | {name: tensors[name] + 1}, path, metadata)
    with pytest.raises(ResultError, match="the digest of .* is another one"):
        resume_federation(folder)


def test_lost_manifest_is_told(copy):
    folder = copy("finished")
    (folder / "manifest.json").unlink()
    everything_refuses(folder, "has no manifest.json")


def test_folders_of_version_01_are_read_with_a_note(copy, caplog):
    folder = copy("finished")
    (folder / "manifest.json").unlink()
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({key: run[key] for key in run if key not in ("run_id", "data")}))
    with caplog.at_level(logging.WARNING):
        assert len(RunResult.load(folder).rounds) == 3
    assert "nothing proves that its files are whole" in caplog.text
    assert write_report([folder], folder.parent / "report").exists()
    assert load_model(folder) is not None
    (folder / "model.safetensors").unlink()
    with pytest.raises(ResultError):
        resume_federation(folder)


@pytest.mark.parametrize("name", ["finished", "stopped"])
@pytest.mark.parametrize("options", [{}, OPTIMIZED])
def test_extended_run_is_that_of_more_rounds(tiny, tmp_path, name, options):
    whole = run_federation(tiny(federation__rounds=5, **options))
    experiment = tiny(federation__rounds=3, **options)
    if name == "finished":
        run_federation(experiment, tmp_path / "run")
    else:
        with pytest.raises(Interrupt):
            run_federation(experiment, tmp_path / "run", observer=StopAfter(2, 1))
    extended = extend_federation(tmp_path / "run", 5)
    same(whole, extended)
    same(whole, RunResult.load(tmp_path / "run"))
    (change,) = load_manifest(tmp_path / "run").changes
    assert (change.key, change.before, change.after) == ("federation.rounds", "3", "5")
    with pytest.raises(ResultError, match="5 rounds are done, so it cannot have 4"):
        extend_federation(tmp_path / "run", 4)


def test_a_change_of_the_configuration_that_was_cut_short_is_taken_up(copy):
    folder = copy("stopped")
    before = (folder / "config.yaml").read_text()
    writer = RunWriter(RunFolder(folder))
    writer.replace_experiment(RunFolder(folder).load_experiment().with_rounds(4), "extend --rounds")
    (folder / "config.yaml").write_text(before)  # as if the process had been killed between the two files
    assert RunResult.load(folder).experiment.federation.rounds == 4


def test_rewritten_records_are_proved_at_each_moment(copy):
    for name in ("finished", "stopped"):
        folder = copy(name)
        writer = RunWriter(RunFolder(folder))
        stored = RunResult.load(folder)
        old = (folder / "rounds.jsonl").read_bytes()
        import dataclasses

        charged = tuple(dataclasses.replace(r, qpu_seconds=1.0) for r in stored.rounds)
        writer.rewrite_records(charged)
        assert RunResult.load(folder).rounds == charged
        assert name == "finished" or len(resume_federation(folder).rounds) == 3
        (folder / "rounds.jsonl").write_bytes(old)
        if name == "finished":
            with pytest.raises(ResultError, match="not those of this run"):
                RunResult.load(folder)
