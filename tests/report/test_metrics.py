"""What `evaluation.metrics` asked for: columns, curves with bands, and what runs without a metric show."""

import csv
import dataclasses
import io
import warnings

import numpy as np
import pytest

from qiskit_fedqml import compare, run_federation
from qiskit_fedqml.report.cells import metric_cell
from qiskit_fedqml.report.contents import collect
from qiskit_fedqml.report.curves import curve_panels, learning_curves, round_rows
from qiskit_fedqml.report.drawing import style
from qiskit_fedqml.report.groups import study_of
from qiskit_fedqml.report.metrics import shown_metrics
from qiskit_fedqml.report.page import page_text
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.report.table_files import csv_text, latex_text
from qiskit_fedqml.report.thinning import COLUMNS
from qiskit_fedqml.study.statistics import bands, mean_interval
from qiskit_fedqml.study.summary import write_study
from tests.conftest import make_tiny

SHARE = {"python": "tests.own_parts:share_of_first"}
ARRAY = {"backends": {"ideal": {"type": "aer"}, "noisy": {"type": "aer", "noise": {"readout": 0.2}}}}
MEASURED = {"evaluation": {"metrics": ["accuracy", "auc", SHARE], "backends": ["noisy"]}, "backends": ARRAY}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("measured")


@pytest.fixture(scope="module")
def seeds(folder):
    """Three seeds of a run with metrics."""
    return tuple(run_federation(make_tiny(**MEASURED, seed=seed), folder / "a" / f"seed{seed}") for seed in (1, 2, 3))


@pytest.fixture(scope="module")
def runs(seeds, folder):
    """Runs with and without metrics, and one with another function of the same name."""
    twice = {"evaluation": {"metrics": [{**SHARE, "arguments": {"factor": -2e9}}]}}
    plain, other = (run_federation(make_tiny(**of), folder / name) for name, of in (("plain", {}), ("other", twice)))
    return {"a": seeds, "plain": plain, "other": other}


def test_each_metric_is_a_column_of_the_table(seeds, runs):
    (on_server, on_noisy), last = table_rows({"a": seeds[0]}), seeds[0].rounds[-1]
    assert on_server["Testing AUC"] == f"{last.metrics['auc']:.4f}"
    assert on_noisy["Testing share_of_first"] == f"{last.evaluations['noisy']['share_of_first']:.4f}"
    columns = list(on_server)
    assert columns[columns.index("Best") + 1 :][:2] == ["Testing AUC", "Testing share_of_first"], (
        "accuracy is there once"
    )
    assert columns == list(on_noisy)
    assert not {"Testing AUC"} & table_rows({"plain": runs["plain"]})[0].keys()
    assert list(compare({"a": seeds[0]}).rows[0]) == columns


def test_seeds_are_means_with_intervals(seeds):
    values = [run.rounds[-1].metrics["auc"] for run in seeds]
    interval = mean_interval(values)
    assert table_rows({"a": seeds})[0]["Testing AUC"] == f"{interval.mean:.4f} ± {interval.half_width:.4f}"
    assert round_rows({"a": seeds})[1]["Testing AUC"] == table_rows({"a": seeds})[0]["Testing AUC"]


def test_functions_of_one_name_are_kept_apart(runs):
    alone, other = (
        "Testing tests.own_parts:share_of_first",
        "Testing tests.own_parts:share_of_first(factor=-2000000000.0)",
    )
    rows = {row["Scheme"]: row for row in table_rows(runs) if row["Training loss"]}
    assert [metric.heading for metric in shown_metrics([*runs["a"], runs["other"]])] == ["Testing AUC", alone, other]
    assert (rows["a"][other], rows["other"][alone], rows["plain"]["Testing AUC"]) == ("–", "–", "–")
    assert rows["other"][other] == f"{runs['other'].rounds[-1].metrics['share_of_first']:.3e}"


def test_cells():
    assert [metric_cell(values) for values in ([0.5], [], [0.5, None], [None])] == ["0.5000", "–", "–", "–"]
    assert metric_cell([2e-9, 4e-9]) == "3.000e-09 (2.000e-09 to 4.000e-09)"
    assert metric_cell([-2e7] * 3) == "-2.000e+07 ± 0.000e+00"
    assert metric_cell([0.0]) == "0.0000"


