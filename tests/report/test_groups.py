import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

from qiskit_fedqml import RunResult, run_federation
from qiskit_fedqml.report.cells import loss_cell, percent_cell
from qiskit_fedqml.report.comparison import comparison_text, write_comparison, write_study_files
from qiskit_fedqml.report.curves import curve_panels, learning_curves, round_rows
from qiskit_fedqml.report.differences import difference_note, difference_rows
from qiskit_fedqml.report.earlier import check_comparison
from qiskit_fedqml.report.groups import grouped, groups_of, seed_folders, study_of
from qiskit_fedqml.report.page import write_report
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.study.statistics import bands, mean_interval
from tests.conftest import make_tiny


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """A folder of three seeds, and one of two seeds with another learning rate."""
    parent = tmp_path_factory.mktemp("seeds")
    for name, numbers, rate in (("slow", (1, 2, 3), 0.01), ("fast", (1, 2), 0.05)):
        for seed in numbers:
            run_federation(make_tiny(seed=seed, federation__learning_rate=rate), parent / name / f"seed{seed}")
    return parent


@pytest.fixture(scope="module")
def groups(seeds):
    """The same runs, as they are shown."""
    return grouped(loaded(seeds / "slow", seeds / "fast"))


def loaded(*folders):
    paths = [path for folder in folders for path in seed_folders(folder)]
    return {f"{path.parent.name}/{path.name}": RunResult.load(path) for path in paths}


def test_seeds_of_one_configuration_are_one(seeds, groups):
    assert {name: [run.experiment.seed for run in of] for name, of in groups.items()} == {
        "slow": [1, 2, 3],
        "fast": [1, 2],
    }
    assert seed_folders(seeds / "slow") == [seeds / "slow" / f"seed{n}" for n in (1, 2, 3)]
    assert seed_folders(seeds / "slow" / "seed1") == [seeds / "slow" / "seed1"], "a run stands for itself"
    assert seed_folders(seeds / "nothing") == [seeds / "nothing"]


def test_what_is_no_group(seeds):
    runs = loaded(seeds / "slow")
    unfinished = dataclasses.replace(runs["slow/seed3"], rounds=runs["slow/seed3"].rounds[:1])
    assert list(grouped({**runs, "slow/seed3": unfinished})) == ["slow", "slow/seed3"]
    twice = {**runs, "again": dataclasses.replace(runs["slow/seed1"], folder=Path("elsewhere/again"))}
    assert list(grouped(twice)) == ["slow", "again"], "a seed is not counted twice"
    assert list(grouped({"slow/seed1": runs["slow/seed1"]})) == ["slow/seed1"]


def test_groups_have_the_name_that_their_runs_share():
    places = {f"mine_seed{seed}": (Path(f"r/mine_seed{seed}"), make_tiny(seed=seed)) for seed in (3, 4)}
    assert groups_of(places) == {"mine": ("mine_seed3", "mine_seed4")}
    places = {name: (Path(name), make_tiny(seed=seed)) for seed, name in enumerate("xyz")}
    assert list(groups_of(places)) == ["x and 2 more"]
    both = {
        f"{rate}{seed}": (Path(f"r/seed{seed}"), make_tiny(seed=seed, federation__learning_rate=rate))
        for seed, rate in ((1, 0.1), (2, 0.1), (3, 0.2), (4, 0.2))
    }
    assert len(groups_of(both)) == 2, "two configurations in one folder keep different names"


def test_a_group_is_one_line_of_the_table(groups):
    slow, fast = table_rows(groups)
    last = [run.rounds[-1] for run in groups["slow"]]
    interval = mean_interval(100 * record.test_accuracy for record in last)
    assert slow["Seeds"] == "3"
    assert slow["Testing accuracy"] == f"{interval.mean:.2f} ± {interval.half_width:.2f}%"
    assert "±" not in "".join(fast.values()), "two seeds show their range"
    losses = sorted(run.rounds[-1].test_loss for run in groups["fast"])
    assert fast["Testing loss"] == f"{np.mean(losses):.4f} ({losses[0]:.4f} to {losses[1]:.4f})"
    alone = {"one": groups["slow"][0]}
    assert "Seeds" not in table_rows(alone)[0]
    assert table_rows(alone)[0]["Testing accuracy"] == f"{last[0].test_accuracy:.2%}"


def test_cells():
    assert (loss_cell([0.5]), loss_cell([0.5, None])) == ("0.5000", "–")
    assert percent_cell([0.5416, 0.8264]) == "68.40% (54.16 to 82.64)"
    assert percent_cell([0.5, 0.5, 0.5]) == "50.00 ± 0.00%"
    assert percent_cell([0.5]) == "50.00%"


