"""Runs that end early, and runs whose final model is that of their best round."""

import logging
import os

import pytest
import torch
from safetensors import safe_open

from qiskit_fedqml import RunResult, load_model, resume_federation, run_federation
from qiskit_fedqml.cli import main
from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.federation.runs.resuming import extend_federation
from qiskit_fedqml.results.initial import load_initial
from tests.conftest import make_tiny
from tests.federation.test_federation import same
from tests.stopping import Interrupt, StopAfter

ROUNDS, END, BEST = 12, 8, 5
"""Of the run below: rounds that it may have, the last one that it has, and its best one."""
RUGGED = {"data__validation_fraction": 0.1, "federation__learning_rate": 1.0, "federation__rounds": ROUNDS}
EARLY = RUGGED | {"federation__stop": {"patience": 3}, "federation__keep_best": True}


@pytest.fixture(scope="module")
def whole():
    """The run without an early end."""
    return run_federation(make_tiny(**RUGGED))


@pytest.fixture(scope="module")
def best():
    """The run that has no round after the best one."""
    return run_federation(make_tiny(**RUGGED | {"federation__rounds": BEST}))


@pytest.fixture(scope="module")
def early(tmp_path_factory):
    """The folder of the run that ends early."""
    folder = tmp_path_factory.mktemp("early") / "run"
    run_federation(make_tiny(**EARLY), folder)
    return folder


def records(run):
    return [record.without_times() for record in run.rounds]


def equal(state, other):
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


def test_a_run_ends_early_with_the_model_of_its_best_round(early, whole, best, caplog):
    run = RunResult.load(early)
    assert records(run) == records(whole)[:END]
    assert run.is_complete
    assert run.ended_early == "Ended after round 8 of 12: the validation loss has not improved for 3 rounds."
    assert run.final.round == BEST
    assert equal(run.state, best.state)
    with safe_open(early / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"round": str(BEST)}
    assert equal(dict(load_model(early).state_dict()), best.state)
    assert load_initial(early, run.experiment.model).origin["rounds"] == END
    assert records(resume_federation(early)) == records(run)  # there is nothing left to do
    assert not caplog.messages


@pytest.mark.parametrize(
    ("stop", "every"), [((2, 1), 1), ((BEST, -1), 1), ((BEST + 2, 1), 3), ((END, 1), 1), ((END, -1), 3)]
)
def test_a_killed_run_is_resumed_to_the_same_bits(early, tmp_path, stop, every):
    with pytest.raises(Interrupt):
        run_federation(make_tiny(**EARLY, checkpoints={"every": every}), tmp_path / "run", observer=StopAfter(*stop))
    resumed = resume_federation(tmp_path / "run")
    assert records(resumed) == records(RunResult.load(early))
    assert equal(resumed.state, RunResult.load(early).state)
    assert RunResult.load(tmp_path / "run").ended_early


def test_a_damaged_checkpoint_costs_a_round(early, tmp_path):
    with pytest.raises(Interrupt):
        run_federation(make_tiny(**EARLY), tmp_path / "run", observer=StopAfter(END, 1))
    last = max((tmp_path / "run" / "checkpoints").iterdir())
    os.truncate(last, last.stat().st_size - 1)
    assert equal(resume_federation(tmp_path / "run").state, RunResult.load(early).state)


def test_an_extended_run_is_that_without_an_early_end(tmp_path, whole):
    run_federation(make_tiny(**EARLY), tmp_path / "run")
    extended = extend_federation(tmp_path / "run", ROUNDS)
    assert records(extended) == records(whole)
    assert extended.experiment.federation.stop is None
    assert extended.final.round == min(extended.rounds, key=lambda record: record.validation_loss).round
    assert equal(extended.state, run_federation(make_tiny(**RUGGED, federation__keep_best="loss")).state)
    same(extended, RunResult.load(tmp_path / "run"))


def test_a_run_may_end_with_the_rounds_that_it_has(tmp_path, early):
    with pytest.raises(Interrupt):
        run_federation(make_tiny(**EARLY), tmp_path / "run", observer=StopAfter(4, 1))
    ended = extend_federation(tmp_path / "run", 3)
    assert ended.is_complete
    assert not ended.ended_early
    assert equal(extend_federation(tmp_path / "run", END).state, RunResult.load(early).state)


