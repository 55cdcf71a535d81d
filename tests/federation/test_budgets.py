"""No round is begun that the budgets, or the account, cannot pay; and what was paid for is never lost."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from qiskit_fedqml import RunResult, cli, resume_federation, run_federation
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.errors import AccountLimitError, BudgetError, ResultError
from qiskit_fedqml.federation.runs.resuming import extend_federation
from qiskit_fedqml.planning.planner import plan_experiment
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.manifest import load_manifest
from tests.conftest import TINY
from tests.federation.test_federation import same
from tests.stopping import Interrupt, StopAfter

JOBS = 3
"""Of a round: two steps of the client on the device, and a test there."""
FAST = {"poll_seconds": 0.05, "outage_seconds": 10, "request_seconds": 10}


@pytest.fixture
def experiment(tiny, tmp_path):
    """Return a function that makes four rounds of two clients, one of them on a device on which the server tests."""
    rng = np.random.default_rng(0)
    labels = {"y_train": np.arange(8) % 2, "y_test": np.arange(4) % 2}
    np.savez(tmp_path / "d.npz", x_train=rng.normal(size=(8, 3)), x_test=rng.normal(size=(4, 3)), **labels)

    def make(budget=None, device="FakeManilaV2", entry=None, **overrides):
        entries = {
            "ideal": {"type": "aer"},
            "a": {"type": "ibm", "device": device, "shots": 16, "layout_trials": 1, "waiting": FAST, **(entry or {})},
        }
        made = {"data": {"dataset": "npz", "path": str(tmp_path / "d.npz")}, "evaluation": {"backends": ["a"]}}
        made |= {"federation": {**TINY["federation"], "clients": 2, "rounds": 4, "batch_size": 2}}
        file = {"backends": entries, "assignment": {"clients": {0: "a"}}, "budget_seconds": budget}
        return tiny(**made, backends=file, **overrides)

    return make


@pytest.fixture
def server(monkeypatch):
    pytest.importorskip("qiskit_ibm_runtime.executor_estimator", reason="the loopback server runs the executor's jobs")
    from tests.ibm_server import IBMServer

    with IBMServer({"ibm_manila": "FakeManilaV2"}) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


class After:
    """An observer that does something after a round."""

    def __init__(self, round, action):
        self.at, self.action = round, action

    def __getattr__(self, name):
        return lambda *_: None

    def round_finished(self, record):
        if record.round == self.at:
            self.action()


def planned(experiment):
    """Return the QPU seconds of one round; all are alike."""
    return plan_experiment(experiment).total().qpu_seconds / experiment.federation.rounds


def test_run_that_does_not_fit_is_refused_and_leaves_nothing(experiment, tmp_path):
    each = planned(experiment())
    with pytest.raises(BudgetError) as error:
        run_federation(experiment(2.5 * each), tmp_path / "run")
    assert str(error.value) == (
        f"The run's 4 rounds need {4 * each:.1f} QPU seconds, but the run's budget is {2.5 * each:.1f} s, "
        f"{1.5 * each:.1f} s too little: 2 of them fit. Nothing was sent; plan fewer rounds, give it a larger budget, "
        "take what `fedqml plan --fit` proposes, or allow a part of it (--allow-partial)."
    )
    assert not (tmp_path / "run").exists()
    for allow_partial in (False, True):
        with pytest.raises(BudgetError, match=r"budget of a is .*: none fits\. Nothing was sent; .* proposes\.$"):
            run_federation(experiment(entry={"budget_seconds": 0.9 * each}), allow_partial=allow_partial)


@pytest.mark.slow
def test_part_of_a_run_is_kept_resumed_and_ended(experiment, tmp_path):
    each, out = planned(experiment()), tmp_path / "run"
    whole = run_federation(experiment())
    part = run_federation(experiment(2.5 * each), out, allow_partial=True)
    assert [r.without_times() for r in part.rounds] == [r.without_times() for r in whole.rounds[:2]]
    assert part.stopped == (
        f"Round 3 of 4 needs {each:.1f} QPU seconds, but the run's budget is {2.5 * each:.1f} s, of which "
        f"{2 * each:.1f} s are spent, {0.5 * each:.1f} s too little. It was not begun; 2 rounds are done."
    )
    assert not part.is_complete
    two = run_federation(experiment().with_rounds(2))
    assert all(torch.equal(part.state[name], two.state[name]) for name in two.state)
    assert Journal(out / "journal.sqlite").spent_seconds() == pytest.approx(2 * each)
    assert not RunFolder(out).is_finished

    before = load_manifest(out)
    with pytest.raises(BudgetError, match=r"^The 2 rounds left need .* of which .* are spent, .*: 1 of them fits\."):
        resume_federation(out, budgets={None: 3.5 * each})
    assert load_manifest(out) == before, "what was refused has changed nothing"
    part = resume_federation(out, budgets={None: 3.5 * each}, allow_partial=True)
    assert len(part.rounds) == 3
    same(resume_federation(out, budgets={None: 4.1 * each}), whole)
    assert len(RunFolder(out).submissions()) == 4 * JOBS, "no job was sent twice"
    assert [c.command for c in load_manifest(out).changes] == ["resume --budget"] * 2


@pytest.mark.slow
def test_run_may_end_with_the_rounds_that_are_done(experiment, tmp_path):
    each, out = planned(experiment()), tmp_path / "run"
    run_federation(experiment(2.5 * each), out, allow_partial=True)
    with pytest.raises(ResultError, match="not finished"):
        _ = RunResult.load(out).state
    ended = extend_federation(out, 2)
    same(ended, run_federation(experiment().with_rounds(2)))
    model = (out / "model.safetensors").read_bytes()
    with pytest.raises(BudgetError, match=r"^The one round left needs .*: none fits\."):
        extend_federation(out, 3)
    assert RunFolder(out).is_finished
    assert (out / "model.safetensors").read_bytes() == model
    assert len(RunResult.load(out).rounds) == 2
    assert load_manifest(out).configuration["federation"]["rounds"] == 2
    part = extend_federation(out, 2, allow_partial=True)
    assert part.is_complete


@pytest.mark.slow
def test_extended_run_equals_one_that_had_so_many_rounds(experiment, tmp_path):
    """Also where the checkpoint holds more than the model, and records were rewritten with charges."""
    kept = {"aggregation": {"server_optimizer": {"method": "fedadam"}}}
    run_federation(experiment(**kept).with_rounds(2), tmp_path / "run")
    same(extend_federation(tmp_path / "run", 4), run_federation(experiment(**kept)))


def test_partial_run_in_memory_keeps_its_model(experiment):
    each = planned(experiment())
    part = run_federation(experiment(1.2 * each), allow_partial=True)
    one = run_federation(experiment().with_rounds(1))
    assert len(part.rounds) == 1
    assert all(torch.equal(part.state[name], one.state[name]) for name in one.state)


@pytest.mark.slow
@pytest.mark.parametrize("at", [(1, 2), (3, 2)])
def test_what_an_interrupted_round_has_paid_counts(experiment, tmp_path, at):
    """A budget of just the plan suffices for a run that is interrupted and resumed."""
    each = planned(experiment())
    exact = experiment(4 * each + 0.01)
    with pytest.raises(Interrupt):
        run_federation(exact, tmp_path / "run", observer=StopAfter(*at))
    assert RunFolder(tmp_path / "run").submissions()
    resumed = resume_federation(tmp_path / "run")
    same(resumed, run_federation(experiment()))
    assert not resumed.stopped
    assert len(RunFolder(tmp_path / "run").submissions()) == 4 * JOBS


@pytest.mark.slow
def test_charges_above_the_plan_stop_the_run_between_rounds(server, experiment, tmp_path):
    """The service charges half as much again: what is left pays a round by the plan, but not by what it is charged."""
    device = server.devices["ibm_manila"]
    as_planned, each = device.quantum_seconds, planned(experiment())
    device.quantum_seconds = lambda program: 1.5 * as_planned(program)
    tight = experiment(4.4 * each, "ibm_manila")
    with pytest.raises(BudgetError, match=r"^Round 3 of 4 needs .* It was not begun; 2 rounds are done\."):
        run_federation(tight, tmp_path / "run")
    assert server.usage.consumed_seconds == pytest.approx(3 * each, rel=0.01), "1.4 rounds' worth by the plan is left"
    assert len(server.jobs) == 2 * JOBS
    assert len(RunResult.load(tmp_path / "run").rounds) == 2
    resumed = resume_federation(tmp_path / "run", budgets={None: 7 * each})
    assert resumed.is_complete
    assert len(server.jobs) == 4 * JOBS


@pytest.mark.slow
def test_what_the_account_has_left(server, experiment, tmp_path):
    real = experiment(device="ibm_manila")
    each = planned(experiment())
    server.usage.limit_seconds = 3.3 * each
    with pytest.raises(AccountLimitError, match=r"^The run's 4 rounds need .* what the account of a has left is"):
        run_federation(real, tmp_path / "run")
    assert not server.jobs

    def elsewhere():
        server.usage.charge(2 * each)

    part = run_federation(real, tmp_path / "run", allow_partial=True, observer=After(1, elsewhere))
    assert len(part.rounds) == 1
    assert part.stopped.startswith("Round 2 of 4 needs")
    assert "what the account of a has left is" in part.stopped
    assert len(server.jobs) == JOBS
    server.usage.limit_seconds = 9 * each
    assert resume_federation(tmp_path / "run").is_complete
    assert len(server.jobs) == 4 * JOBS


@pytest.mark.slow
def test_silence_of_the_service_between_rounds_stops_nothing(server, experiment, tmp_path, monkeypatch):
    from qiskit_fedqml.planning import guard

    monkeypatch.setattr(guard, "SHORT_SECONDS", 0.2)
    real = experiment(device="ibm_manila").with_rounds(2)
    silent = After(1, lambda: server.faults.outage("GET /instances/usage", seconds=1.0))
    assert run_federation(real, tmp_path / "run", observer=silent).is_complete


@pytest.mark.slow
def test_new_calibration_is_planned_with(server, experiment, tmp_path):
    each = planned(experiment())
    real = experiment(2.2 * each, "ibm_manila").with_rounds(2)
    again = After(1, server.devices["ibm_manila"].recalibrate)
    result = run_federation(real, tmp_path / "run", observer=again)
    dates = {record.devices["a"]["date"] for record in result.rounds}
    assert len(dates) == 2


def fedqml(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["fedqml", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out, err = capsys.readouterr()
    return caught.value.code or 0, out, err


@pytest.mark.slow
def test_commands(experiment, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    each = planned(experiment())
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(experiment(2.5 * each).resolved()))
    code, _, err = fedqml(monkeypatch, capsys, "run", "e.yaml")
    assert code == 5
    assert err.count("\n") == 1, "nothing was begun, so that there is nothing to resume"
    assert "2 of them fit. Nothing was sent" in err
    code, out, err = fedqml(monkeypatch, capsys, "run", "e.yaml", "--allow-partial")
    assert code == 0
    assert "Result: results/e" in out
    lines = [line for line in err.splitlines() if line.startswith("fedqml: ")]
    assert lines[0].startswith("fedqml: Round 3 of 4 needs")
    assert lines[1:] == [
        "fedqml: `fedqml resume results/e --budget [NAME=]SECONDS` continues.",
        "fedqml: `fedqml extend results/e --rounds 2` ends it with the 2 rounds that are done.",
    ]
    code, _, err = fedqml(monkeypatch, capsys, "resume", "results/e")
    assert code == 5
    assert "The 2 rounds left need" in err
    assert "`fedqml extend results/e --rounds 2` ends it with the 2 rounds that are done." in err
    assert fedqml(monkeypatch, capsys, "extend", "results/e", "--rounds", 2)[0] == 0
    assert RunResult.load(tmp_path / "results" / "e").is_complete
    code, _, err = fedqml(monkeypatch, capsys, "extend", "results/e", "--rounds", 3, "--allow-partial")
    assert code == 5, "not even a part fits"
    code, out, _ = fedqml(monkeypatch, capsys, "plan", "e.yaml")
    assert code == 1
    assert re.search(r"2 of 4 rounds fit; `fedqml plan e.yaml --fit [\d.]+` proposes settings that fit\.", out)


@pytest.mark.slow
def test_simulated_runs_import_no_planning(tmp_path):
    script = "import sys, yaml; from qiskit_fedqml import Experiment, run_federation; "
    script += "run_federation(Experiment.model_validate(yaml.safe_load(sys.stdin))); "
    script += "print(any(m.startswith('qiskit_fedqml.planning') for m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], input=yaml.safe_dump(TINY), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
