"""Heads, losses and metrics of the user's own, and models without a head or a circuit, through whole runs."""

import json
from functools import partial

import numpy as np
import pytest
import torch
import yaml

from qiskit_fedqml import RunResult, load_experiment, load_model, resume_federation, run_federation
from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.federation.runs.resuming import extend_federation
from qiskit_fedqml.planning.planner import plan_experiment
from qiskit_fedqml.results.evaluation import evaluate_model
from tests.conftest import TINY
from tests.federation.test_federation import same
from tests.federation.test_own_parts import fresh
from tests.own_parts import LazyHead, focal, head_with_statistics, own_head, share_of_first
from tests.stopping import Interrupt, StopAfter

SMALL_CIRCUIT = {"circuit": TINY["model"]["circuit"]}
PARTS = {
    "head": partial(own_head, width=5),
    "loss": partial(focal, gamma=1.0),
    "metrics": ["accuracy", "auc", "f1", partial(share_of_first, factor=2.0)],
}
SECTIONS = {
    "model": {
        "head": {"python": "tests.own_parts:own_head", "arguments": {"width": 5}},
        "loss": {"python": "tests.own_parts:focal", "arguments": {"gamma": 1.0}},
        **SMALL_CIRCUIT,
    },
    "evaluation": {
        "metrics": ["accuracy", "auc", "f1", {"python": "tests.own_parts:share_of_first", "arguments": {"factor": 2.0}}]
    },
}
NO_CIRCUIT = {"quantum": "none", "hidden": [4], "dropout": 0.25}


