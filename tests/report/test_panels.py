import dataclasses
import re

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from qiskit_fedqml.federation.messages import Status
from qiskit_fedqml.report.bars import bars
from qiskit_fedqml.report.clients import client_panels, client_rows
from qiskit_fedqml.report.contents import machine_colours
from qiskit_fedqml.report.curves import curve_panels
from qiskit_fedqml.report.drawing import COLOURS, INK, MOST_MARKS, panel_files, style
from qiskit_fedqml.report.inline import inline_svg
from qiskit_fedqml.report.naming import NO_CIRCUIT
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.report.timeline import timeline_panels
from tests.conftest import make_tiny


@pytest.fixture(autouse=True)
def drawn_as_on_the_page():
    with style():
        yield


@pytest.fixture
def mixed(run):
    """The run with a first round of which one client only tested and one failed."""
    tested, lost = run.rounds[0].clients
    tested = dataclasses.replace(tested, status="tested", accuracy=0.5, share=0.0)
    lost = dataclasses.replace(lost, status="failed: lost", train_loss=None, share=0.0, seconds=2.0)
    first = dataclasses.replace(run.rounds[0], clients=(tested, lost))
    return dataclasses.replace(run, rounds=(first, *run.rounds[1:]))


def many(run, num_rounds, num_clients):
    one = run.rounds[0].clients[0]
    clients = tuple(dataclasses.replace(one, id=i, started_seconds=None, seconds=0.01) for i in range(num_clients))
    record = dataclasses.replace(run.rounds[0], clients=clients, seconds=2.0)
    return dataclasses.replace(run, rounds=tuple(dataclasses.replace(record, round=i + 1) for i in range(num_rounds)))


def test_work_that_was_not_used_is_hatched_in_a_colour_of_its_own(run, mixed):
    (panel,) = timeline_panels(mixed, "A", machine_colours({"A": mixed}), "A")
    assert "Hatched" in panel.note
    hatched = [c for c in panel.axis.collections if isinstance(c, PolyCollection) and c.get_hatch() and c.get_paths()]
    assert len(hatched) == 1
    assert tuple(hatched[0].get_edgecolor()[0]) == to_rgba(INK)
    assert not np.array_equal(hatched[0].get_edgecolor()[0][:3], hatched[0].get_facecolor()[0][:3])
    pattern = re.search(r"<pattern.*?</pattern>", inline_svg(panel), flags=re.DOTALL)[0]
    assert "stroke: currentColor" in pattern
    assert "Hatched" not in timeline_panels(run, "A", machine_colours({"A": run}), "A")[0].note


def test_panels_are_drawn_once_for_each_file(run, monkeypatch, tmp_path):
    drawn, draw = [], Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda figure, renderer: drawn.append(figure) or draw(figure, renderer))
    (panel,) = timeline_panels(run, "A", machine_colours({"A": run}), "A")
    inline_svg(panel)
    assert len(panel_files(panel, tmp_path)) == 2
    assert len(drawn) == 3


def test_clients_that_only_tested_or_failed_look_different(mixed, run):
    by_round, losses = client_panels(mixed, "A", machine_colours({"A": mixed}), "A")
    looks = {line.get_marker(): line for line in by_round.axis.lines if len(line.get_xdata())}
    assert set(looks) == {"o", "x"}
    assert by_round.note == "Hollow: only tested the global model. Crosses: failed or refused, not averaged."
    hollow = [line for line in losses.axis.lines if line.get_markerfacecolor() == "none" and len(line.get_xdata())]
    assert [list(line.get_xdata()) for line in hollow] == [[1]]
    assert losses.title == "Each client's loss: A"
    assert losses.note == "Hollow: the global model's loss at a client that only tests."
    assert not any(panel.note for panel in client_panels(run, "A", machine_colours({"A": run}), "A"))


def test_clients_share_all_that_was_averaged(run):
    shares = [float(row["Share of average"].removesuffix("%")) for row in client_rows({"A": run})]
    assert sum(shares) == pytest.approx(100, abs=0.3)
    old = [dataclasses.replace(client, share=0.0) for client in run.rounds[0].clients]
    unknown = dataclasses.replace(run, rounds=(dataclasses.replace(run.rounds[0], clients=tuple(old)),))
    assert {row["Share of average"] for row in client_rows({"A": unknown})} == {"–"}


def test_classical_runs_name_no_machine(run):
    classical = dataclasses.replace(run, experiment=make_tiny(model__quantum="classical"))
    assert table_rows({"A": classical})[0]["Tested on"] == NO_CIRCUIT
    assert {row["Machine"] for row in client_rows({"A": classical})} == {NO_CIRCUIT}
    colours = machine_colours({"A": classical})
    lanes = [label.get_text() for label in timeline_panels(classical, "A", colours, "A")[0].axis.get_yticklabels()]
    assert lanes == [NO_CIRCUIT, "server"]
    assert all(" on " not in mark.text for mark in client_panels(classical, "A", colours, "A")[0].marks)


def test_much_is_thinned_and_said(run):
    large = many(run, num_rounds=100, num_clients=30)
    colours = machine_colours({"A": large})
    assert sum(bar.seconds for bar in bars(large) if bar.lane == "manila") == pytest.approx(30.0)
    by_round, losses = client_panels(large, "A", colours, "A")
    assert len(by_round.marks) == 600
    assert by_round.note == "One round in 5 is shown."
    assert losses.note == "Where there are too many points, the lowest and the highest are shown."
    assert len(losses.marks) <= MOST_MARKS
    assert {max(mark.x for mark in panel.marks) for panel in (by_round, losses)} == {100}


def test_extremes_and_failures_are_not_thinned_away(run):
    large = many(run, num_rounds=200, num_clients=20)
    rounds = list(large.rounds)
    high = dataclasses.replace(rounds[41].clients[7], train_loss=99.0)
    lost = dataclasses.replace(rounds[42].clients[8], status=Status.FAILED, train_loss=None, reason="lost")
    for place, changed in ((41, high), (42, lost)):
        clients = tuple(changed if c.id == changed.id else c for c in rounds[place].clients)
        rounds[place] = dataclasses.replace(rounds[place], clients=clients)
    large = dataclasses.replace(large, rounds=tuple(rounds))
    by_round, losses = client_panels(large, "A", machine_colours({"A": large}), "A")
    assert any((mark.x, mark.y) == (42, 99.0) for mark in losses.marks)
    assert any((mark.x, mark.y) == (43, 8) and "failed" in mark.text for mark in by_round.marks)
    assert by_round.note.startswith("Crosses:")
    assert by_round.note.endswith("One round in 7 is shown, and of the others what was lost.")


def test_runs_with_the_same_colour_have_other_dashes(run, tmp_path):
    names = [f"run {i}" for i in range(len(COLOURS) + 1)]
    panel = curve_panels(dict.fromkeys(names, run))[0]
    assert panel.legend[names[0]] == panel.legend[names[-1]]
    first, last = panel.axis.lines[0], panel.axis.lines[-1]
    assert first.get_color() == last.get_color()
    assert (
        (first.get_linestyle(), last.get_linestyle())
        == ("-", "--")
        == (panel.dashes[names[0]], panel.dashes[names[-1]])
    )
    assert all(panel_files(panel, tmp_path).values())
