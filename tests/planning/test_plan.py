"""Plans in closed form, on fake devices; against what a service counts: tests/test_devices.py."""

import json
from dataclasses import replace

import pytest

from qiskit_fedqml import cli
from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.planning.planner import plan_experiment
from qiskit_fedqml.planning.rounds import RoundCosts
from qiskit_fedqml.planning.sentences import answer, sentences
from qiskit_fedqml.planning.tables import backend_rows, client_rows, round_rows, saving_rows
from tests.planning.conftest import SHARING


def all_sentences(plan):
    return [*answer(plan), *sentences(plan, 0.0)]


def test_counts_in_closed_form(planned):
    plan = planned(federation__clients_per_round=4, federation__rounds=3)
    facts = plan.devices["a"]
    total = plan.total()
    examples = 4 * 10 * 3
    assert total.jobs == 4 * 2 * 3, "batches of 8 and 2"
    assert total.circuits == examples * (1 + 2 * 10), "both qubits are measured, so that all ten angles are shifted"
    assert total.executions == 100 * total.circuits
    assert plan.stock_circuits() == examples * 2 * (1 + 2 * facts.angles)
    each = (total.qpu_seconds - 2 * total.jobs) / total.executions
    assert 250e-6 < each < 270e-6
    assert plan.one_machine_seconds() == pytest.approx(total.qpu_seconds)
    by_backend = [plan.total(lambda i, n=n: i.backend == n).qpu_seconds for n in "ab"]
    assert plan.array_seconds() == pytest.approx(max(by_backend)), "the slower device of each round"
    assert plan.one_machine_seconds(60) == pytest.approx(total.qpu_seconds + 60 * total.jobs)
    assert plan.submission_seconds() == 12 * total.jobs
    assert plan.price() is None
    assert plan.lacking() == []


def test_random_shifts_in_closed_form(planned):
    """Batches of 8 and 2: four angles of inputs are shifted in all samples, six of weights in half of them."""
    half = {"gradient": {"random_shifts": {"fraction": 0.5}}}
    plan = planned(half, half)
    assert plan.total().circuits == 4 * (8 + 2 * (4 * 8 + 6 * 4) + 2 + 2 * (4 * 2 + 6 * 1))


def test_uploads_that_are_not_prepared(planned, monkeypatch):
    """Of batches of seven and three, those of seven are prepared, and some of one sample."""
    sizes, prepare = [], DeviceBackend.payload_bytes

    def prepared(backend, program, asked, *, jacobian):
        sizes.append((backend.name, asked[0][1]))
        return prepare(backend, program, asked, jacobian=jacobian)

    monkeypatch.setattr(DeviceBackend, "payload_bytes", prepared)
    estimated = planned(federation__batch_size=7).total().payload_bytes
    assert sizes == [("a", 1), ("a", 7), ("b", 1), ("b", 7)]

    def exact(costs, name, asked, trains, circuits):
        return prepare(*costs.devices[name], asked, jacobian=trains)

    monkeypatch.setattr(RoundCosts, "_payload_bytes", exact)
    assert estimated == pytest.approx(planned(federation__batch_size=7).total().payload_bytes, rel=0.01)


def test_price_and_budgets(planned):
    plan = planned(
        {"price_per_minute": 96.0, "budget_seconds": 1.0}, {"price_per_minute": 48.0}, {"budget_seconds": 2.0}
    )
    of_a, of_b = (plan.total(lambda i, n=n: i.backend == n).qpu_seconds for n in "ab")
    assert plan.price() == pytest.approx(of_a / 60 * 96 + of_b / 60 * 48)
    assert [sentence.split(" is ")[0] for sentence in plan.lacking()] == ["The run's budget", "The budget of a"]
    assert f"{of_a - 1:,.1f} s too little" in plan.lacking()[1]
    assert plan.fit().rounds == 0


def test_savings_are_what_the_changed_plan_takes_less(planned):
    run = {"federation__local_epochs": 2, "seed": SHARING}
    before = planned(**run)
    saved = {saving.change.split(" (")[0]: (saving.seconds, saving.executions) for saving in before.savings}
    settings = {
        "half the shots": {"shots": 50},
        "gradient: {spsa: {}}": {"gradient": {"spsa": {}}},
        "gradient: {random_shifts: {fraction: 0.25}}": {"gradient": {"random_shifts": {"fraction": 0.25}}},
        "task: evaluate on all devices": {"task": "evaluate"},
        "joint: true": {"joint": True},
    }
    changed = {change: planned(entry, entry, **run) for change, entry in settings.items()}
    changed["federation.local_epochs: 1"] = planned(seed=SHARING)
    changed["blocks: auto on a"] = planned({"blocks": "auto"}, **run)
    for change, plan in changed.items():
        total = before.total().qpu_seconds - plan.total().qpu_seconds
        assert saved[change] == pytest.approx((total, before.total().executions - plan.total().executions)), change


