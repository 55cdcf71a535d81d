"""Many pieces of work, as shares of time."""

import dataclasses

import numpy as np
import pytest

from qiskit_fedqml.report.activity import NUM_SPANS, activities
from qiskit_fedqml.report.bars import simulated_bars
from qiskit_fedqml.report.contents import machine_colours
from qiskit_fedqml.report.drawing import style
from qiskit_fedqml.report.timeline import timeline_panels
from qiskit_fedqml.report.work import SERVER, Bar


def bar(start, seconds, **more):
    values = {"round": 1, "lane": "east", "entry": "east", "text": "", **more}
    return Bar(start_seconds=start, seconds=seconds, **values)


def test_shares_are_those_of_the_time_with_work():
    """Two that overlap count once; what came to nothing counts where nothing else ran."""
    work = [bar(0.0, 2.0), bar(1.0, 3.0, round=2), bar(3.5, 1.5, round=3, is_used=False), bar(71.0, 1.0, round=4)]
    (found,) = activities(work, float(NUM_SPANS))
    assert found.worked[:6].tolist() == pytest.approx([1, 1, 1, 1, 0, 0])
    assert found.wasted[:6].tolist() == pytest.approx([0, 0, 0, 0, 1, 0])
    assert found.worked[-1] == pytest.approx(1.0)
    assert not found.waited.any()
    assert found.texts[3] == "Rounds 2 to 3, east: 2 clients, 1 of them not used, at work 100% of 1.0 s"
    assert found.texts[5] == ""


@pytest.mark.parametrize("seed", range(3))
def test_no_time_is_lost_or_counted_twice(seed):
    rng = np.random.default_rng(seed)
    starts, lengths = rng.uniform(0, 900, 500), rng.exponential(0.5, 500)
    (found,) = activities([bar(*times) for times in zip(starts, lengths)], 1000.0)
    grid = np.arange(0, 1000, 0.01)
    is_busy = np.zeros(len(grid), dtype=bool)
    for start, length in zip(starts, lengths):
        is_busy[(grid >= start) & (grid < start + length)] = True
    assert found.worked.sum() * 1000 / NUM_SPANS == pytest.approx(is_busy.sum() * 0.01, rel=0.02)
    assert ((found.worked >= 0) & (found.worked <= 1)).all()


def test_queues_are_shares_too(timed):
    run = timed["buffered"]
    found = activities(simulated_bars(run), run.rounds[-1].clock_seconds)
    assert {one.entry for one in found} == {"manila", "stated"}
    assert any(one.waited.any() for one in found)


def test_a_timeline_of_100_rounds_has_few_shapes(run):
    one = run.rounds[0]
    rounds = tuple(dataclasses.replace(one, round=k + 1) for k in range(100))
    large = dataclasses.replace(run, rounds=rounds)
    with style():
        (panel,) = timeline_panels(large, "A", machine_colours({"A": large}), "A")
    lanes = [label.get_text() for label in panel.axis.get_yticklabels()]
    assert lanes[-1] == SERVER
    assert len(panel.axis.patches) == len(lanes)
    assert len(panel.marks) <= NUM_SPANS * len(lanes)
    assert panel.note == f"Height: the share of time at work, in {NUM_SPANS} equal spans."
    assert any("Rounds 1 to " in mark.text for mark in panel.marks)
