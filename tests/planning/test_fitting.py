"""Settings that fit so many QPU seconds: what is proposed fits, and what departs least comes first."""

import json
import shlex

import pytest
import yaml

from qiskit_fedqml import cli
from qiskit_fedqml.config.loading import load_experiment, parse_override
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.planning import entry_changes, fitting, run_changes
from qiskit_fedqml.planning.changes import Change, Machines, changed
from qiskit_fedqml.planning.fitting import propose
from qiskit_fedqml.planning.kinds import KINDS, single_changes
from qiskit_fedqml.planning.planner import Planner, plan_experiment
from qiskit_fedqml.planning.proposals import few_steps
from qiskit_fedqml.terminal.arguments import fit_seconds
from tests.planning.conftest import DEVICE, SHARING


def qpu_seconds(experiment):
    return plan_experiment(experiment).total().qpu_seconds


OWN_BLOCKS = {"blocks": {"spread": "clients"}}
CASES = [(40, {}), *(pytest.param(*of, marks=pytest.mark.slow) for of in ((10, {}), (120, {}), (40, OWN_BLOCKS)))]


@pytest.mark.parametrize(("seconds", "entry"), CASES)
def test_every_proposal_fits_and_is_what_it_says(experiment, seconds, entry):
    asked = experiment(entry, entry, evaluation__backends=["b"], federation__local_epochs=2)
    whole = qpu_seconds(asked)
    assert whole > 120
    proposals = propose(Planner.open(asked), seconds)
    assert proposals
    assert [p.departure for p in proposals] == sorted(p.departure for p in proposals)
    for proposal in proposals:
        rounds = Change("rounds", {("federation", "rounds"): proposal.rounds}, 0.0)
        plan = plan_experiment(changed(asked, [*proposal.changes, rounds]))
        assert plan.total().qpu_seconds <= seconds
        assert plan.total().qpu_seconds == pytest.approx(proposal.work.qpu_seconds)
        assert plan.total().jobs == proposal.work.jobs
        if proposal.rounds < 10:
            more = Change("rounds", {("federation", "rounds"): proposal.rounds + 1}, 0.0)
            assert qpu_seconds(changed(asked, [*proposal.changes, more])) > seconds, "as many rounds as fit"


def test_experiment_that_fits_is_proposed_as_it_is(experiment):
    asked = experiment()
    proposals = propose(Planner.open(asked), 1.01 * qpu_seconds(asked))
    assert [(p.changes, p.rounds, p.departure) for p in proposals] == [((), 10, 0.0)]
    assert proposals[0].steps == 10 * 2, "batches of 8 and 2"


def test_what_departs_least_comes_first(experiment, monkeypatch):
    """Ten rounds take 420 s at 100 shots, and 240 s at 50, so that half the shots suffice; blocks would be milder."""
    monkeypatch.setattr(fitting, "KINDS", KINDS[2:])
    asked = experiment()
    half = qpu_seconds(experiment({"shots": 50}, {"shots": 50}))
    first, *_ = propose(Planner.open(asked), half + 0.1)
    assert [change.words for change in first.changes] == ["half the shots (50)"]
    assert (first.rounds, first.departure) == (10, 1.0)


def proposed(experiment, seconds, monkeypatch, *kinds):
    """Return what is changed in each proposal, if only some kinds of change are tried."""
    monkeypatch.setattr(fitting, "KINDS", kinds or KINDS)
    return [[change.words for change in p.changes] for p in propose(Planner.open(experiment), seconds)]


def test_blocks_and_joint_jobs_come_before_fewer_shots(experiment, monkeypatch):
    """Two copies on each device take half the executions, as half the shots do."""
    asked = experiment(seed=SHARING)
    half = qpu_seconds(experiment({"shots": 50}, {"shots": 50}, seed=SHARING))
    assert proposed(asked, half + 0.1, monkeypatch)[0] == ["blocks: auto (2 copies side by side)"]
    joint = qpu_seconds(experiment({"joint": True}, {"joint": True}, seed=SHARING))
    assert joint < qpu_seconds(asked)
    said = "joint: true (one job for each step of a device's clients)"
    assert proposed(asked, joint + 0.1, monkeypatch)[0] == [said]


def test_a_setting_is_changed_once(experiment, monkeypatch):
    """Random shifts and SPSA are tried, but not together."""
    monkeypatch.setattr(fitting, "KINDS", (entry_changes.random_shifts, entry_changes.spsa, run_changes.batch_size))
    tried = {kinds for kinds, _ in fitting._combinations(Planner.open(experiment()))}
    assert tried == {frozenset(kinds) for kinds in ((), (0,), (1,), (2,), (0, 2), (1, 2))}


