"""Curves in TensorBoard and MLflow: whole after an interruption, each round once, and never in the result's way."""

import json
import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import pytest
import yaml

from qiskit_fedqml import resume_federation, run_federation
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.tracking import MlflowConfig, without_secrets
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.writer import RunWriter
from qiskit_fedqml.tables import flattened
from qiskit_fedqml.tracking.trackers import Point, TensorBoardTracker
from qiskit_fedqml.tracking.tracking import Tracking, metrics_of, tracked_configuration
from tests.conftest import TINY
from tests.stopping import Interrupt, StopAfter

NOISY = {"backends": {"ideal": {"type": "aer"}, "noisy": {"type": "aer", "noise": {"readout": 0.1}}}}
NAMES = {
    *("train_loss", "test_loss", "test_accuracy", "validation_loss", "validation_accuracy", "examples_so_far"),
    *("seconds", "test_loss_on_noisy", "test_accuracy_on_noisy"),
}


@pytest.fixture
def stop_after(monkeypatch):
    """Return a function by which runs end after a round was shown, but before its checkpoint: it is trained again."""

    def stop(round):
        def save(writer, values, states, **options):
            if values["step"] == round:
                raise Interrupt
            real(writer, values, states, **options)

        real = RunWriter.save_checkpoint
        monkeypatch.setattr(RunWriter, "save_checkpoint", save)
        return lambda: monkeypatch.setattr(RunWriter, "save_checkpoint", real)

    return stop


def interrupted_and_resumed(experiment, out, stop_after):
    go_on = stop_after(2)
    with pytest.raises(Interrupt):
        run_federation(experiment, out)
    go_on()
    return resume_federation(out)


def tracked(tiny, **tracking):
    more = {"data__validation_fraction": 0.1, "backends": NOISY, "evaluation__backends": ["noisy"]}
    return tiny(federation__rounds=3, tracking=tracking, **more)


def curves_of(result):
    """Return what trackers must show: for each metric its steps and values."""
    curves, examples = {}, 0
    for record in result.rounds:
        examples += record.examples
        for name, value in metrics_of(record, examples).items():
            curves.setdefault(name, []).append((record.round, value))
    return curves


def without_seconds(curves):  # those of a replayed round are its own
    return {name: points for name, points in curves.items() if name != "seconds"}


def test_tensorboard_shows_a_resumed_run_whole(tiny, tmp_path, stop_after):
    module = "tensorboard.backend.event_processing.event_accumulator"
    accumulator = pytest.importorskip(module).EventAccumulator
    result = interrupted_and_resumed(tracked(tiny, tensorboard=True), tmp_path / "run", stop_after)
    plain = run_federation(tracked(tiny))
    assert [r.without_times() for r in result.rounds] == [r.without_times() for r in plain.rounds]
    shown = accumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    curves = {tag: [(e.step, e.value) for e in shown.Scalars(tag)] for tag in shown.Tags()["scalars"]}
    assert set(curves) == NAMES
    for name, points in without_seconds(curves_of(result)).items():
        assert [step for step, _ in curves[name]] == [1, 2, 3]
        assert [value for _, value in curves[name]] == pytest.approx([value for _, value in points])  # float32
    (configuration,) = shown.Tensors("configuration/text_summary")
    assert b'"rounds": 3' in configuration.tensor_proto.string_val[0]


def test_tensorboard_gets_what_a_finished_run_lacks(tiny, tmp_path):
    module = "tensorboard.backend.event_processing.event_accumulator"
    accumulator = pytest.importorskip(module).EventAccumulator
    run_federation(tiny(federation__rounds=3, tracking={"tensorboard": True}), tmp_path / "run")
    events = tmp_path / "run" / "tensorboard"
    whole = sorted(events.iterdir())
    resume_federation(tmp_path / "run")
    assert sorted(events.iterdir()) == whole  # nothing was missing
    for num_kept in (0, 2):
        for file in events.iterdir():
            file.unlink()
        if num_kept:
            TensorBoardTracker(events, 0, {}).show([Point(n, {"test_loss": 1.0}) for n in (1, 2)])
        resume_federation(tmp_path / "run")
        assert [e.step for e in accumulator(str(events)).Reload().Scalars("test_loss")] == [1, 2, 3]
        assert [e.step for e in accumulator(str(events)).Reload().Scalars("seconds")] == [1, 2, 3][num_kept:]


