"""What a run says of checkpoints that are gone or damaged: from which round it continues, and what can be done."""

import logging
import os
import shutil

import pytest

from qiskit_fedqml import RunResult, resume_federation, run_federation
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.federation.runs.resuming import extend_federation
from tests.conftest import make_tiny
from tests.federation.test_federation import same
from tests.stopping import Interrupt, StopAfter

STATE = {"aggregation__server_optimizer": {"method": "fedadam"}}


@pytest.fixture(scope="module")
def whole():
    return run_federation(make_tiny(federation__rounds=4, **STATE))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of a run that was stopped in its fourth round, and of one that is finished after three."""
    parent = tmp_path_factory.mktemp("runs")
    with pytest.raises(Interrupt):
        run_federation(make_tiny(federation__rounds=4, **STATE), parent / "stopped", observer=StopAfter(4, 1))
    run_federation(make_tiny(federation__rounds=3, **STATE), parent / "finished")
    return parent


@pytest.fixture
def copy(runs, tmp_path):
    return lambda name: shutil.copytree(runs / name, tmp_path / name)


def truncate(path):
    os.truncate(path, path.stat().st_size - 1)


def truncate_header(path):
    os.truncate(path, 20)


def test_all_checkpoints_are_gone(copy, whole, caplog):
    folder = copy("stopped")
    shutil.rmtree(folder / "checkpoints")
    same(whole, resume_federation(folder))
    assert caplog.messages == [
        f"{folder} has no checkpoint, so it begins again at round 1, and the 3 rounds that are recorded run again."
    ]


def test_one_checkpoint_is_gone(copy, whole, caplog):
    folder = copy("stopped")
    (folder / "checkpoints" / "step-000003.safetensors").unlink()
    same(whole, resume_federation(folder))
    assert caplog.messages == [
        f"{folder} continues at round 3: its last checkpoint is that of round 2, and the round that is recorded after "
        "it run again."
    ]


def test_a_run_that_lacks_nothing_says_nothing(copy, whole, caplog):
    same(whole, resume_federation(copy("stopped")))
    assert caplog.messages == []


@pytest.mark.parametrize("damage", [truncate, truncate_header])
@pytest.mark.parametrize("work", [resume_federation, lambda folder: extend_federation(folder, 4)])
def test_damage_is_said_once(copy, whole, caplog, damage, work):
    folder = copy("stopped")
    damage(folder / "checkpoints" / "step-000003.safetensors")
    with caplog.at_level(logging.WARNING):
        same(whole, work(folder))
    (said,) = caplog.messages
    assert "The checkpoint before that is taken" in said
    assert said.endswith("step-000002.safetensors, after round 2.")


def test_damaged_records_are_said_once(copy):
    folder = copy("stopped")
    (folder / "rounds.jsonl").write_bytes(b"{}\n" + (folder / "rounds.jsonl").read_bytes())
    with pytest.raises(ResultError) as error:
        resume_federation(folder)
    assert str(error.value).count("rounds.jsonl is damaged") == 1


def test_all_damaged_checkpoints_are_named_and_what_helps(copy, whole):
    folder = copy("stopped")
    for path in (folder / "checkpoints").iterdir():
        truncate(path)
    with pytest.raises(ResultError) as error:
        resume_federation(folder)
    text = str(error.value)
    assert "step-000003.safetensors is damaged" in text
    assert "step-000002.safetensors is damaged" in text
    assert text.endswith(
        "Put back a copy of what is damaged, or remove all checkpoints: `fedqml resume` then begins again at round 1."
    )
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    same(whole, resume_federation(folder))


def test_a_finished_run_whose_state_is_gone_is_not_extended_from_its_model_alone(copy):
    """Its optimiser's moments were in the checkpoints: other rounds would follow than those of a longer run."""
    folder = copy("finished")
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(
        ResultError, match="its checkpoints are gone, and with them what its optimisers, tasks on their way or nodes"
    ):
        extend_federation(folder, 4)
    assert RunResult.load(folder).is_complete


def test_damaged_checkpoints_of_a_finished_run_are_not_to_be_removed(copy):
    folder = copy("finished")
    for path in (folder / "checkpoints").iterdir():
        truncate(path)
    with pytest.raises(ResultError, match=r"can be used\. Put back a copy of what is damaged\.$"):
        extend_federation(folder, 4)
