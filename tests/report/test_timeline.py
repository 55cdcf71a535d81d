import dataclasses
from itertools import pairwise

import pytest

from qiskit_fedqml.report.bars import bars, simulated_bars
from qiskit_fedqml.report.contents import machine_colours
from qiskit_fedqml.report.drawing import style
from qiskit_fedqml.report.queues import queue_rows
from qiskit_fedqml.report.timeline import timeline_panels
from qiskit_fedqml.report.work import SERVER
from qiskit_fedqml.tables import duration


@pytest.fixture(autouse=True)
def drawn_as_on_the_page():
    with style():
        yield


def test_a_task_of_several_steps_begins_where_it_began(on_devices):
    of_clients = [bar for bar in bars(on_devices) if bar.lane != SERVER]
    assert [(bar.lane, bar.start_seconds, bar.seconds) for bar in of_clients] == [
        ("ideal", 0.5, 1.0),
        ("ideal", 2.5, 1.0),
        ("slow", 0.5, 8.0),
    ]
    assert of_clients[2].text == "Server step 3, client 1 on slow: 8.0 s, staleness 2"
    (panel,) = timeline_panels(on_devices, "A", machine_colours({"A": on_devices}), "A")
    assert panel.note == "Dashed lines are server steps."
    assert panel.title == "Machines over time: A"


def test_a_task_that_spans_a_break_begins_after_its_model(on_devices):
    """It took 7.75 s, of which 1 s was a break between steps."""
    records = list(on_devices.rounds)
    (slow,) = records[2].clients
    slow = dataclasses.replace(slow, started_seconds=-3.0, seconds=7.75, model_version=1)
    records[2] = dataclasses.replace(records[2], clients=(slow,))
    bar = next(bar for bar in bars(dataclasses.replace(on_devices, rounds=tuple(records))) if bar.lane == "slow")
    assert (bar.start_seconds, bar.end_seconds) == (2.0, 8.75)
    assert bar.text == "Server step 3, client 1 on slow: 7.8 s, staleness 1"


def test_work_on_the_simulated_clock_is_at_its_simulated_time(timed):
    for name, run in timed.items():
        work = simulated_bars(run)
        clients = [client for record in run.rounds for client in record.clients]
        assert [(bar.start_seconds, bar.entry) for bar in work] == [(c.started_at, c.backend) for c in clients]
        assert [bar.end_seconds for bar in work] == pytest.approx([c.arrived_at for c in clients])
        assert [bar.waited_seconds for bar in work] == [c.started_at - c.dispatched_at for c in clients]
        for lane in ("manila", "stated"):
            of_lane = sorted((b for b in work if b.lane == lane), key=lambda bar: bar.start_seconds)
            assert all(a.end_seconds <= b.start_seconds + 1e-6 for a, b in pairwise(of_lane)), "one task at a time"
        simulated, real = timeline_panels(run, name, machine_colours(timed), name)
        assert (simulated.name, real.name) == (f"simulated_timeline_{name}", f"timeline_{name}")
        assert simulated.axis.get_xlabel().startswith("Simulated time (")
        assert [label.get_text() for label in simulated.axis.get_yticklabels()] == ["manila", "stated"]
        ends = [line.get_xdata()[0] for line in simulated.axis.lines]
        scale = run.rounds[-1].clock_seconds / ends[-1]
        assert ends == pytest.approx([record.clock_seconds / scale for record in run.rounds])
        assert simulated.note.startswith("Thin: in the queue.")


def test_stale_updates_are_called_so(timed):
    texts = [bar.text for bar in simulated_bars(timed["buffered"])]
    assert any(", staleness 1, after " in text for text in texts)
    assert all(text.startswith("Server step ") for text in texts)
    assert not any("staleness" in bar.text for bar in simulated_bars(timed["synchronous"]))


def test_calibrations_that_follow_each_other_share_a_lane(timed):
    run = timed["buffered"]
    replay = {"start": "2026-03-02T12:00:00Z", "later": {"manila": ["stated"]}}
    scheduling = run.experiment.scheduling.model_validate({**run.experiment.scheduling.model_dump(), "replay": replay})
    made = dataclasses.replace(run, experiment=run.experiment.model_copy(update={"scheduling": scheduling}))
    assert {(bar.lane, bar.entry) for bar in simulated_bars(made)} == {("manila", "manila"), ("manila", "stated")}
    simulated, real = timeline_panels(made, "A", machine_colours({"A": made}), "A")
    assert [label.get_text() for label in simulated.axis.get_yticklabels()] == ["manila"]
    assert (list(simulated.legend), real.legend) == (["manila", "stated"], {})
    assert len(simulated.marks) == 12


def test_queues_are_those_of_the_machines(timed):
    rows = queue_rows(timed)
    assert [(row["Run"], row["Machine"]) for row in rows] == [(n, m) for n in timed for m in ("manila", "stated")]
    assert sum(int(row["Tasks"]) for row in rows if row["Run"] == "buffered") == 12
    assert {row["Mean staleness"] for row in rows if row["Run"] == "synchronous"} == {"0.0"}
    assert any(row["Mean staleness"] != "0.0" for row in rows)
    run = timed["buffered"]
    of = [c for record in run.rounds for c in record.clients if c.backend == "manila"]
    busy = sum(c.arrived_at - c.started_at for c in of) / run.rounds[-1].clock_seconds
    assert rows[0]["Busy"] == f"{busy:.1%}"
    assert rows[0]["Longest wait"] == duration(max(c.started_at - c.dispatched_at for c in of))


def test_runs_without_simulated_time_have_no_queues(run, on_devices):
    assert queue_rows({"A": run, "B": on_devices}) == []