def test_an_overwritten_folder_keeps_nothing_of_trackers(tiny, tmp_path):
    run_federation(tiny(federation__rounds=1), tmp_path / "run")
    (tmp_path / "run" / "tensorboard").mkdir()
    (tmp_path / "run" / "mlflow.json").write_text("{}")
    run_federation(tiny(federation__rounds=1), tmp_path / "run", overwrite=True)
    assert not (tmp_path / "run" / "tensorboard").exists()
    assert not (tmp_path / "run" / "mlflow.json").exists()


class FakeMlflowClient:
    """As much of MLflow's client as is used, in memory; like the service it refuses a changed parameter."""

    stores: ClassVar[dict] = {}

    def __init__(self, tracking_uri=None):
        self.store = self.stores.setdefault(tracking_uri, {"experiments": {}, "runs": {}})

    def get_experiment_by_name(self, name):
        known = self.store["experiments"]
        return SimpleNamespace(experiment_id=known[name]) if name in known else None

    def create_experiment(self, name):
        return self.store["experiments"].setdefault(name, str(len(self.store["experiments"])))

    def create_run(self, experiment_id, run_name=None):
        info = SimpleNamespace(run_id=str(len(self.store["runs"])), run_name=run_name, status="RUNNING")
        data = SimpleNamespace(params={}, tags={}, metrics={})
        self.store["runs"][info.run_id] = SimpleNamespace(
            info=info, data=data, experiment_id=experiment_id, history={}, statuses=[]
        )
        return self.get_run(info.run_id)

    def get_run(self, run_id):
        return self.store["runs"][run_id]

    def update_run(self, run_id, status):
        self.get_run(run_id).info.status = status
        self.get_run(run_id).statuses.append(status)

    def log_batch(self, run_id, metrics=(), params=(), tags=()):
        assert max(len(params), len(tags)) <= 100
        run = self.get_run(run_id)
        for metric in metrics:
            run.history.setdefault(metric.key, []).append(metric)
            run.data.metrics[metric.key] = metric.value
        for param in params:
            assert run.data.params.setdefault(param.key, param.value) == param.value
        run.data.tags |= {tag.key: tag.value for tag in tags}

    def get_metric_history(self, run_id, key):
        return self.get_run(run_id).history[key]

    def search_runs(self, experiment_ids):
        return [run for run in self.store["runs"].values() if run.experiment_id in experiment_ids]


@pytest.fixture(params=["fake", "real"])
def mlflow(request, monkeypatch, tmp_path):
    """Return the class of MLflow's clients: a fake one, and the real one where it is installed."""
    if request.param == "real":
        return pytest.importorskip("mlflow").MlflowClient
    fake, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    fake.MlflowClient = FakeMlflowClient
    entities.Metric = lambda key, value, timestamp, step: SimpleNamespace(key=key, value=value, step=step)
    entities.Param = entities.RunTag = lambda key, value: SimpleNamespace(key=key, value=value)
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    monkeypatch.setattr(FakeMlflowClient, "stores", {})
    return FakeMlflowClient


def runs_in(client, experiment):
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def test_mlflow_shows_a_resumed_run_whole_in_one_run(tiny, tmp_path, stop_after, mlflow):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    experiment = tracked(tiny, mlflow={"uri": uri, "experiment": "mine"})
    result = interrupted_and_resumed(experiment, tmp_path / "noisy run", stop_after)
    plain = run_federation(tracked(tiny))
    assert [r.without_times() for r in result.rounds] == [r.without_times() for r in plain.rounds]
    client = mlflow(tracking_uri=uri)
    (run,) = runs_in(client, "mine")
    assert json.loads((tmp_path / "noisy run" / "mlflow.json").read_text()) == {"run_id": run.info.run_id}
    assert (run.info.run_name, run.info.status) == ("noisy run", "FINISHED")
    assert set(run.data.metrics) == NAMES
    history = {name: client.get_metric_history(run.info.run_id, name) for name in NAMES}
    curves = {name: sorted((m.step, m.value) for m in points) for name, points in history.items()}
    assert without_seconds(curves) == without_seconds(curves_of(result))
    assert [step for step, _ in curves["seconds"]] == [1, 2, 3]
    assert run.data.params["federation.rounds"] == "3"
    assert run.data.params["evaluation.backends"] == '["noisy"]'
    assert run.data.tags["versions.torch"] == result.run["versions"]["torch"]
    if mlflow is FakeMlflowClient:
        assert run.statuses == ["RUNNING", "KILLED", "RUNNING", "FINISHED"]
    stored = yaml.safe_load((tmp_path / "noisy run" / "config.yaml").read_text())
    assert stored["tracking"] == {"tensorboard": False, "mlflow": {"uri": uri, "experiment": "mine"}}


