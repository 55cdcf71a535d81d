import dataclasses

import pytest

from qiskit_fedqml.report.cost import cost_rows
from qiskit_fedqml.report.curves import curve_panels, learning_curves, round_rows
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.tables import duration, markdown_table


def test_table_has_a_row_for_each_scheme_and_backend(run):
    rows = table_rows({"A": run, "B": run})
    assert [(row["Scheme"], row["Tested on"]) for row in rows] == [
        (scheme, backend) for scheme in "AB" for backend in ("ideal", "stated")
    ]
    accuracies = [record.test_accuracy for record in run.rounds]
    assert rows[0]["Testing accuracy"] == f"{accuracies[-1]:.2%}"
    assert not any(column.startswith("Mean of last") for column in rows[0]), "a quarter of a short run is no round"
    long = dataclasses.replace(run, rounds=(*run.rounds[:2], *run.rounds[:2]) * 4 + (*run.rounds[:2], *run.rounds))
    last = [record.test_accuracy for record in long.rounds][-5:]
    assert len(long.rounds) == 21
    assert table_rows({"A": long})[0]["Mean of last 5 rounds"] == f"{sum(last) / 5:.2%}"
    assert table_rows({"A": long, "B": run})[2]["Mean of last 5 rounds"] == "–"
    assert rows[0]["Best"] == f"{max(accuracies):.2%}"
    lines = markdown_table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == 2 + len(rows)


def test_curves_hold_the_runs_figures(run, tmp_path):
    nothing = dataclasses.replace(run.rounds[1], train_loss=None)
    gappy = dataclasses.replace(run, rounds=(run.rounds[0], nothing, run.rounds[2]))
    figure = learning_curves({"A": run, "B": gappy}, "Title")
    by_round, by_examples = figure.axes[2].lines[0], figure.axes[3].lines[0]
    assert list(by_round.get_xdata()) == [1, 2, 3]
    assert list(by_round.get_ydata()) == [100 * r.test_accuracy for r in run.rounds]
    assert by_examples.get_xdata()[-1] == sum(r.examples for r in run.rounds)
    assert all(path.stat().st_size > 1000 for path in save_figure(figure, tmp_path / "new" / "curves"))


def test_curves_against_simulated_time_have_the_clock_of_each_step(timed):
    figure = learning_curves(timed, "Title")
    assert [axis.get_xlabel() for axis in figure.axes[4:]] == ["Simulated time (min)"] * 2
    for axis, values in (
        (figure.axes[4], lambda record: record.test_loss),
        (figure.axes[5], lambda record: 100 * record.test_accuracy),
    ):
        for line, run in zip(axis.lines, timed.values(), strict=True):
            assert list(line.get_xdata()) == pytest.approx([record.clock_seconds / 60 for record in run.rounds])
            assert list(line.get_ydata()) == [values(record) for record in run.rounds]
            assert line.get_drawstyle() == "steps-post", "a model stays until the next step"
    assert figure.axes[0].get_xlabel() == "Round or server step"


def test_runs_without_simulated_time_are_named(timed, run, on_devices):
    both = {"plain": run, **timed}
    panels = {panel.name: panel for panel in curve_panels(both)}
    assert "testing_loss_by_time" not in panels, "nobody waits less for a run whose server waits for all"
    panel = panels["testing_loss_by_simulated_time"]
    assert panel.note == "Without simulated time, so not shown: plain."
    assert panel.title == "Testing loss by simulated time"
    lines = {line.get_label(): line.get_color() for line in panel.axis.lines}
    assert lines == {name: panel.legend[name] for name in timed}
    last = timed["synchronous"].rounds[-1]
    after = duration(last.clock_seconds)
    assert panel.marks[-1].text == f"synchronous, round 6 after {after}: {last.test_loss:.4g}"
    assert not panels["testing_loss"].note
    names = [panel.name for panel in curve_panels({"A": run})]
    assert not any("time" in name for name in names)
    assert len(learning_curves({"A": run}, "Title").axes) == 4


def test_buffered_runs_in_real_time_have_curves_against_it(timed, run, on_devices):
    panels = {panel.name: panel for panel in curve_panels({"plain": run, "devices": on_devices})}
    panel = panels["testing_accuracy_by_time"]
    assert "testing_accuracy_by_simulated_time" not in panels
    assert [list(line.get_xdata()) for line in panel.axis.lines][1] == [2.0, 4.0, 9.0]
    assert panel.axis.get_xlabel() == "Time since the start (s)"
    assert panel.marks[-1].text.startswith("devices, server step 3 after 9.0 s: ")
    assert panels["testing_loss"].axis.get_xlabel() == "Round or server step"
    mixed = {panel.name: panel for panel in curve_panels({"devices": on_devices, **timed})}
    assert mixed["testing_loss_by_time"].note == "In simulated time, so not shown: buffered, synchronous."


def test_tables_have_the_simulated_time(timed, run):
    ends = [duration(of.rounds[-1].clock_seconds) for of in timed.values()]
    assert [row["Simulated time"] for row in table_rows({**timed, "plain": run}) if row["Training loss"]] == [
        *ends,
        "–",
    ]
    assert [row["Simulated time"] for row in cost_rows(timed)] == ends
    assert round_rows(timed)[5]["Simulated time"] == ends[0]
    rows = {**table_rows({"A": run})[0], **cost_rows({"A": run})[0], **round_rows({"A": run})[0]}
    assert "Simulated time" not in rows
