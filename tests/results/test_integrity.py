"""What ties a run's files together: nothing that was damaged, edited or exchanged is taken for the run's."""

import json
import logging
import os
import random
import re
import shutil
from dataclasses import replace
from hashlib import sha256

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from qiskit_fedqml import RunResult, load_model, resume_federation, run_federation
from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.federation.runs.resuming import extend_federation
from qiskit_fedqml.report.page import write_report
from qiskit_fedqml.results.checkpoint import load_checkpoint
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.last_checkpoint import load_last_checkpoint
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


LAST_CHECKPOINT = "checkpoints/step-000002.safetensors"
"""Of the stopped runs below."""


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
    for other in (runs / "other_stopped" / "checkpoints").iterdir():
        shutil.copy(other, stopped / "checkpoints" / other.name)
    everything_refuses(stopped, "is of another run. There is no other checkpoint that can be used")


def flipped(content, rng):
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


def cut(content, rng):
    return content[: rng.randrange(len(content))]


@pytest.mark.parametrize("damage", [flipped, cut])
@pytest.mark.parametrize(
    "file", ["rounds.jsonl", "run.json", "manifest.json", "config.yaml", "model.safetensors", LAST_CHECKPOINT]
)
def test_damage_anywhere_is_refused_or_changes_nothing(copy, runs, file, damage):
    """Of an unfinished run, the state before may be what is left."""
    name = "finished" if file == "model.safetensors" else "stopped"
    whole, folder, rng = RunResult.load(runs / name), copy(name), random.Random(file)
    content = (folder / file).read_bytes()
    states = {p.name: load_checkpoint(p).states for p in (runs / "stopped" / "checkpoints").iterdir()}
    found = set()
    for _ in range(60):
        (folder / file).write_bytes(damage(content, rng))
        try:
            stored = RunResult.load(folder)
            checkpoint, records = None, whole.rounds
            if name != "finished":
                checkpoint, records = load_last_checkpoint(RunFolder(folder))
            model = stored.state if name == "finished" else None
        except ResultError as error:
            assert str(error).endswith(".")
            assert str(folder) in str(error)
            found.add("refused")
            continue
        assert stored.rounds == whole.rounds[: len(stored.rounds)]
        assert stored.experiment == whole.experiment
        assert records == whole.rounds[: len(records)]
        found.add(len(records))
        if model is not None:
            assert all(torch.equal(model[key], whole.state[key]) for key in model)
        if checkpoint is not None:
            expected = states[f"step-{len(records):06d}.safetensors"]
            assert checkpoint.states.keys() == expected.keys()
            assert all(torch.equal(checkpoint.states[n][k], t) for n, of in expected.items() for k, t in of.items())
    assert "refused" in found or (file == LAST_CHECKPOINT and 1 in found)
    (folder / file).write_bytes(content)
    assert len(resume_federation(folder).rounds) == 3


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


def with_another_tensor(path):
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    name = next(iter(tensors))
    save_file(tensors | {name: tensors[name] + 1}, path, metadata)


def truncated(path):
    os.truncate(path, path.stat().st_size - 1)


def emptied(path):
    path.write_bytes(b"")


def foreign(path):
    save_file({"weight": torch.ones(3)}, path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (with_another_tensor, "is damaged: the digest of '.*' is another one"),
        (truncated, "is damaged"),
        (emptied, "is damaged"),
        (foreign, "is no checkpoint of this version"),
    ],
)
def test_the_checkpoint_before_a_damaged_one_is_taken(copy, runs, caplog, damage, reason):
    folder = copy("stopped")
    damage(folder / LAST_CHECKPOINT)
    with caplog.at_level(logging.WARNING):
        resumed = resume_federation(folder)
    whole = RunResult.load(runs / "finished")
    same(whole, resumed)
    assert [r.without_times() for r in resumed.rounds] == [r.without_times() for r in whole.rounds]
    said = next(message for message in caplog.messages if "checkpoint before that is taken" in message)
    assert re.search(rf"step-000002.safetensors.*{reason}.*step-000001.safetensors, after round 1\.", said)


def test_the_checkpoint_before_fits_records_that_were_rewritten(copy, runs):
    folder = copy("stopped")
    RunWriter(RunFolder(folder)).rewrite_records([replace(r, qpu_seconds=1.0) for r in RunResult.load(folder).rounds])
    truncated(folder / LAST_CHECKPOINT)
    resumed = resume_federation(folder)
    same(RunResult.load(runs / "finished"), resumed)
    assert [r.qpu_seconds for r in resumed.rounds] == [1.0, None, None]
    assert RunResult.load(folder).rounds == resumed.rounds