def test_a_finished_run_without_its_last_state_is_not_extended(tmp_path):
    run_federation(make_tiny(**EARLY), tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(ResultError, match="its checkpoints are gone, and with them what"):
        extend_federation(tmp_path / "run", ROUNDS)


@pytest.mark.parametrize(
    "changes",
    [
        {"federation__clients_per_round": 4, "federation__lockstep": 4},
        {
            "federation__clients_per_round": 4,
            "federation__algorithm": {"buffered": {"buffer": 2}},
            "scheduling": {"queue": {"lognormal": {"median_seconds": 60, "sigma": 1.0}}},
        },
        {"aggregation": {"server_optimizer": {"method": "fedadam"}}, "federation__client_optimizer_state": "keep"},
    ],
)
def test_any_algorithm_ends_early_and_is_resumed_and_extended(tmp_path, changes):
    long = run_federation(make_tiny(**RUGGED | changes))
    made = make_tiny(**EARLY | changes | {"federation__stop": {"patience": 2, "min_delta": 0.3}})
    run = run_federation(made, tmp_path / "run")
    assert run.ended_early
    assert records(run) == records(long)[: len(run.rounds)]
    with pytest.raises(Interrupt):
        run_federation(made, tmp_path / "killed", observer=StopAfter(2, -1))
    assert equal(resume_federation(tmp_path / "killed").state, run.state)
    assert records(extend_federation(tmp_path / "run", ROUNDS)) == records(long)


@pytest.mark.slow
def test_workers_end_at_the_same_round(early):
    run = run_federation(make_tiny(**EARLY, federation__workers=2))
    assert len(run.rounds) == END
    assert run.final.round == BEST


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"federation.algorithm": {"buffered": {"buffer": 1}}}])
def test_devices_end_early_too(server, experiment, tmp_path, changes):
    few = {"federation.rounds": 4, "federation.stop": {"patience": 1, "min_delta": 10.0}, "federation.keep_best": True}
    if changes:
        few |= {"federation.clients_per_round": 2}
    made = experiment(changes=few | changes)
    with pytest.raises(Interrupt):
        run_federation(made, tmp_path / "run", observer=StopAfter(1, -1))
    run = resume_federation(tmp_path / "run")
    assert len(run.rounds) == 2
    assert run.ended_early
    assert run.final.test_loss == min(record.test_loss for record in run.rounds)
    assert len(extend_federation(tmp_path / "run", 3).rounds) == 3


def test_test_data_are_only_looked_at_with_a_warning(caplog):
    changes = {"federation__rounds": 3, "federation__stop": {"patience": 1, "min_delta": 1.0}}
    run = run_federation(make_tiny(**changes))
    assert run.ended_early.endswith("the test loss has not improved for 1 round.")
    (message,) = caplog.messages
    assert message.startswith("`federation.stop` looks at the test data, since there are no validation data")
    caplog.clear()
    run_federation(make_tiny(**changes, data__validation_fraction=0.1))
    run_federation(make_tiny())
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_keep_best_takes_the_metric_of_stop():
    def metric(**federation):
        return make_tiny(federation__rounds=5, **federation).federation.keep_best

    accuracy = {"patience": 1, "metric": "accuracy"}
    assert metric(federation__keep_best=True) == "loss"
    assert metric(federation__keep_best=True, federation__stop=accuracy) == "accuracy"
    assert metric(federation__keep_best="loss", federation__stop=accuracy) == "loss"
    assert metric(federation__keep_best=False) is None


def test_patience_that_nothing_can_wear_out_is_refused(early):
    with pytest.raises(ValueError, match=r"stop.patience \(4\) has no effect with 5 rounds"):
        make_tiny(federation__rounds=5, federation__stop={"patience": 4})
    assert RunResult.load(early).experiment.with_rounds(4).federation.stop is None
    with pytest.raises(ConfigurationError, match="`rounds`"):
        RunResult.load(early).experiment.with_rounds(0)


def test_the_command_line_says_how_a_run_ended(early, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["fedqml", "resume", str(early)])
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr()
    assert "Ended after round 8 of 12: the validation loss has not improved for 3 rounds." in shown.err
    assert "The final model is that of round 5, the best by validation loss: test loss 0.51" in shown.err
    assert "had all its 8 rounds already" in shown.out