def steps_in(client, experiment):
    (run,) = runs_in(client, experiment)
    return sorted(metric.step for metric in client.get_metric_history(run.info.run_id, "seconds"))


def test_mlflow_gets_what_a_finished_run_lacks(tiny, tmp_path, monkeypatch, caplog, mlflow):
    def refuse(*args, **kwargs):
        raise ConnectionError("no answer")

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with monkeypatch.context() as patched:
        patched.setattr(mlflow, "log_batch", refuse)
        run_federation(tiny(federation__rounds=2, tracking={"mlflow": {"uri": uri}}), tmp_path / "run")
    assert [r.name for r in caplog.records if r.levelname == "WARNING"] == ["qiskit_fedqml.tracking.tracking"] * 2
    assert f"`fedqml resume {tmp_path / 'run'}` sends what is missing" in caplog.text
    monkeypatch.setattr("qiskit_fedqml.federation.runs.run.assemble", refuse)  # nothing is trained
    for _ in range(2):
        resume_federation(tmp_path / "run")
        assert steps_in(mlflow(tracking_uri=uri), "qiskit_fedqml") == [1, 2]
    (run,) = runs_in(mlflow(tracking_uri=uri), "qiskit_fedqml")
    assert run.info.status == "FINISHED"


def test_mlflow_has_a_round_once_whose_answer_was_lost(tiny, tmp_path, monkeypatch, mlflow):
    def log_and_lose(client, run_id, metrics=(), **others):
        log(client, run_id, metrics=metrics, **others)
        if metrics and not lost:
            lost.append(metrics)
            raise TimeoutError

    log, lost = mlflow.log_batch, []
    monkeypatch.setattr(mlflow, "log_batch", log_and_lose)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    run_federation(tiny(federation__rounds=3, tracking={"mlflow": {"uri": uri}}))
    assert lost
    assert steps_in(mlflow(tracking_uri=uri), "qiskit_fedqml") == [1, 2, 3]


def test_mlflow_without_a_folder_and_in_other_places(tiny, tmp_path, mlflow):
    uris = [f"sqlite:///{tmp_path}/{name}.db" for name in ("first", "second")]
    for uri, experiment in ((uris[0], "mine"), (uris[0], "other"), (uris[1], "mine")):
        run_federation(tiny(federation__rounds=1, tracking={"mlflow": {"uri": uri, "experiment": experiment}}))
        assert len(runs_in(mlflow(tracking_uri=uri), experiment)) == 1


@pytest.mark.parametrize(
    ("tracking", "module", "extra"),
    [
        ({"tensorboard": True}, "torch.utils.tensorboard", "tensorboard"),
        ({"mlflow": {}}, "mlflow", "mlflow"),
    ],
)
def test_a_missing_extra_is_told_before_anything_runs(tiny, tmp_path, monkeypatch, tracking, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf"pip install 'qiskit-fedqml\[{extra}\]'"):
        run_federation(tiny(tracking=tracking), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(Interrupt):
        run_federation(tiny(), tmp_path / "stopped", observer=StopAfter(2, 1))
    writer = RunWriter(RunFolder(tmp_path / "stopped"))
    writer.replace_experiment(tiny(tracking=tracking), "a test")
    with pytest.raises(ConfigurationError, match="pip install"):
        resume_federation(tmp_path / "stopped")


def test_tensorboard_needs_a_folder(tiny):
    with pytest.raises(ConfigurationError, match="the run has none"):
        run_federation(tiny(tracking={"tensorboard": True}))


@pytest.mark.parametrize(
    "uri",
    [
        *("https://me:hush@host", "https://hush@host/x", "postgresql://me:hush@host/db", "//me:hush@host"),
        *("http://me:hun/hush@host", "http://me:hun?hush@host", "http://me:hun#hush@host", "http://me:h@n/hush@host"),
        *(
            f"mysql://host/db?a=b&{key}=hush"
            for key in ("password", "pass", "PWD", "key", "api_key", "Token", "secret")
        ),
        *("mssql://?odbc_connect=DRIVER%3Dx%3BPWD%3Dhush", "https://host?p%61ssword=hush", "https://host#token=hush"),
    ],
)
def test_secrets_are_not_taken_from_the_configuration(uri):
    with pytest.raises(ConfigurationError, match="must hold no name and no password") as caught:
        validate(Experiment, {**TINY, "tracking": {"mlflow": {"uri": uri}}}, "tiny")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        *("sqlite:///mlflow.db", "sqlite:////home/me@work/mlflow.db", "file:///C:/me@work", "runs/me@work"),
        *("https://host:5000/mlflow", "databricks", "postgresql://host/db?sslmode=require&sslkey=/etc/client.key"),
    ],
)
def test_addresses_without_secrets_are_taken(uri):
    assert MlflowConfig(uri=uri).uri == uri


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("no answer from http://me:hun/hush@host/api?x=1", "no answer from http://host/api?x=1"),
        ("https://host/api?api_key=hush&x=1", "https://host/api?api_key=…&x=1"),
        ("refused (password: hush", "refused (password: …"),
        ("""{"Pwd": "hush hush", "x": 1}""", """{"Pwd": …, "x": 1}"""),
        ("DRIVER%3Dx%3BPWD%3Dhush", "DRIVER%3Dx%3BPWD%3D…"),
        ("Authorization: Bearer hush", "Authorization: …"),
        ("the experiment 'monkeys' is deleted: no such file", "the experiment 'monkeys' is deleted: no such file"),
    ],
)
def test_secrets_are_masked_in_what_is_logged(text, masked):
    assert without_secrets(text) == masked