@pytest.mark.slow
def test_rounds_on_a_device_that_are_replayed_send_no_job_again(tiny, tmp_path, caplog):
    manila = {"type": "ibm", "device": "FakeManilaV2", "shots": 16}
    backends = {"backends": {"ideal": {"type": "aer"}, "manila": manila}, "assignment": {"default": "manila"}}
    experiment = tiny(
        backends=backends, data__test_fraction=0.95, federation__rounds=3, federation__clients_per_round=1
    )
    with pytest.raises(Interrupt):
        run_federation(experiment, tmp_path / "run", observer=StopAfter(2, -1))
    before = RunFolder(tmp_path / "run").submissions()
    truncated(tmp_path / "run" / LAST_CHECKPOINT)
    resumed = resume_federation(tmp_path / "run")
    assert "after round 1" in caplog.text
    after = RunFolder(tmp_path / "run").submissions()
    assert [s.job_id for s in after[: len(before)]] == [s.job_id for s in before]
    assert {s.key.server_step for s in after[len(before) :]} == {3}
    assert [r.without_times() for r in resumed.rounds] == [r.without_times() for r in run_federation(experiment).rounds]


def test_a_run_on_a_device_does_not_go_on_without_its_journal(tiny, tmp_path):
    """Jobs that may exist would be sent again, and what was spent would be forgotten."""
    manila = {"type": "ibm", "device": "FakeManilaV2", "shots": 16}
    backends = {"backends": {"ideal": {"type": "aer"}, "manila": manila}, "assignment": {"default": "manila"}}
    experiment = tiny(backends=backends, data__test_fraction=0.98, federation__clients_per_round=1)
    with pytest.raises(Interrupt):
        run_federation(experiment, tmp_path / "run", observer=StopAfter(1, -1))
    (tmp_path / "run" / "journal.sqlite").rename(tmp_path / "aside")
    for _ in range(2):
        with pytest.raises(ResultError, match=r"run: its journal\.sqlite is gone, and with it which jobs were sent"):
            resume_federation(tmp_path / "run", budgets={"manila": 1e6})
    assert not (tmp_path / "run" / "journal.sqlite").exists()
    (tmp_path / "aside").rename(tmp_path / "run" / "journal.sqlite")
    assert resume_federation(tmp_path / "run").is_complete


def test_no_checkpoint_is_taken_where_all_are_damaged(copy):
    folder = copy("stopped")
    for path in (folder / "checkpoints").iterdir():
        truncated(path)
    with pytest.raises(ResultError, match="step-000002.* is damaged: .* There is no other checkpoint that can be used"):
        resume_federation(folder)


def test_a_finished_run_is_extended_from_the_checkpoint_before(copy, runs, tiny):
    whole = run_federation(tiny(federation__rounds=4, **OPTIMIZED))
    folder = copy("finished")
    with_another_tensor(folder / "checkpoints" / "step-000003.safetensors")
    extended = extend_federation(folder, 4)
    same(whole, extended)
    same(whole, RunResult.load(folder))


@pytest.mark.parametrize(("keep", "every", "left"), [(1, 1, [4]), (3, 1, [2, 3, 4]), (2, 2, [2, 4]), (2, 9, [])])
def test_so_many_checkpoints_are_kept(tiny, tmp_path, keep, every, left):
    experiment = tiny(federation__rounds=5, checkpoints={"keep": keep, "every": every})
    with pytest.raises(Interrupt):
        run_federation(experiment, tmp_path / "run", observer=StopAfter(5, 1))
    steps = sorted(int(path.stem.removeprefix("step-")) for path in (tmp_path / "run").glob("checkpoints/*"))
    assert steps == left
    assert len(RunResult.load(tmp_path / "run").rounds) == max(left, default=0)
    whole = run_federation(experiment)
    resumed = resume_federation(tmp_path / "run")
    same(whole, resumed)
    assert [r.without_times() for r in resumed.rounds] == [r.without_times() for r in whole.rounds]
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_what_is_left_of_a_write_goes_when_the_run_is_resumed(copy):
    folder = copy("stopped")
    (folder / "checkpoints" / "step-000003.safetensors.part").write_bytes(b"{")
    (folder / "checkpoints" / "step-000007.safetensors").write_bytes(b"{")
    assert len(resume_federation(folder).rounds) == 3
    left = {path.name for path in (folder / "checkpoints").iterdir()}
    assert left == {"step-000002.safetensors", "step-000003.safetensors"}