@pytest.fixture
def one_thread():
    """As many threads of torch's as a worker has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_a_model_of_ones_own_is_resumed_and_evaluated_in_a_fresh_process(tiny, tmp_path):
    whole = run_federation(tiny(), **PARTS)
    with pytest.raises(Interrupt):
        run_federation(tiny(), tmp_path / "run", **PARTS, observer=StopAfter(1, 0))
    fresh(tmp_path, "from qiskit_fedqml import resume_federation as r; r('run')")
    stored = RunResult.load(tmp_path / "run")
    same(stored, whole)
    assert np.array_equal(stored.confusion, whole.confusion)
    last = stored.rounds[-1]
    assert last.metrics.keys() == {"accuracy", "auc", "f1", "share_of_first"}
    assert last.metrics["accuracy"] == last.test_accuracy
    fresh(tmp_path, "from qiskit_fedqml.cli import app; app(['evaluate', 'run'])")
    tested = json.loads((tmp_path / "run" / "evaluations" / "ideal.json").read_text())
    assert tested["metrics"] == last.metrics
    assert tested["loss"] == last.test_loss
    assert tested["confusion"] == stored.confusion.tolist()


def test_the_same_from_yaml_and_in_worker_processes(tiny, tmp_path, one_thread):
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({**TINY, **SECTIONS}))
    alone = run_federation(tiny(), **PARTS)
    same(run_federation(load_experiment(tmp_path / "own.yaml", {"federation.workers": 2})), alone)
    same(run_federation(load_experiment(tmp_path / "own.yaml", {"federation.lockstep": "auto"})), alone)


def test_a_head_takes_the_place_of_hidden_layers_and_dropout(tiny):
    model = run_federation(tiny(), head=LazyHead).experiment.model
    assert (model.hidden, model.dropout) == ((), 0.0)


def test_a_head_that_does_not_fit_writes_nothing(tiny, tmp_path):
    with pytest.raises(ConfigurationError, match="running_mean"):
        run_federation(tiny(), tmp_path / "run", head=head_with_statistics)
    assert not (tmp_path / "run").exists()


def test_a_function_that_makes_another_head_later_is_refused(tiny, tmp_path, monkeypatch):
    run_federation(tiny(), tmp_path / "run", head=own_head)
    monkeypatch.setattr("torch.nn.Tanh", torch.nn.ReLU)  # the tensors have the same shapes
    for again in (partial(load_model, tmp_path / "run"), partial(extend_federation, tmp_path / "run", 5)):
        with pytest.raises(ResultError, match="`model.head` makes another head than when the run began"):
            again()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"head": own_head(3, 2)}, "`head` must be a class or a function at the top of a module"),
        ({"loss": torch.nn.CrossEntropyLoss()}, "`loss` must be a class or a function at the top of a module"),
        ({"metrics": "auc"}, "`metrics` must be a list of names and functions, but is a str"),
        ({"metrics": [lambda labels, logits: 0.0]}, "`metrics` must be a class or a function at the top"),
        ({"metrics": ["roc"]}, "argument `metrics`.* must be accuracy, auc, f1"),
    ],
)
def test_parts_that_are_none_are_refused(tiny, parts, message):
    with pytest.raises(ConfigurationError, match=f"(?i){message}"):
        run_federation(tiny(), **parts)


def test_torchs_own_loss_trains_as_the_default(tiny):
    own, default = run_federation(tiny(), loss=torch.nn.CrossEntropyLoss), run_federation(tiny())
    assert all(torch.equal(own.state[name], default.state[name]) for name in default.state)
    assert own.rounds[-1].test_loss == pytest.approx(default.rounds[-1].test_loss)


def test_a_loaded_model_has_its_loss_and_fedprox_wraps_it(tiny, tmp_path):
    plain = run_federation(tiny(), loss=focal)
    near = run_federation(tiny(federation__proximal_mu=1.0), tmp_path / "run", loss=focal)
    assert near.rounds[-1].train_loss != plain.rounds[-1].train_loss
    assert load_model(tmp_path / "run").loss is focal


def test_without_a_circuit_the_heads_outputs_are_the_logits(tiny, tmp_path):
    experiment = tiny(model=NO_CIRCUIT, data__classes=[0, 1, 2, 3, 4, 5], federation__rounds=3)
    whole = run_federation(experiment)
    assert not any("quantum" in name for name in whole.state)
    assert whole.state["head.3.weight"].shape == (6, 4)
    assert {record.circuits for record in whole.rounds} == {0}
    assert whole.rounds[-1].clients[0].simulator == "none"
    with pytest.raises(Interrupt):
        run_federation(experiment, tmp_path / "run", observer=StopAfter(2, 0))
    same(resume_federation(tmp_path / "run"), whole)
    model = load_model(tmp_path / "run")
    features = torch.randn(3, 64)
    assert torch.equal(model(features), model.head(model.scaling(features)))


@pytest.mark.parametrize("model", [NO_CIRCUIT, {"head": "none"}])
def test_stacked_clients_are_those_alone(tiny, model):
    options = {"model": model, "federation__clients_per_round": 3}
    if "head" in model:
        options["model"] = {**model, "circuit": {"python": "tests.own_parts:pixels"}}
    alone, stacked = (run_federation(tiny(**options, federation__lockstep=together)) for together in (1, 3))
    assert stacked.rounds[-1].test_loss == pytest.approx(alone.rounds[-1].test_loss, abs=1e-5)
    assert stacked.rounds[0].clients[0].train_loss == pytest.approx(alone.rounds[0].clients[0].train_loss, abs=1e-5)


def test_a_pure_quantum_model_trains_the_circuit_alone(tiny, tmp_path):
    experiment = tiny(model={"head": "none", "circuit": {"python": "tests.own_parts:pixels"}}, federation__rounds=4)
    result = run_federation(experiment, tmp_path / "run")
    assert result.state.keys() == {"scaling.mean", "scaling.deviation", "quantum.weight"}
    assert result.rounds[-1].test_loss < result.rounds[0].test_loss
    assert evaluate_model(tmp_path / "run", load_model(tmp_path / "run").network.backend).loss > 0


@pytest.mark.parametrize("head", ["none", "mlp"])
def test_without_a_head_a_device_shifts_no_inputs_and_the_plan_says_so(tiny, tmp_path, head):
    rng = np.random.default_rng(0)
    labels = np.arange(20) % 2
    arrays = {f"x_{part}": rng.normal(size=(20, 2)) for part in ("train", "test")}
    np.savez(tmp_path / "two.npz", **arrays, y_train=labels, y_test=labels)
    device = {"type": "ibm", "device": "FakeManilaV2", "shots": 8}
    experiment = tiny(
        data={"dataset": "npz", "path": str(tmp_path / "two.npz")},
        model={"head": head, **({"hidden": [], "dropout": 0.0} if head == "mlp" else {}), **SMALL_CIRCUIT},
        federation={"clients": 5, "clients_per_round": 1, "rounds": 1, "batch_size": 4},
        backends={
            "backends": {"exact": {"type": "aer"}, "chip": device},
            "assignment": {"default": "chip", "server": "exact"},
        },
    )
    (record,) = run_federation(experiment).rounds
    assert record.circuits == 4 * (1 + 2 * (6 + (4 if head == "mlp" else 0)))
    assert plan_experiment(experiment).total().circuits == record.circuits


def test_features_that_are_not_as_many_as_inputs_are_refused(tiny, tmp_path):
    with pytest.raises(ConfigurationError, match="there are 64 features and 2 inputs"):
        run_federation(tiny(model={"head": "none", "circuit": TINY["model"]["circuit"]}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_of_another_kind_is_no_beginning(tiny, tmp_path):
    run_federation(tiny(model=NO_CIRCUIT), tmp_path / "run")
    for model in ({"quantum": "classical"}, {}, {"head": {"python": "tests.own_parts:own_head"}}):
        with pytest.raises(ResultError, match=r"model\.initial: the model of .* is another one: its model\."):
            run_federation(tiny(model={**model, "initial": str(tmp_path / "run")}))


def test_metrics_of_further_backends_and_records_without_metrics(tiny, tmp_path):
    array = {"backends": {"ideal": {"type": "aer"}, "noisy": {"type": "aer", "noise": {"readout": 0.1}}}}
    evaluation = {"backends": ["noisy"], "metrics": ["auc"]}
    run_federation(tiny(backends=array, evaluation=evaluation), tmp_path / "run")
    last = RunResult.load(tmp_path / "run").rounds[-1]
    assert last.evaluations["noisy"].keys() == {"test_loss", "test_accuracy", "auc"}
    assert "metrics" not in run_federation(tiny()).rounds[-1].as_json()


def test_the_confusion_matrix_is_that_of_the_final_model(tiny, tmp_path):
    result = run_federation(tiny(), tmp_path / "run")
    assert np.trace(result.confusion) == pytest.approx(result.rounds[-1].test_accuracy * result.confusion.sum())
    extended = extend_federation(tmp_path / "run", 3)
    assert np.array_equal(extended.confusion, run_federation(tiny(federation__rounds=3)).confusion)
    (tmp_path / "run" / "confusion.json").write_text("[[1, 2], [3, 4]]")
    with pytest.raises(ResultError, match=r"confusion\.json is damaged"):
        _ = RunResult.load(tmp_path / "run").confusion


def test_a_run_that_is_not_finished_has_no_confusion_matrix(tiny, tmp_path):
    with pytest.raises(Interrupt):
        run_federation(tiny(), tmp_path / "run", observer=StopAfter(1, 0))
    assert RunResult.load(tmp_path / "run").confusion is None