def test_each_metric_is_a_curve_with_a_band(seeds, runs):
    panels = {panel.name: panel for panel in curve_panels(runs)}
    auc = panels["metric_auc"]
    mean, low, high = bands(np.array([[record.metrics["auc"] for record in run.rounds] for run in seeds]))
    assert [line.get_label() for line in auc.axis.lines] == ["a"]
    assert list(auc.axis.lines[0].get_ydata()) == pytest.approx(list(mean))
    drawn = auc.axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (drawn.min(), drawn.max()) == pytest.approx((max(0.0, low.min()), min(1.0, high.max())))
    assert auc.marks[0].text.startswith(f"a, round 1: {mean[0]:.4g} (")
    assert auc.title == "Testing AUC by round"
    assert auc.note.startswith("Without this metric, so not shown: plain, other. Lines: means of 3 seeds")
    (other,) = [panel for panel in panels.values() if "factor" in panel.title]
    assert list(other.axis.lines[0].get_ydata()) == [r.metrics["share_of_first"] for r in runs["other"].rounds]
    assert "metric_accuracy" not in panels


def test_the_figure_of_a_comparison_has_them_too(seeds, runs):
    figure = learning_curves({"a": seeds[0], "plain": runs["plain"]})
    assert [axis.get_ylabel() for axis in figure.axes[4:]] == ["Testing AUC", "Testing share_of_first"]
    assert [text.get_text() for text in figure.axes[4].texts] == [f"{seeds[0].rounds[-1].metrics['auc']:.3f}"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "plain"]
    odd = learning_curves({"other": runs["other"]})
    assert [axis.axison for axis in odd.axes] == [True] * 5 + [False]


def test_what_is_undefined_leaves_a_gap_or_no_curve(seeds):
    def without(name, rounds):
        records = [
            dataclasses.replace(r, metrics={n: v for n, v in r.metrics.items() if n != name or r.round not in rounds})
            for r in seeds[0].rounds
        ]
        return dataclasses.replace(seeds[0], rounds=tuple(records))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        never, once = without("auc", (1, 2)), without("auc", (1,))
        assert not [panel for panel in curve_panels({"a": never}) if panel.name == "metric_auc"]
        (panel,) = [panel for panel in curve_panels({"a": once}) if panel.name == "metric_auc"]
    assert np.isnan(panel.axis.lines[0].get_ydata()[0])
    assert len(panel.marks) == 1
    assert table_rows({"a": never})[0]["Testing AUC"] == "–"
    assert round_rows({"a": (once, seeds[1])})[0]["Testing AUC"] == "–"


def test_curves_of_many_rounds_show_each_extreme(seeds):
    one = seeds[0].rounds[0]
    rounds = [dataclasses.replace(one, round=k + 1, metrics={"auc": 0.5, "share_of_first": 0.5}) for k in range(5000)]
    rounds[1234] = dataclasses.replace(rounds[1234], metrics={"auc": 0.01, "share_of_first": 0.5})
    with style():
        panels = curve_panels({"a": dataclasses.replace(seeds[0], rounds=tuple(rounds))})
    (line,) = next(panel for panel in panels if panel.name == "metric_auc").axis.lines
    assert len(line.get_xdata()) <= 4 * COLUMNS
    assert min(line.get_ydata()) == 0.01


def test_the_report_has_panels_and_tables(seeds, runs):
    shown = {"a": seeds[0], "plain": runs["plain"]}
    with style():
        contents = collect(shown)
        page = page_text(shown, contents)
    assert "<figcaption><span>Testing AUC by round</span>" in page
    assert page.count("Testing share_of_first</th>") == 2
    assert "metric_tests_own_parts_share_of_first" in [panel.name for panel in contents.panels.all()]
    for name in ("results", "rounds"):
        table = contents.tables[name]
        assert "Testing AUC" in table.numeric
        cells = [row["Testing AUC"] for row in csv.DictReader(io.StringIO(csv_text(table)))]
        assert cells[0].startswith("0.")
        assert cells[-1] == ""
        assert r"Testing share\_of\_first" in latex_text(table)


def test_files_of_a_study_have_them(runs, tmp_path):
    write_study(study_of(runs), tmp_path)
    with (tmp_path / "rounds.csv").open(encoding="utf-8") as file:
        first, *_, last = csv.DictReader(file)
    assert float(first["test_auc"]) == pytest.approx(runs["a"][0].rounds[0].metrics["auc"], rel=1e-5)
    assert last["test_auc"] == ""
    assert '"metrics": {"accuracy": ' in (tmp_path / "runs.jsonl").read_text(encoding="utf-8").splitlines()[0]