def test_savings_that_there_are_not(planned):
    """Shards of 10 are one batch already; there are no tests of the server and one epoch."""
    savings = planned(federation__batch_size=16, seed=SHARING).savings
    assert {saving.change.split(" (")[0] for saving in savings} == {
        *("half the shots", "gradient: {spsa: {}}", "task: evaluate on all devices"),
        *("2 of 4 clients on devices", "gradient: {random_shifts: {fraction: 0.25}}"),
        *("blocks: auto on a", "joint: true"),
    }


def said(plan, word):
    return [saving.change for saving in plan.savings if word in saving.change]


def test_joint_jobs_are_said_where_clients_can_share_them(planned):
    all_on_a = {"assignment": {"default": "a"}}
    assert said(planned(file=all_on_a), "joint") == ["joint: true (one job for each step of a device's clients)"]
    assert said(planned({"joint": True}, file=all_on_a), "joint") == []
    assert said(planned(file=all_on_a, federation__clients_per_round=1), "joint") == []
    one_each = {"assignment": {"clients": {0: "a", 1: "b"}, "default": "ideal"}}
    assert said(planned(file=one_each, federation__clients_per_round=4), "joint") == []


def test_blocks_are_said_where_a_device_holds_several(planned):
    """Two qubits fit once on a cross of five, twice on a line; a chosen layout excludes blocks."""
    assert said(planned(), "blocks") == ["blocks: auto on a (2 copies side by side)"]
    assert said(planned(second={"device": "FakeManilaV2"}), "blocks") == ["blocks: auto (2 copies side by side)"]
    assert said(planned(second={"device": "FakeKolkataV2"}), "blocks") == ["blocks: auto (2 to 7 copies side by side)"]
    own = {"initial_layout": [0, 1], "layout_trials": 4}
    assert said(planned(own, own | {"device": "FakeManilaV2"}), "blocks") == []
    assert said(planned({"blocks": "auto"}), "blocks") == []
    assert said(planned(model__circuit={"num_qubits": 3, "num_layers": 1}), "blocks") == []


def test_two_entries_of_one_device_are_one_machine(planned):
    plan = planned(second={"device": "FakeManilaV2"}, federation__clients_per_round=4)
    assert plan.array_seconds() == pytest.approx(plan.one_machine_seconds())


def test_no_client_on_a_device_is_drawn(planned):
    plan = planned(
        file={"assignment": {"clients": {3: "a"}}}, federation__clients_per_round=1, federation__rounds=1, seed=1
    )
    assert all_sentences(plan) == ["No client on a device is drawn in any round, so that nothing will be sent."]
    assert saving_rows(plan) == client_rows(plan) == []


def test_what_the_plan_does_not_know_is_told(planned):
    mitigated = {"primitive": "estimator", "resilience_level": 1}
    told = " ".join(all_sentences(planned(mitigated, {"mode": "session"})))
    assert "a: EstimatorV2 mitigates on the server" in told
    assert "b: a session is charged by the clock" in told


def test_mitigation_is_planned(planned):
    """Of a: in each job a calibration of 8 circuits of 128 shots; of b: the server's tests at three factors."""
    pytest.importorskip("qiskit_ibm_runtime.executor_estimator", reason="EstimatorV2 mitigates on the server")
    zne = {"zne": {"factors": [1, 3, 5]}}
    plain = planned({"shots": 128}, {"shots": 128}, evaluation__backends=["b"])
    mitigated = planned(
        {"shots": 128, "mitigation": {"readout": True}}, {"shots": 128, "mitigation": zne}, evaluation__backends=["b"]
    )
    assert not any(facts.is_lower_bound for facts in mitigated.devices.values())
    for before, after in zip(plain.items, mitigated.items, strict=True):
        work, times = before.work, 3 if before.client is None else 1
        calibration = 1024 * work.jobs if before.backend == "a" else 0
        assert after.work.executions == times * work.executions + calibration
        assert after.work.jobs == work.jobs


def test_tests_of_the_server_are_planned(planned):
    plan = planned(evaluation__backends=["b"])
    server = [item for item in plan.items if item.client is None]
    assert [item.round for item in server] == [1, 2]
    assert server[0].work.circuits == 6
    rows = client_rows(plan)
    assert rows[-1]["Client"] == "server"


def test_tests_are_planned_with_their_own_shots(planned):
    plan = planned(second={"test_shots": 7}, evaluation__backends=["b"])
    assert [item.work.executions for item in plan.items if item.client is None] == [6 * 7] * 2
    assert all(item.work.executions == 100 * item.work.circuits for item in plan.items if item.client is not None)
    tested = planned({"task": "evaluate", "test_shots": 7}, {"task": "evaluate", "test_shots": 7})
    assert tested.total().executions == 7 * tested.total().circuits


def test_rounds_that_fit(planned):
    each = planned(federation__rounds=4).total().qpu_seconds / 4
    plan = planned(file={"budget_seconds": 2.5 * each}, federation__rounds=4)
    assert (plan.fit().rounds, plan.fit().passed.what) == (2, "the run's budget")
    assert plan.as_json()["rounds_that_fit"] == 2
    assert "2 of 4 rounds fit; `--fit SECONDS` proposes settings that fit." in all_sentences(plan)
    whole = planned(file={"budget_seconds": 4.5 * each}, federation__rounds=4)
    assert (whole.fit().rounds, whole.fit().passed, whole.lacking()) == (4, None, [])