def test_what_a_device_cannot_take_is_not_proposed(experiment, monkeypatch):
    """A circuit of three qubits fits once on five; a provider's machine may state no errors to choose blocks by."""
    large = {"model__circuit": {"num_qubits": 3, "num_layers": 1}}
    found = proposed(experiment(**large), 40, monkeypatch)
    assert found
    assert not any("blocks" in words for changes in found for words in changes)

    def packed(experiment, machines):
        return [Change("blocks", {("backends", "backends", "b", "blocks"): "auto"}, 0.1)]

    generic = {"type": "backend", "factory": "qiskit.providers.fake_provider:GenericBackendV2", "shots": 100}
    silent = {"b": {**generic, "arguments": {"num_qubits": 5, "noise_info": False}}}
    asked = experiment(entries=silent)
    assert Planner.open(asked).changeable().copies == {"a": 2}
    assert proposed(asked, 40, monkeypatch, packed, entry_changes.shots)[0] == ["8% of the shots (8)"]


def test_own_budgets_are_kept_to(experiment):
    asked = experiment({"budget_seconds": 9.0}, file={"budget_seconds": 30.0})
    proposals = propose(Planner.open(asked), 600)[:2]
    assert proposals
    for proposal in proposals:
        rounds = Change("rounds", {("federation", "rounds"): proposal.rounds}, 0.0)
        assert plan_experiment(changed(asked, [*proposal.changes, rounds])).lacking() == []


def test_nothing_fits_a_second(experiment):
    assert propose(Planner.open(experiment()), 1.0) == []


def test_kind_of_change_that_is_added_is_tried(experiment, monkeypatch):
    def calm(experiment, machines):
        settings = {("backends", "backends", name, "rep_delay_seconds"): 0.0 for name in machines.devices}
        return [Change("no pause between executions", settings, 0.1)]

    monkeypatch.setattr(fitting, "KINDS", (*KINDS, calm))
    asked = experiment()
    first, *_ = propose(Planner.open(asked), 0.5 * qpu_seconds(asked))
    assert [change.words for change in first.changes] == ["no pause between executions"]


def test_changes_that_leave_the_clients_of_no_device(experiment):
    """Without a simulator all clients stay; of seven clients on devices, the first stay and keep theirs."""
    machines = Machines(("a", "b", "ideal", "a", "b", "a", "b", "a"), ("a", "b"))
    half = next(c for c in single_changes(experiment(), machines) if "clients on devices" in c.words)
    assert half.words == "4 of 7 clients on devices (the others on ideal)"
    assert dict(half.settings) == {
        ("backends", "assignment", "clients"): {"0": "a", "1": "b", "3": "a", "4": "b"},
        ("backends", "assignment", "default"): "ideal",
    }
    machines = Machines(("a",) * 5, ("a",))
    half = next(c for c in single_changes(experiment(), machines) if "clients on devices" in c.words)
    assert half.settings["backends", "assignment", "clients"] == {"0-2": "a"}
    alone = experiment(file={"backends": {"a": DEVICE}, "assignment": {"server": "a", "default": "a"}})
    assert not any("clients on devices" in c.words for c in single_changes(alone, machines))


def test_few_steps(experiment):
    asked = experiment()
    assert few_steps(asked, 20) == ""
    warning = few_steps(asked, 4)
    assert "takes 4 steps" in warning
    assert "With adam at a learning rate of 0.05, they move a weight by 0.2 at most." in warning
    assert "With" not in few_steps(experiment(federation__optimizer="sgd"), 4)
    assert few_steps(asked, 0).startswith("Nothing is trained by these settings")
    assert few_steps(experiment(model__initial="elsewhere"), 4) == "", "the model has learnt already"


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "", "ten", "10 minutes", "0min", "1e999"])
def test_times_that_are_none(text):
    with pytest.raises(ConfigurationError, match=r"--fit must be a QPU time above 0, .* such as 600, 90s, 10min or 2h"):
        fit_seconds(text)


@pytest.mark.parametrize(("text", "seconds"), [("600", 600), ("90s", 90), ("10min", 600), ("1.5 h", 5400)])
def test_times_with_units(text, seconds):
    assert fit_seconds(text) == seconds