def test_what_no_run_has_put_among_the_checkpoints_stays_and_is_in_nobodys_way(copy, runs, tiny, tmp_path):
    folder = copy("stopped")
    (folder / "checkpoints").rename(tmp_path / "elsewhere")
    (folder / "checkpoints").symlink_to(tmp_path / "elsewhere")
    (folder / "checkpoints" / "notes.txt").write_text("mine")
    (folder / "checkpoint.safetensors").mkdir()
    for name in ("step-000000.safetensors", "step-000001.safetensors.part", "step-000009.safetensors", "more"):
        (folder / "checkpoints" / name).mkdir()
    resumed = resume_federation(folder)
    same(RunResult.load(runs / "finished"), resumed)
    left = {path.name for path in (folder / "checkpoints").iterdir() if path.is_file()}
    assert left == {"notes.txt", "step-000002.safetensors", "step-000003.safetensors"}, "two are kept, of the run's own"
    run_federation(tiny(), tmp_path / "run", observer=AmongCheckpoints(tmp_path / "run" / "checkpoints"))
    assert RunResult.load(tmp_path / "run").is_complete
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["mine"]


class AmongCheckpoints(StopAfter):
    """An observer that puts a folder among the checkpoints of a run."""

    def __init__(self, checkpoints):
        super().__init__(0, 0)
        self.checkpoints = checkpoints

    def round_finished(self, record):
        (self.checkpoints / "mine").mkdir(parents=True, exist_ok=True)


@pytest.mark.parametrize("make", [lambda p: p.touch(), lambda p: p.symlink_to(p), lambda p: p.symlink_to("none")])
def test_nothing_is_lost_where_something_is_in_the_place_of_the_checkpoints(copy, runs, tmp_path, make):
    folder = copy("stopped")
    (folder / "checkpoints").rename(tmp_path / "aside")
    make(folder / "checkpoints")
    for _ in range(2):
        with pytest.raises(ResultError, match=r"checkpoints: cannot be read: (Not a dir|Too many levels|No such file)"):
            resume_federation(folder)
    (folder / "checkpoints").unlink()
    (tmp_path / "aside").rename(folder / "checkpoints")
    same(RunResult.load(runs / "finished"), resume_federation(folder))


def test_what_is_in_the_place_of_the_lock_is_named(copy):
    folder = copy("stopped")
    (folder / "run.lock").write_text("this is my lock")
    with pytest.raises(ResultError, match=r"run\.lock is not the lock of a run; it must be removed\.$"):
        resume_federation(folder)
    assert (folder / "run.lock").read_text() == "this is my lock"


def test_the_only_checkpoint_of_a_run_that_was_begun_before(copy, runs):
    """Before there were several, it lay in the result folder, with a digest for each state."""
    folder = copy("stopped")
    path = folder / LAST_CHECKPOINT
    with safe_open(path, framework="pt") as file:
        body = json.loads(file.metadata()["checkpoint"])
    states = {}
    for name, state in load_checkpoint(path).states.items():
        digest = sha256()
        for key, tensor in state.items():
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.numpy().tobytes())
        states[name] = {"tensors": list(state), "sha256": digest.hexdigest()}
    del body["tensors"]
    text = json.dumps({**body, "states": states})
    metadata = {"checkpoint": text, "sha256": sha256(text.encode()).hexdigest()}
    save_file(load_file(path), folder / "checkpoint.safetensors", metadata)
    shutil.rmtree(folder / "checkpoints")
    assert len(RunResult.load(folder).rounds) == 2
    same(RunResult.load(runs / "finished"), resume_federation(folder))
    extend_federation(folder, 4)
    assert {path.name for path in folder.glob("**/*checkpoint*")} == {"checkpoints"}


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


def test_a_configuration_that_cannot_be_kept_changes_nothing(copy, monkeypatch):
    def refuse(_):
        raise ConfigurationError("it has too many values")

    finished, stopped = copy("finished"), copy("stopped")
    before = {path: path.read_bytes() for path in (*finished.rglob("*"), *stopped.rglob("*")) if path.is_file()}
    monkeypatch.setattr("qiskit_fedqml.results.writer.dump_yaml", refuse)
    with pytest.raises(ConfigurationError, match="^it has too many values$"):
        run_federation(make_tiny(), finished, overwrite=True)
    with pytest.raises(ConfigurationError, match="^it has too many values$"):
        resume_federation(stopped, workers=2)
    with pytest.raises(ConfigurationError, match="^it has too many values$"):
        run_federation(make_tiny(), finished.parent / "new")
    assert {path: path.read_bytes() for path in before} == before
    assert not (finished.parent / "new").exists()


def test_rewritten_records_are_proved_at_each_moment(copy):
    for name in ("finished", "stopped"):
        folder = copy(name)
        writer = RunWriter(RunFolder(folder))
        stored = RunResult.load(folder)
        old = (folder / "rounds.jsonl").read_bytes()
        charged = tuple(replace(r, qpu_seconds=1.0) for r in stored.rounds)
        writer.rewrite_records(charged)
        assert RunResult.load(folder).rounds == charged
        assert name == "finished" or len(resume_federation(folder).rounds) == 3
        (folder / "rounds.jsonl").write_bytes(old)
        if name == "finished":
            with pytest.raises(ResultError, match="not those of this run"):
                RunResult.load(folder)