@pytest.mark.parametrize("shots", [100, 8000])
def test_open_plan(planned, shots):
    plan = planned({"shots": shots}, {"shots": shots})
    share = plan.total().qpu_seconds / 600
    assert (share > 1) == (shots == 8000)
    words = f"{share:.1f} times that, so that it does not fit" if share > 1 else f"{share:.0%} of that"
    free = "The Open Plan gives 600 s of QPU time in 28 days:"
    assert f"{free} on real devices of one account the run would take {words}." in all_sentences(plan)
    alone = planned({"shots": shots}, file={"assignment": {"default": "a"}})
    assert any(s.startswith(f"{free} on a real device the run would take ") for s in all_sentences(alone))


def test_a_model_to_begin_from_that_is_missing_shows_before_anything_is_planned(planned, tmp_path):
    with pytest.raises(ResultError, match=r"^model\.initial: .*nowhere is not a result folder"):
        planned(model__initial=str(tmp_path / "nowhere"))


def test_only_an_array_is_compared_with_one_device(planned):
    assert any(s.startswith("On its array of machines") for s in all_sentences(planned()))
    alone = planned(file={"assignment": {"default": "a"}})
    assert not any(s.startswith("On its array of machines") for s in all_sentences(alone))


def test_a_little_more_than_the_open_plan_never_reads_as_all_of_it(planned):
    plan = planned({"shots": 100}, {"shots": 100})
    (item, *rest) = plan.items
    seconds = 601.0 - sum(other.work.qpu_seconds for other in rest)
    plan = replace(plan, items=(replace(item, work=replace(item.work, qpu_seconds=seconds)), *rest))
    assert any("would take 101% of that, so that it does not fit." in s for s in all_sentences(plan))


def charged(plan, **accounts):
    """Return a plan of which some devices are those of accounts."""
    facts = {name: replace(facts, account=accounts.get(name)) for name, facts in plan.devices.items()}
    return replace(plan, devices=facts)


def test_each_account_has_an_open_plan_and_a_rate_of_jobs(planned):
    plan = planned(federation__clients_per_round=4)
    of_a, of_b = (plan.total(lambda i, n=n: i.backend == n) for n in "ab")
    free = "The Open Plan gives 600 s of QPU time in 28 days:"

    def said(**accounts):
        return [s.removeprefix(f"{free} ") for s in all_sentences(charged(plan, **accounts)) if s.startswith(free)]

    both = plan.total().qpu_seconds / 600
    assert said(a="mine", b="mine") == [f"the run takes {both:.0%} of that."]
    assert said(a="mine", b="yours") == [
        f"from the account of a the run takes {of_a.qpu_seconds / 600:.0%} of that.",
        f"from the account of b the run takes {of_b.qpu_seconds / 600:.0%} of that.",
    ]
    assert said(b="mine") == [
        f"on a real device the run would take {of_a.qpu_seconds / 600:.0%} of that.",
        f"from the account of b the run takes {of_b.qpu_seconds / 600:.0%} of that.",
    ]
    assert charged(plan, a="mine", b="mine").submission_seconds() == 12 * plan.total().jobs
    assert charged(plan, a="mine", b="yours").submission_seconds() == 12 * max(of_a.jobs, of_b.jobs)


def test_tables(planned):
    plan = planned({"price_per_minute": 96.0})
    assert [row["Backend"] for row in backend_rows(plan)] == ["a", "b", "all"]
    assert [row["Round"] for row in round_rows(plan)] == ["1", "2"]
    assert {row["Change"] for row in saving_rows(plan)} >= {"half the shots (50)"}
    told = " ".join(all_sentences(plan))
    assert "On its array of machines the run takes" in told
    assert "US$" in told
    assert "The service takes 5 jobs a minute" in told


def test_nothing_to_plan(tiny):
    with pytest.raises(ConfigurationError, match="nothing to plan"):
        plan_experiment(tiny())


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.yaml").write_text(
        "data: {dataset: digits, classes: [0, 1]}\nmodel: {hidden: [], dropout: 0, circuit: {num_qubits: 2}}\n"
        "federation: {clients: 30, clients_per_round: 3, rounds: 2}\n"
        "backends: {backends: {ideal: {type: aer}, a: {type: ibm, device: FakeManilaV2, budget_seconds: 1}}, "
        "assignment: {default: a}}\n"
    )
    monkeypatch.setattr("sys.argv", ["fedqml", "plan", "e.yaml", "--json", "plan.json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1, "the budget does not suffice"
    out = capsys.readouterr().out
    answered, _, details = out.partition("\nBy backend")
    assert "s too little." in answered, "the answer comes first"
    assert "`fedqml plan e.yaml --fit 1` proposes settings that fit." in answered
    assert "By client" in details
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert len(plan["items"]) == 6
    assert plan["total"]["jobs"] == sum(item["work"]["jobs"] for item in plan["items"])
