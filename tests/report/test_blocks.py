"""What the report says of blocks: a map of each machine, how far they differ, and what clients made of theirs."""

import json
from dataclasses import replace

import pytest

from qiskit_fedqml import RunResult, run_federation
from qiskit_fedqml.backends.chip import Chip
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.report import page
from qiskit_fedqml.report.blocks import client_block_panels, map_panels, spread_panel, spread_rows, used_blocks
from qiskit_fedqml.report.contents import machine_colours
from tests.conftest import TINY

ARRAY = {
    "backends": {
        "ideal": {"type": "aer"},
        "nairobi": {"type": "aer", "noise": "FakeNairobiV2", "blocks": {"least_success": 0.5}},
        "manila": {"type": "aer", "noise": "FakeManilaV2"},
    },
    "assignment": {"default": {"cycle": ["nairobi", "nairobi", "manila"]}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a run of six clients, of which four share the two blocks of a machine."""
    folder = tmp_path_factory.mktemp("runs") / "packed"
    federation = {**TINY["federation"], "clients": 6, "clients_per_round": 6}
    run_federation(Experiment.model_validate({**TINY, "federation": federation, "backends": ARRAY}), folder)
    return folder


@pytest.fixture(scope="module")
def run(folder):
    return RunResult.load(folder)


def test_the_description_has_the_chip_of_machines_in_blocks(folder, run):
    assert list(json.loads((folder / "run.json").read_text())["chips"]) == ["nairobi"]
    (used,) = used_blocks({"A": run})
    assert used.machine.chip == Chip.from_json(run.run["chips"]["nairobi"])
    assert len(used.machine.chip.couplings) == 6
    assert used.machine.blocks == {
        tuple(map(int, text.split("-"))): p for text, p in run.rounds[-1].devices["nairobi"]["blocks"].items()
    }


def test_blocks_of_all_rounds_under_the_last_calibration_count(run):
    first, last = (record.devices["nairobi"] for record in run.rounds)
    one, other = last["blocks"].items()

    def with_devices(of_first, of_last):
        rounds = [replace(r, devices={"nairobi": d}) for r, d in zip(run.rounds, (of_first, of_last))]
        (used,) = used_blocks({"A": replace(run, rounds=tuple(rounds))})
        return {"-".join(map(str, block)) for block in used.machine.blocks}

    split = {**first, "blocks": dict([one])}, {**last, "blocks": dict([other])}
    assert with_devices(*split) == {one[0], other[0]}
    assert with_devices({**split[0], "date": "earlier"}, split[1]) == {other[0]}


def test_what_was_left_out_is_drawn(run):
    record = run.rounds[-1]
    devices = {"nairobi": {**record.devices["nairobi"], "left_out": ["6", "1-3"]}}
    (used,) = used_blocks({"A": replace(run, rounds=(replace(record, devices=devices),))})
    assert used.machine.faulty_qubits == (6,)
    assert used.machine.faulty_couplings == {(1, 3), (5, 6)}


def test_runs_that_met_the_same_blocks_share_a_map(run):
    both = used_blocks({"A": run, "B": run})
    assert [of.runs for of in both] == [("A", "B")]
    assert ";" not in map_panels(both, 2)[0].title
    record = run.rounds[-1]
    newer = {"nairobi": {**record.devices["nairobi"], "date": "2030-01-01"}}
    apart = used_blocks({"A": run, "B": replace(run, rounds=(replace(record, devices=newer),))})
    panels = map_panels(apart, 2)
    assert [panel.title.split("; ")[1] for panel in panels] == ["in A", "in B"]
    assert len({panel.name for panel in panels}) == 2
    assert [row["Machine"] for row in spread_rows(apart)] == ["nairobi (A)", "nairobi (B)"]


def test_the_spread_is_shown(run):
    used = used_blocks({"A": run})
    low, high = sorted(used[0].machine.successes)
    assert spread_rows(used) == [
        {
            "Machine": "nairobi",
            "Blocks": "2",
            "Least success": f"{low:.1%}",
            "Mean": f"{(low + high) / 2:.1%}",
            "Most": f"{high:.1%}",
            "Spread": f"{100 * (high - low):.1f} points",
        }
    ]
    panel = spread_panel(used, machine_colours({"A": run}))
    dots, mean = panel.axis.lines
    assert sorted(dots.get_xdata()) == [low, high]
    assert mean.get_xdata() == [pytest.approx((low + high) / 2)]


def test_losses_of_clients_lie_over_the_success_of_their_blocks(run):
    (panel,) = client_block_panels(run, "A", machine_colours({"A": run}), "a")
    owners = [client for client in run.rounds[-1].clients if client.backend == "nairobi"]
    assert len(owners) == 4
    assert {(m.x, m.y) for m in panel.marks} == {(c.success_probability, c.train_loss) for c in owners}
    assert list(panel.legend) == ["nairobi"]
    assert panel.name == "block_loss_a"
    tested = [replace(c, accuracy=0.5) if c.id == owners[0].id else c for c in run.rounds[-1].clients]
    rounds = (*run.rounds[:-1], replace(run.rounds[-1], clients=tuple(tested)))
    accuracies = client_block_panels(replace(run, rounds=rounds), "A", machine_colours({"A": run}), "a")[1]
    assert [(m.x, m.y) for m in accuracies.marks] == [(owners[0].success_probability, 0.5)]


def test_the_page_has_map_and_spread(folder, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(page, "panel_files", lambda panel, _: saved.append(panel.name) or {})
    text = page.write_report([folder], tmp_path).read_text(encoding="utf-8")
    assert {"map_nairobi_packed", "blocks", "block_loss_packed"} <= set(saved)
    assert "nairobi (FakeNairobiV2), calibrated" in text
    assert "Least success" in text
    assert "<image" not in text
    assert max(map(len, text.split("<svg")[1:])) < 60_000


def test_runs_that_did_not_record_their_couplings_have_all_but_the_map(run, caplog):
    old = replace(run, run={key: value for key, value in run.run.items() if key != "chips"})
    used = used_blocks({"A": old})
    assert map_panels(used, 1) == []
    assert "Machine nairobi is not drawn" in caplog.text
    assert spread_rows(used) == spread_rows(used_blocks({"A": run}))
    assert client_block_panels(old, "A", machine_colours({"A": old}), "a")


def test_runs_without_blocks_say_nothing_of_them(run):
    rounds = tuple(replace(record, devices={}) for record in run.rounds)
    assert used_blocks({"A": replace(run, rounds=rounds)}) == []
