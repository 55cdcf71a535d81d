"""Federated runs on machines of other providers: planned, budgeted, weighed, and resumed after a kill."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from qiskit_fedqml import RunResult, cli, resume_federation, run_federation
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.errors import BudgetError, ConfigurationError
from qiskit_fedqml.planning.jobs import job_rows, job_sentence
from qiskit_fedqml.planning.planner import plan_experiment
from qiskit_fedqml.planning.sentences import answer, sentences
from qiskit_fedqml.planning.tables import backend_rows, saving_rows
from qiskit_fedqml.report.calibrations import calibrations
from qiskit_fedqml.report.cost import device_rows
from qiskit_fedqml.report.machines import machine_rows
from qiskit_fedqml.terminal.plans import show_proposals
from tests.conftest import ROOT
from tests.federation.test_federation import same

SHOP = "tests.backends.providers.shop"
GENERIC = "qiskit.providers.fake_provider:GenericBackendV2"


@pytest.fixture
def experiment(tiny, tmp_path):
    """Return a function that makes the tiny experiment on a machine of a provider, or on one of it and a simulator."""
    (tmp_path / "shop").mkdir()

    def make(factory="Shop", *, arguments=None, others=None, assignment="mine", **entry):
        name = factory if ":" in factory else f"{SHOP}:{factory}"
        own = {"folder": str(tmp_path / "shop"), **(arguments or {})} if factory in ("Shop", "Vendor") else arguments
        mine = {"type": "backend", "factory": name, "arguments": own or {}, "shots": 20, **entry}
        mine["waiting"] = {"poll_seconds": 0.01}
        file = {"backends": {"ideal": {"type": "aer"}, "mine": mine}, "assignment": {"default": assignment}}
        small = {"federation__clients": 8, "federation__clients_per_round": 1, "federation__rounds": 1}
        return tiny(backends=file, **{**small, **(others or {})})

    return make


def orders(tmp_path):
    return sorted((tmp_path / "shop").glob("order-*.json"))


def test_plan_is_what_is_sent(experiment, tmp_path):
    prices = {"price_per_shot": 0.001, "price_per_task": 0.5, "circuits_per_task": 100, "rep_delay_seconds": 0.001}
    run = experiment("Shop", **prices, budget_executions=10**6)
    plan = plan_experiment(run)
    assert not orders(tmp_path)
    result = run_federation(run, tmp_path / "run")
    total, sent = plan.total(), Journal(tmp_path / "run" / "journal.sqlite").all()
    assert total.jobs == len(sent) == len(orders(tmp_path))
    assert total.circuits == sum(s.circuits for s in sent) == sum(r.circuits for r in result.rounds)
    assert total.executions == sum(s.executions for s in sent)
    assert total.qpu_seconds == pytest.approx(sum(s.planned_seconds for s in sent))
    expected = 0.001 * total.executions + 0.5 * sum(-(-s.circuits // 100) for s in sent)
    assert plan.price() == pytest.approx(expected)
    assert plan.lacking() == []
    (row,) = device_rows("run", result, sent)
    assert row["Price"] == f"US$ {expected:,.2f} by its prices"
    assert machine_rows("run", result, {})[1]["Made of"] == f"{SHOP}:Shop"
    assert not any(
        "jobs a minute" in sentence or "Open Plan" in sentence for sentence in [*answer(plan), *sentences(plan, 0.0)]
    )


@pytest.mark.filterwarnings("ignore:Qiskit backend .* has no QubitProperties")
def test_plan_without_durations(experiment, tmp_path):
    run = experiment("Silent", budget_executions=100)
    plan = plan_experiment(run)
    assert {row["QPU time"] for row in backend_rows(plan)} == {"–"}
    said = [*answer(plan), *sentences(plan, 0.0)]
    assert "Devices that state no durations, so that their QPU time is not known: mine." in said
    assert any(s.startswith("The budget of mine is 100 executions, ") for s in said)
    half = next(row for row in saving_rows(plan) if row["Change"] == "half the shots (10)")
    executions = plan.total().executions
    expected = {"QPU time saved": "–", "Executions saved": f"{executions // 2:,}", "Share": "50%"}
    assert half == {"Change": "half the shots (10)", **expected}
    result = run_federation(experiment("Silent"), tmp_path / "run")
    sent = Journal(tmp_path / "run" / "journal.sqlite").all()
    assert {row["Planned"] for row in job_rows(sent)} == {"–"}
    jobs = f"{len(sent)} jobs"
    expected = f"{jobs}, 0 of them still open, 0 duplicates; {jobs} on devices that state no durations."
    assert job_sentence(sent) == expected
    assert result.rounds[0].planned_seconds == 0.0
    assert device_rows("run", result, sent)[0]["QPU time planned"] == "–"


@pytest.mark.filterwarnings("ignore:Qiskit backend .* has no QubitProperties")
def test_no_round_is_begun_that_a_budget_of_executions_cannot_pay(experiment, tmp_path):
    out, two = tmp_path / "run", {"federation__rounds": 2}
    first, second = (
        sum(item.work.executions for item in items)
        for _, items in plan_experiment(experiment("Silent", others=two)).by_round()
    )
    run = experiment("Silent", others=two, budget_executions=first + 1)
    missing = f"{second - 1:,} executions too little"
    with pytest.raises(BudgetError) as error:
        run_federation(run, out)
    assert str(error.value).startswith(
        f"The run's 2 rounds need {first + second:,} executions, but the budget of mine is {first + 1:,} executions, "
        f"{missing}: 1 of them fits. Nothing was sent;"
    )
    assert not out.exists()
    part = run_federation(run, out, allow_partial=True)
    assert part.stopped == (
        f"Round 2 of 2 needs {second:,} executions, but the budget of mine is {first + 1:,} executions, of which "
        f"{first:,} executions are spent, {missing}. It was not begun; 1 round is done."
    )
    assert Journal(out / "journal.sqlite").spent_executions("mine") == first
    with pytest.raises(BudgetError, match=r"^The one round left needs .* executions are spent, 1 execution too little"):
        resume_federation(out, budgets={"mine": first + second - 1})
    result = resume_federation(out, budgets={"mine": first + second})
    assert len(result.rounds) == 2
    assert not result.stopped


@pytest.mark.filterwarnings("ignore:Qiskit backend .* has no QubitProperties")
def test_proposals_keep_to_a_budget_of_executions(experiment, tmp_path, capsys):
    whole = plan_experiment(experiment("Silent")).total().executions
    run = experiment("Silent", budget_executions=whole - 1)
    assert show_proposals(run, 600.0, ["fedqml", "run", "x.yaml"], None)
    assert "QPU time is not known: mine." in capsys.readouterr().out
    assert show_proposals(run, 600.0, ["fedqml", "run", "x.yaml"], tmp_path / "proposals.json")
    proposals = json.loads((tmp_path / "proposals.json").read_text())["proposals"]
    assert proposals
    assert all(0 < proposal["executions"] < whole and proposal["changes"] for proposal in proposals)


def test_clients_share_the_blocks_of_a_machine(experiment, tmp_path):
    """Three clients in lockstep, each on one block: as many jobs as one client has steps."""
    three = {"federation__clients_per_round": 3}
    blocks = {"blocks": {"spread": "clients", "least_success": 0.5}, "layout_trials": 1, "gradient": {"spsa": {}}}
    run = experiment("on_a_line", others=three, **blocks)
    result = run_federation(run, tmp_path / "run")
    (record,) = result.rounds
    assert len(clients := record.clients) == 3
    sent = [s for s in Journal(tmp_path / "run" / "journal.sqlite").all() if s.key.is_training]
    assert {s.key.clients for s in sent} == {tuple(client.id for client in clients)}
    assert all(client.jobs == tuple(s.job_id for s in sent) for client in clients)
    assert all(len(client.blocks) == 1 and 0 < client.success_probability < 1 for client in clients)
    assert record.devices["mine"]["blocks"].keys() == {block for client in clients for block in client.blocks}
    (calibration,) = calibrations("run", result).values()
    assert {row["Block"] for row in calibration.block_rows()} == {
        block.replace("-", ", ") for client in clients for block in client.blocks
    }


def test_weights_by_success_need_published_errors(experiment, tmp_path):
    clients = {"federation__clients_per_round": 4, "aggregation__success_exponent": 2.0}
    mixed = {"cycle": ["ideal", "mine"]}
    with pytest.raises(ConfigurationError, match="`aggregation.success_exponent` cannot weigh clients on .* 'mine'"):
        run_federation(experiment("Silent", assignment=mixed, others=clients), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    result = run_federation(experiment("Shop", assignment=mixed, others=clients))
    success = {c.backend: c.success_probability for c in result.rounds[0].clients}
    assert success["ideal"] == 1.0
    assert 0.9 < success["mine"] < 1.0


def test_shown_without_being_opened(tmp_path, monkeypatch, capsys):
    file = {"backends": {"ideal": {"type": "aer"}, "mine": {"type": "backend", "factory": f"{SHOP}:broken"}}}
    (tmp_path / "backends.yaml").write_text(yaml.safe_dump(file))
    monkeypatch.setattr(sys, "argv", ["fedqml", "backends", "--backends", str(tmp_path / "backends.yaml")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert f"{SHOP}:broken" in capsys.readouterr().out


@pytest.mark.slow
def test_killed_run_finds_its_jobs_again(experiment, tmp_path):
    """SIGKILL while a job waits, twice; as many jobs as undisturbed, and the same model to the bit."""
    more = {"federation__clients_per_round": 2, "federation__rounds": 2}
    run = experiment("Shop", arguments={"seconds": 0.5}, others=more)
    undisturbed = run_federation(experiment("Shop", others=more))
    number = len(orders(tmp_path))
    for path in orders(tmp_path):
        path.unlink()
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(run.resolved()))
    folder, environment = tmp_path / "run", {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    commands = [["run", "e.yaml", "--out", "run"], ["resume", "run"], ["resume", "run"]]
    for kill_at, arguments in zip((2, 5, None), commands, strict=True):
        script = ["-c", "from qiskit_fedqml.cli import main; main()", *arguments]
        process = subprocess.Popen([sys.executable, *script], cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
        if kill_at is not None:
            wait_until_waiting(folder / "journal.sqlite", kill_at, process)
            process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert process.returncode == (0 if kill_at is None else -signal.SIGKILL), errors.decode()
    assert len(orders(tmp_path)) == number
    same(undisturbed, RunResult.load(folder))


def wait_until_waiting(path, number, process):
    """Wait until a job is waited for that is at least the so many-th."""
    for _ in range(600):
        assert process.poll() is None, "it ended too early"
        time.sleep(0.05)
        if path.exists():
            journal = Journal(path, read_only=True)
            found = journal.all()
            journal.close()
            if len(found) >= number and found[-1].state == "sent":
                return
    raise AssertionError("no job was sent")