def test_a_group_is_one_curve_with_a_band(groups):
    figure = learning_curves(groups, "Title")
    loss = figure.axes[1]
    assert [line.get_label() for line in loss.lines] == ["slow", "fast"]
    values = np.array([[record.test_loss for record in run.rounds] for run in groups["slow"]])
    mean, low, high = bands(values)
    assert list(loss.lines[0].get_ydata()) == pytest.approx(list(mean))
    points = loss.collections[0].get_paths()[0].vertices
    assert {round(float(y), 6) for y in points[:, 1]} >= {round(float(y), 6) for y in (*low, *high)}
    assert [text.get_text() for text in loss.texts] == [f"{line.get_ydata()[-1]:.3f}" for line in loss.lines]
    assert figure.legends[0].get_title().get_text() == (
        "Lines: means of 2 to 3 seeds; bands: range of 2 seeds or 95% intervals; numbers at their ends: after the last "
        "round"
    )
    accuracy = figure.axes[2].collections[0].get_paths()[0].vertices[:, 1]
    assert 0 <= accuracy.min() <= accuracy.max() <= 100
    panel = next(panel for panel in curve_panels(groups) if panel.name == "testing_loss")
    assert panel.marks[0].text == f"slow, round 1: {mean[0]:.4g} ({low[0]:.4g} to {high[0]:.4g}, 3 seeds)"
    alone = learning_curves({"A": groups["slow"][0]}, "Title")
    assert not alone.axes[0].collections
    assert not alone.legends[0].get_title().get_text()


def test_a_legend_of_long_names_stays_inside_the_figure(groups):
    names = [f"local_epochs = {epochs}, learning_rate = {rate}" for epochs in (1, 2) for rate in (0.02, 0.05)]
    figure = learning_curves(dict.fromkeys(names, groups["slow"]), "Title")
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_bands_are_intervals_point_by_point():
    values = np.random.default_rng(0).normal(size=(4, 5))
    mean, low, high = bands(values)
    for k in range(5):
        interval = mean_interval(values[:, k])
        assert (mean[k], low[k], high[k]) == pytest.approx((interval.mean, interval.low, interval.high))
    assert np.array_equal(bands(values[:2])[1], values[:2].min(axis=0)), "two show their range"


def test_rounds_of_a_group_are_rows_of_means(groups):
    rows = round_rows(groups)
    assert [(row["Run"], row["Round"]) for row in rows] == [("slow", "1"), ("slow", "2"), ("fast", "1"), ("fast", "2")]
    assert rows[0]["Testing loss"] == loss_cell([run.rounds[0].test_loss for run in groups["slow"]])


def test_differences_are_of_pairs_by_holm_and_of_two_pairs_show_their_range(groups):
    reference, fast = difference_rows(groups)
    assert (reference["Scheme"], fast["Scheme"], fast["Pairs"]) == ("slow", "fast", "2")
    assert reference["Testing loss minus “slow”"] == ""
    assert " to " in fast["Testing loss minus “slow”"]
    assert fast["By testing loss"] == "too few seeds"
    assert "Holm" not in difference_note({name: of[:2] for name, of in groups.items()})
    three = {"slow": groups["slow"], "other": groups["slow"][::-1]}
    row = difference_rows(three)[1]
    assert row["Testing loss minus “slow”"] == "+0.000 ± 0.000"
    assert row["By accuracy"] == "no significant difference"
    assert "Holm" in difference_note(three)
    study = study_of(three)
    values = [list(study.values(name, lambda run: run.rounds[-1].test_loss).values()) for name in three]
    assert np.isnan(ttest_rel(*map(sorted, values)).pvalue)
    assert difference_rows({name: of[0] for name, of in groups.items()}) == [], "one pair shows no spread"
    assert difference_note({name: of[0] for name, of in groups.items()}) == ""


def test_a_comparison_with_differences_is_known_again(groups, tmp_path):
    write_comparison(groups, tmp_path)
    assert (tmp_path / "table.md").read_text() == comparison_text(groups)
    check_comparison(tmp_path, ["slow", "fast"], overwrite=False)
    with pytest.raises(Exception, match=r"table\.md"):
        check_comparison(tmp_path, ["slow"], overwrite=False)


def test_a_study_writes_tables_curves_and_text(groups, tmp_path):
    write_study_files(study_of(groups), tmp_path, "Rates")
    with (tmp_path / "differences.csv").open() as file:
        assert [row["Scheme"] for row in csv.DictReader(file)] == ["slow", "fast"]
    with (tmp_path / "table.csv").open() as file:
        assert [row["Seeds"] for row in csv.DictReader(file)] == ["3", "2"]
    text = (tmp_path / "results.md").read_text()
    assert text.startswith("# Rates\n\n| Scheme")
    assert text.count("| Scheme") == 2
    assert (tmp_path / "curves.svg").exists()
    assert len((tmp_path / "runs.jsonl").read_text().splitlines()) == 5


def test_the_report_shows_seeds_as_one(seeds, tmp_path):
    page = write_report([seeds / "slow", seeds / "fast"], tmp_path).read_text()
    assert "<title>Report: slow, fast</title>" in page
    assert "3 seeds; " in page
    assert "Differences to the first, in pairs of the same seed" in page
    assert "Lines: means of 2 to 3 seeds" in page
