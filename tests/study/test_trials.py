import csv
import json
import os

import pytest

from qiskit_fedqml import run_federation
from qiskit_fedqml.backends.calibration import fake_calibration
from qiskit_fedqml.backends.devices.database import connected
from qiskit_fedqml.errors import BackendError, ConfigurationError, ResultError
from qiskit_fedqml.results.lock import LOCK
from qiskit_fedqml.study.outcomes import settled_accuracy
from qiskit_fedqml.study.study import Trial
from qiskit_fedqml.study.summary import write_study
from qiskit_fedqml.study.trials import run_trials
from tests.federation.test_federation import same
from tests.stopping import Interrupt, StopAfter


def trials(tiny, seeds=(1, 2), **options):
    return [
        Trial(scheme, tiny(seed=seed, model__quantum=quantum, **options))
        for seed in seeds
        for scheme, quantum in (("Trained", "trainable"), ("Control: frozen", "frozen"))
    ]


def test_trials_run_once_and_are_read_back(tiny, tmp_path):
    told = []
    study = run_trials(trials(tiny), tmp_path, on_trial=lambda trial, run, done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert study.schemes == ("Trained", "Control: frozen")
    assert list(study.of("Trained")) == [1, 2]
    assert not list(tmp_path.rglob("model.safetensors"))
    again = run_trials(trials(tiny), tmp_path, on_trial=lambda *_: pytest.fail("a finished trial was run again"))
    assert again.runs == study.runs
    assert set(study.values("Trained", settled_accuracy)) == {1, 2}


def test_trial_that_was_begun_goes_on_to_the_same_bits(tiny, tmp_path):
    trial = trials(tiny, seeds=(1,), federation__rounds=3)[0]
    with pytest.raises(Interrupt):
        run_federation(trial.experiment, trial.folder(tmp_path), observer=StopAfter(2, 1))
    study = run_trials([trial], tmp_path, keep_models=True)
    same(study.of("Trained")[1], run_federation(trial.experiment))


def test_trial_that_was_stopped_while_it_made_its_folder_is_begun_anew(tiny, tmp_path):
    trial = trials(tiny, seeds=(1,))[0]
    trial.folder(tmp_path).mkdir(parents=True)
    (trial.folder(tmp_path) / "run.json").write_text("{}")
    with pytest.raises(ResultError, match="Trained, seed 1: .*seed1 exists already and is not a result folder"):
        run_trials([trial], tmp_path)
    connected(trial.folder(tmp_path) / LOCK, lock_seconds=0).close()
    assert run_trials([trial], tmp_path).of("Trained")[1].is_complete


@pytest.mark.slow
def test_several_processes_give_the_same_figures(tiny, tmp_path):
    one = run_trials(trials(tiny), tmp_path / "one")
    two = run_trials(trials(tiny), tmp_path / "two", processes=2)
    for key, run in one.runs.items():
        assert [r.test_accuracy for r in run.rounds] == pytest.approx([r.test_accuracy for r in two.runs[key].rounds])


@pytest.mark.slow
def test_data_that_a_function_makes_go_to_several_processes(tiny, tmp_path):
    data = {"python": "tests.own_parts:own_data", "arguments": {"is_divided": False}}
    own = [Trial("Own", tiny(seed=seed, data=data)) for seed in (1, 2)]
    assert set(run_trials(own, tmp_path, processes=2).of("Own")) == {1, 2}


def test_folder_of_another_configuration_is_refused(tiny, tmp_path):
    run_trials(trials(tiny, seeds=(1,)), tmp_path)
    with pytest.raises(ResultError, match=r"federation.batch_size is \d+ there, 5 here"):
        run_trials(trials(tiny, seeds=(1,), federation__batch_size=5), tmp_path)
    with pytest.raises(ConfigurationError, match="must differ in scheme or seed"):
        run_trials(trials(tiny, seeds=(1, 1)), tmp_path)


@pytest.mark.slow
def test_failing_trial_stops_the_others(tiny, tmp_path):
    bad = Trial("Bad", tiny(seed=3, backends={"backends": {"ideal": {"type": "aer", "noise": "FakeNone"}}}))
    others = [Trial(f"Long {n}", tiny(federation__rounds=100_000)) for n in range(3)]
    with pytest.raises(BackendError, match="Bad, seed 3"):
        run_trials([others[0], bad, *others[1:]], tmp_path, processes=2)
    assert not others[2].folder(tmp_path).exists()


def test_trial_with_a_saved_calibration_is_known_again(tiny, tmp_path):
    fake_calibration("FakeManilaV2").save(tmp_path / "mine.json")
    noise = {"calibration": str(tmp_path / "mine.json")}
    trial = Trial("Mine", tiny(backends={"backends": {"ideal": {"type": "aer", "noise": noise}}}))
    run_trials([trial], tmp_path / "out")
    run_trials([trial], tmp_path / "out", on_trial=lambda *_: pytest.fail("a finished trial was run again"))
    (tmp_path / "mine.json").unlink()
    os.mkfifo(tmp_path / "mine.json")
    with pytest.raises(ResultError, match="calibration of backend 'ideal'.*json: cannot be read: it is not a file"):
        run_trials([trial], tmp_path / "out")


def test_lost_model_is_trained_again_where_models_are_kept(tiny, tmp_path):
    trial = Trial("Trained", tiny())
    first = run_trials([trial], tmp_path).of("Trained")[5]
    again = run_trials([trial], tmp_path, keep_models=True).of("Trained")[5]
    assert (trial.folder(tmp_path) / "model.safetensors").exists()
    assert [r.test_loss for r in again.rounds] == [r.test_loss for r in first.rounds]


def test_failing_trial_is_named(tiny, tmp_path):
    bad = tiny(seed=3, backends={"backends": {"ideal": {"type": "aer", "noise": "FakeNone"}}})
    with pytest.raises(Exception, match="Bad, seed 3: .*FakeNone"):
        run_trials([Trial("Bad", bad)], tmp_path)


def test_files_do_not_say_where_the_study_ran(tiny, tmp_path):
    first = Trial("First", tiny())
    run_trials([first], tmp_path / "runs", keep_models=True)
    initial = str(first.folder(tmp_path / "runs"))
    then = Trial("Then", tiny(model={**tiny().resolved()["model"], "initial": initial}))
    write_study(run_trials([first, then], tmp_path / "runs", keep_models=True), tmp_path)
    configurations = json.loads((tmp_path / "configurations.json").read_text())
    assert configurations["Then"]["model"]["initial"] == "runs/first/seed5"
    assert all(str(tmp_path) not in path.read_text() for path in tmp_path.glob("*.*"))


def test_files_hold_every_run_and_round(tiny, tmp_path):
    study = run_trials(trials(tiny), tmp_path / "runs")
    write_study(study, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [(line["scheme"], line["seed"]) for line in lines] == list(study.runs)
    configurations = json.loads((tmp_path / "configurations.json").read_text())
    assert configurations["Control: frozen"] == study.of("Control: frozen")[1].experiment.resolved()
    with (tmp_path / "rounds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(run.rounds) for run in study.runs.values())
    of_first = [row for row in rows if row["scheme"] == "Trained" and row["seed"] == "1"]
    assert int(of_first[-1]["examples"]) == lines[0]["examples"]
    assert float(of_first[-1]["test_accuracy"]) == pytest.approx(lines[0]["test_accuracy"], rel=1e-5)