def test_the_users_account_is_not_told(tiny):
    device = {"type": "ibm", "device": "ibm_kingston", "account": "mine", "instance": "crn:mine"}
    experiment = tiny(backends={"backends": {"ideal": {"type": "aer"}, "kingston": device}})
    told = flattened(tracked_configuration(experiment))
    assert told["backends.backends.kingston.device"] == "ibm_kingston"
    assert not any("mine" in value for value in told.values())


class Unreliable:
    """A tracker whose service is out of reach at some of its calls."""

    def __init__(self, *failing):
        self.failing, self.calls, self.shown, self.closed = failing, 0, [], None

    def show(self, curve):
        self.calls += 1
        if self.calls in self.failing:
            raise ConnectionError("no answer from https://me:hush@host/api?token=hush")
        self.shown = [point.round for point in curve]

    def close(self, *, is_finished):
        self.closed = is_finished


def test_a_tracker_that_fails_is_left_alone_until_the_end(tiny, caplog):
    records = run_federation(tiny(federation__rounds=3)).rounds
    broken, well = Unreliable(2), Unreliable()
    with caplog.at_level(logging.WARNING), Tracking({"Broken": broken, "Well": well}, records[:1]) as tracking:
        for record in records[1:]:
            tracking.round_finished(record)
    assert broken.calls == 3  # before the first round, at the failure, and at the end
    assert broken.shown == well.shown == [1, 2, 3]
    assert (broken.closed, well.closed) == (True, True)
    (warning,) = caplog.messages
    assert "Broken cannot be sent this run's rounds: no answer from https://host/api?token=…." in warning


def test_a_stopped_run_does_not_wait_for_a_tracker_that_failed(tiny, caplog):
    broken, well = Unreliable(1, 2), Unreliable()
    with pytest.raises(Interrupt), Tracking({"Broken": broken, "Well": well}, []):
        raise Interrupt
    assert (broken.calls, broken.closed, well.closed) == (1, None, False)
    (warning,) = caplog.messages
    assert "this is tried again at its end." in warning


def test_what_may_be_missing_is_told_at_the_end(tiny, caplog):
    records = run_federation(tiny(federation__rounds=3)).rounds
    never, late = Unreliable(3, 4), Unreliable(4, 5)
    with Tracking({"Never": never, "Late": late}, records[:1], Path("results/x")) as tracking:
        for record in records[1:]:
            tracking.round_finished(record)
    assert (never.calls, never.closed, late.calls, late.closed) == (4, None, 4, None)
    before, never_told, late_told = caplog.messages
    assert before.startswith("Never cannot be sent this run's rounds: no answer")
    assert never_told.startswith("Never still cannot be sent this run's rounds: no answer")
    assert never_told.endswith("Round 3 may be missing there; `fedqml resume results/x` sends what is missing.")
    assert late_told.endswith("token=….")  # it had all rounds before