def test_shots_between_halvings_are_proposed_where_all_rounds_fit_so(experiment, monkeypatch):
    monkeypatch.setattr(fitting, "KINDS", (entry_changes.shots,))
    asked = experiment({"shots": 512}, {"shots": 256})
    between = qpu_seconds(experiment({"shots": 352}, {"shots": 176}))
    first, *_ = propose(Planner.open(asked), between + 0.1)
    assert [change.words for change in first.changes] == ["69% of the shots (176, 352)"]
    assert first.rounds == 10
    assert 0 < first.departure < 1


@pytest.fixture
def fedqml(tmp_path, monkeypatch, capsys):
    """Return a function that plans a file that is written; it gives exit code and output."""
    monkeypatch.chdir(tmp_path)

    def run(experiment, *arguments):
        (tmp_path / "an experiment.yaml").write_text(yaml.safe_dump(experiment.resolved()))
        monkeypatch.setattr("sys.argv", ["fedqml", "plan", "an experiment.yaml", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, capsys.readouterr().out

    return run


def test_printed_command_runs_what_was_proposed(experiment, fedqml):
    code, out = fedqml(experiment(), "--fit", "40", "--set", "federation.batch_size=5")
    assert code == 0
    assert "Settings that fit 40 s of QPU time; those that depart least from the experiment come first" in out
    command, *parts = shlex.split(out.partition("The first one:")[2].replace("\\\n", " "))
    assert (command, parts[:2]) == ("fedqml", ["run", "an experiment.yaml"])
    overrides = dict(parse_override(parts[n + 1]) for n, part in enumerate(parts) if part == "--set")
    assert overrides["federation.batch_size"] == 5
    assert overrides["backends.budget_seconds"] == 40
    plan = plan_experiment(load_experiment("an experiment.yaml", overrides))
    assert plan.total().qpu_seconds <= 40
    assert plan.lacking() == []


def test_the_command_of_another_proposal(experiment, fedqml):
    _, first = fedqml(experiment(), "--fit", "40")
    assert "--proposal 2 prints the command of the second one" in first
    code, out = fedqml(experiment(), "--fit", "40s", "--proposal", "2")
    assert code == 0
    rows = [line for line in out.splitlines() if line.startswith("| ")]
    overrides = shlex.split(out.partition("Proposal 2:")[2].replace("\\\n", " "))
    found = dict(parse_override(overrides[n + 1]) for n, part in enumerate(overrides) if part == "--set")
    plan = plan_experiment(load_experiment("an experiment.yaml", found))
    assert f"{plan.total().executions:,}" in rows[2]
    assert fedqml(experiment(), "--fit", "40", "--proposal", "99")[0] == 2
    assert fedqml(experiment(), "--proposal", "2")[0] == 2


def test_printed_budget(experiment, fedqml):
    """It never raises that of the experiment; a provider's machine without durations can keep none."""
    _, out = fedqml(experiment(file={"budget_seconds": 30.0}), "--fit", "40")
    assert "--set backends.budget_seconds=30" in out
    silent = {"type": "backend", "factory": "tests.backends.providers.shop:Silent", "shots": 20}
    run = experiment(entries={"b": silent}, federation__rounds=1)
    _, out = fedqml(run, "--fit", "40", "--set", "backends.backends.a.shots=1")
    assert "QPU time is not known: b." in out
    assert "budget_seconds" not in out


def test_names_that_set_cannot_tell_and_sessions(experiment, fedqml):
    """YAML in place of --set; and no budget, which a session cannot keep."""
    named = experiment(entries={"my.dev": {**DEVICE, "mode": "session"}}, file={"assignment": {"default": "my.dev"}})
    _, out = fedqml(named, "--fit", "40")
    settings = yaml.safe_load(out.partition("The first one in the experiment file:")[2])
    assert settings["backends"]["backends"]["my.dev"].keys() <= {"shots", "gradient", "blocks", "joint"}
    assert "budget_seconds" not in settings["backends"]


def test_output_as_json_and_exit_codes(experiment, fedqml):
    code, out = fedqml(experiment(), "--fit", "40", "--json", "-")
    assert code == 0
    told = json.loads(out)
    assert told["fit_seconds"] == 40
    assert all(proposal["qpu_seconds"] <= 40 for proposal in told["proposals"])
    code, out = fedqml(experiment(), "--fit", "1")
    assert code == 1
    assert out == "No settings that were tried fit 1 s of QPU time and all budgets: not one round does.\n"


def test_too_few_steps_are_warned_of(experiment, fedqml):
    _, out = fedqml(experiment(federation__rounds=2), "--fit", "40")
    assert "(too few)" in out
    assert "Proposal 1: A client's optimiser takes" in out
