"""Blocks in a plan: how many, how good, and what they save."""

import json

import pytest

from qiskit_fedqml.backends.figures import success_probability
from qiskit_fedqml.config.loading import load_experiment
from qiskit_fedqml.planning import tables
from qiskit_fedqml.planning.block_tables import block_rows, packing_rows
from qiskit_fedqml.planning.planner import Planner, plan_experiment
from qiskit_fedqml.planning.sentences import sentences
from tests.conftest import ROOT

ALL = {"federation__clients_per_round": 4}
ON_A = {"assignment": {"default": "a"}}
UNPACKED = {"blocks": "off", "joint": False}


def test_a_row_for_each_device_with_blocks(planned, experiment):
    plan = planned({"blocks": {"spread": "clients"}})
    backend, program = Planner.open(experiment({"blocks": "auto"})).devices(experiment({"blocks": "auto"}))["a"]
    target = backend.machine.qiskit_backend.target
    success = [success_probability(copy.circuit, target, copy.measured) for copy in program.copies]
    facts = plan.devices["a"].blocks
    assert (facts.number, facts.qubits, facts.num_qubits) == (2, 4, 5)
    assert (facts.mean_success, facts.worst_success) == pytest.approx((sum(success) / 2, min(success)))
    assert facts.worst_success < facts.mean_success
    assert block_rows(plan) == [
        {
            "Backend": "a",
            "Blocks": "2",
            "Proven maximal": "yes",
            "Qubits used": "4 of 5",
            "Mean success": f"{facts.mean_success:.1%}",
            "Worst success": f"{facts.worst_success:.1%}",
            "Spread": "clients",
        }
    ]
    assert plan.devices["b"].blocks is None
    assert block_rows(planned()) == packing_rows(planned()) == []
    assert json.loads(json.dumps(plan.as_json()))["devices"]["a"]["blocks"]["number"] == 2


def test_what_blocks_save_is_what_the_run_would_take_without(planned):
    """Four clients of batches of 8 and 2: two joint jobs a round for eight, and half the executions or little more."""
    plan, without = planned({"blocks": "auto"}, file=ON_A, **ALL), planned(UNPACKED, file=ON_A, **ALL)
    unpacked = plan.devices["a"].blocks.unpacked
    assert unpacked.executions == without.total().executions
    assert unpacked.qpu_seconds == pytest.approx(without.total().qpu_seconds)
    assert (plan.total().jobs, unpacked.jobs) == (2 * 2, 2 * 8)
    assert 1.9 < unpacked.executions / plan.total().executions <= 2
    packed, single, ratio = packing_rows(plan)
    assert (packed["Jobs"], single["Jobs"], ratio["Jobs"]) == ("4", "16", "4.0")
    assert packed["Executions"] == f"{plan.total().executions:,}"
    assert single["Executions"] == f"{without.total().executions:,}"
    assert ratio["Executions"] == f"{unpacked.executions / plan.total().executions:.1f}"
    assert ratio["QPU time"] == f"{unpacked.qpu_seconds / plan.total().qpu_seconds:.1f}"
    shared = "A job that several clients share counts with the first of them."
    assert [row["Jobs"] for row in tables.client_rows(plan)] == ["4", "0", "0", "0"]
    assert shared in sentences(plan, 0.0)
    assert shared not in sentences(without, 0.0)
    titles = [title for title, _ in tables.tables(plan)]
    assert titles.index("Blocks") + 1 == titles.index("What blocks save")


def test_one_block_saves_only_jobs(planned):
    plan = planned(second={"blocks": "auto"}, file={"assignment": {"default": "b"}}, **ALL)
    assert plan.devices["b"].blocks.number == 1
    assert plan.devices["b"].blocks.has_most
    packed, single, ratio = packing_rows(plan)
    assert packed["Executions"] == single["Executions"]
    assert (ratio["Jobs"], ratio["Executions"]) == ("4.0", "1.0")


def test_number_that_is_not_proven(planned, monkeypatch):
    """With too many groups of qubits blocks are taken one after another."""
    monkeypatch.setattr("qiskit_fedqml.backends.packing.blocks._MOST_GROUPS", 3)
    plan = planned({"blocks": "auto"})
    assert not plan.devices["a"].blocks.has_most
    assert block_rows(plan)[0]["Proven maximal"] == "no"


def test_settings_that_need_blocks_do_not_hide_what_blocks_save(planned):
    """Weights by success have an effect on one machine only if clients have blocks of their own."""
    weighed = {"aggregation": {"success_exponent": 2.0}, **ALL}
    plan = planned({"blocks": {"spread": "clients"}}, file=ON_A, **weighed)
    assert plan.devices["a"].blocks.unpacked.executions == planned(UNPACKED, file=ON_A, **ALL).total().executions


@pytest.mark.slow
def test_tables_of_the_documentation():
    plan = plan_experiment(load_experiment(ROOT / "experiments/digits_on_device.yaml"))
    page = (ROOT / "docs/devices.md").read_text()
    written = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if "| fez " in line]
    assert written == [list(row.values()) for row in (*block_rows(plan), *packing_rows(plan))]
