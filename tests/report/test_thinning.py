import dataclasses

import numpy as np
import pytest

from qiskit_fedqml.report.curves import curve_panels
from qiskit_fedqml.report.drawing import style
from qiskit_fedqml.report.thinning import COLUMNS, MARK_COLUMNS, shared_columns, thinned


def test_a_short_curve_keeps_all_points():
    assert thinned(range(400), [0.0] * 400, columns=100) == list(range(400))
    assert thinned([], [], columns=1) == []


@pytest.mark.parametrize("seed", range(5))
def test_each_column_keeps_its_extremes_and_its_ends(seed):
    rng = np.random.default_rng(seed)
    x, y = np.cumsum(rng.exponential(size=5000)), rng.standard_cauchy(5000)
    y[rng.random(5000) < 0.1] = np.nan
    kept = thinned(x.tolist(), y.tolist(), columns=50)
    assert len(kept) <= 200
    assert kept == sorted(set(kept))
    column = np.minimum(((x - x[0]) / (x[-1] - x[0]) * 50).astype(int), 49)
    for of in (np.flatnonzero(column == k) for k in range(50)):
        mine = [k for k in kept if k in set(of.tolist())]
        assert {of[0], of[-1]} <= set(mine)
        assert (np.nanmin(y[mine]), np.nanmax(y[mine])) == (np.nanmin(y[of]), np.nanmax(y[of]))


def test_a_single_spike_and_a_gap_survive():
    y = np.zeros(60_000)
    y[31_234], y[40_000:41_000] = 7.0, np.nan
    kept = thinned(range(60_000), y.tolist())
    assert 31_234 in kept
    assert len(kept) <= 4 * COLUMNS
    assert np.isnan(y[kept]).any()
    assert all(np.isnan(y[k]) for k in kept if 40_000 <= k < 41_000)


def test_values_that_are_not_there_or_not_finite_are_no_extremes():
    assert thinned(range(1000), [float("nan")] * 1000, columns=1) == [0, 999]
    kept = thinned(range(1000), [0.0] * 500 + [float("inf")] + [1.0] * 499, columns=1)
    assert set(kept) <= {0, 499, 501, 999}


def test_all_points_in_one_place_are_one_column():
    assert thinned([3.0] * 100, list(range(100)), columns=2) == [0, 99]


def test_many_curves_share_a_panels_columns():
    assert [shared_columns(300, n) for n in (1, 4, 8, 100)] == [300, 300, 150, 60]


def test_curves_of_many_rounds_show_each_extreme(run):
    one = run.rounds[0]
    rounds = [dataclasses.replace(one, round=k + 1, test_loss=0.5) for k in range(5000)]
    rounds[1234] = dataclasses.replace(rounds[1234], test_loss=9.0)
    with style():
        panels = curve_panels({"A": dataclasses.replace(run, rounds=tuple(rounds))})
    loss = next(panel for panel in panels if panel.name == "testing_loss")
    (line,) = loss.axis.lines
    assert len(line.get_xdata()) <= 4 * COLUMNS
    assert max(line.get_ydata()) == 9.0
    assert len(loss.marks) <= 4 * MARK_COLUMNS
    assert any(mark.x == 1235 and "9" in mark.text for mark in loss.marks)
