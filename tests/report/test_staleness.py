import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from qiskit_fedqml.federation.messages import Status
from qiskit_fedqml.report.clients import client_rows
from qiskit_fedqml.report.contents import machine_colours
from qiskit_fedqml.report.curves import round_rows
from qiskit_fedqml.report.drawing import INK, style
from qiskit_fedqml.report.staleness import is_stale, staleness_panel


@pytest.fixture(autouse=True)
def drawn_as_on_the_page():
    with style():
        yield


def panel_of(run):
    return staleness_panel(run, "A", machine_colours({"A": run}), "A")


def with_versions(run, versions):
    """Return a run of one step, of which each client has one of the model versions."""
    one = run.rounds[-1].clients[0]
    clients = tuple(dataclasses.replace(one, id=i, model_version=version) for i, version in enumerate(versions))
    return dataclasses.replace(run, rounds=(dataclasses.replace(run.rounds[-1], round=200, clients=clients),))


def test_staleness_is_that_of_the_algorithm(timed, run):
    buffered = timed["buffered"]
    of_shares = [
        (c.share * sum(1 for _ in record.clients), record.staleness_of(c))
        for record in buffered.rounds
        for c in record.clients
        if len({other.examples for other in record.clients}) == 1
    ]
    assert of_shares
    for share, staleness in of_shares:
        assert share == pytest.approx((1 + staleness) ** -0.5), "weights say how stale an update is"
    assert is_stale(buffered)
    assert not is_stale(timed["synchronous"])
    assert not is_stale(run)


def test_bars_count_all_updates(timed):
    panel = panel_of(timed["buffered"])
    found = np.zeros(10)
    for bar in panel.axis.patches:
        found[round(bar.get_x() + bar.get_width() / 2)] += bar.get_height()
    stale = [record.staleness_of(c) for record in timed["buffered"].rounds for c in record.clients]
    assert found.tolist() == np.bincount(stale, minlength=10).tolist()
    assert set(panel.legend) == {"manila", "stated"}
    assert panel.note == ""
    assert sum(int(mark.text.split(": ")[1].split()[0]) for mark in panel.marks) == len(stale)


def test_updates_that_came_too_late_are_hatched(timed):
    one = with_versions(timed["buffered"], [199, 199, 190])
    first, second, late = one.rounds[0].clients
    late = dataclasses.replace(late, status=Status.REFUSED, reason="too old")
    made = dataclasses.replace(one, rounds=(dataclasses.replace(one.rounds[0], clients=(first, second, late)),))
    panel = panel_of(made)
    assert panel.note == "Hatched: failed or refused, not averaged."
    assert [bar.get_hatch() for bar in panel.axis.patches] == [None, "////"]
    assert panel.axis.patches[1].get_edgecolor() == to_rgba(INK)
    machine = first.backend
    assert [mark.text for mark in panel.marks] == [
        f"Staleness 0 on {machine}: 2 updates",
        f"Staleness 9 on {machine}, not averaged: 1 update",
    ]


def test_very_stale_updates_share_bars(timed):
    panel = panel_of(with_versions(timed["buffered"], [199, 198, 79]))
    assert [mark.text.split(" on ")[0] for mark in panel.marks] == ["Staleness 0 to 2", "Staleness 120 to 122"]
    assert [bar.get_height() for bar in panel.axis.patches] == [2, 1]


def test_tables_have_the_mean(timed, run):
    rows = round_rows(timed)
    expected = [f"{np.mean([r.staleness_of(c) for c in r.clients]):.1f}" for r in timed["buffered"].rounds]
    assert [row["Mean staleness"] for row in rows[:6]] == expected
    assert {row["Mean staleness"] for row in rows[6:]} == {"0.0"}
    assert all("Mean staleness" in row and "Rounds or server steps" in row for row in client_rows(timed))
    assert "Mean staleness" not in {**round_rows({"A": run})[0], **client_rows({"A": run})[0]}
