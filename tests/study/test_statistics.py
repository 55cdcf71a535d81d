import numpy as np
import pytest
from scipy.stats import t, ttest_1samp, ttest_rel

from qiskit_fedqml.study.statistics import (
    Interval,
    differ_by_holm,
    in_decimals,
    in_points,
    mean_interval,
    over_seeds,
    p_value,
    paired_difference,
    spread_of,
)


def test_intervals_are_scipys():
    values = [0.91, 0.93, 0.925, 0.94]
    interval = mean_interval(values)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))
    other = [0.90, 0.94, 0.92, 0.92]
    paired = paired_difference(dict(enumerate(values)), dict(enumerate(other)))
    expected = ttest_rel(values, other).confidence_interval(0.95)
    assert (paired.low, paired.high) == pytest.approx(tuple(expected))


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = [not mean_interval(rng.normal(3.0, 2.0, 5)).excludes(3.0) for _ in range(2000)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_one_seed_shows_no_interval_and_excludes_nothing():
    interval = mean_interval([0.5])
    assert interval.half_width is None
    assert not interval.excludes(0.0)
    assert in_points(interval) == "50.00"
    assert in_decimals(mean_interval([0.25, 0.25, 0.25]), 3) == "0.250 ± 0.000"
    assert in_points(mean_interval([0.5, 0.5, 0.5]) - 0.25, signed=True) == "+25.00 ± 0.00"


def test_two_seeds_show_their_range_and_not_an_interval_that_says_nothing():
    two = mean_interval([0.5416, 0.8264])
    assert two.half_width is None, "Student's t would be 68.40 ± 180.89"
    assert (two.low, two.high, two.has_ends) == (0.5416, 0.8264, True)
    assert not two.excludes(0.0)
    assert p_value(two) == 1.0
    assert in_points(two) == "68.40 (54.16 to 82.64)"
    assert in_points(two - 0.6, signed=True) == "+8.40 (-5.84 to +22.64)"
    paired = paired_difference({1: 0.5, 2: 0.75}, {1: 0.25, 2: 0.25})
    assert in_points(paired, signed=True) == "+37.50 (+25.00 to +50.00)"
    assert differ_by_holm([paired, mean_interval([1.0, 1.1, 1.2])]) == [False, True]


def test_what_is_shown_of_so_many_seeds_is_said():
    assert [over_seeds(count) for count in (1, 2, 3)] == [
        "of one seed",
        "with the range of 2 seeds in brackets",
        "over 3 seeds with 95% intervals (Student's t)",
    ]
    assert [spread_of(count) for count in (1, 2, 3)] == [
        "one seed",
        "mean and range of 2 seeds",
        "means of 3 seeds with 95% intervals",
    ]


def test_holms_method_is_statsmodels():
    # statsmodels.stats.multitest.multipletests([.01, .04, .03, .005], method="holm") rejects the first and the last.
    intervals = [interval_of(p) for p in (0.01, 0.04, 0.03, 0.005)]
    assert [p_value(i) for i in intervals] == pytest.approx([0.01, 0.04, 0.03, 0.005])
    assert differ_by_holm(intervals) == [True, False, False, True]
    assert differ_by_holm([mean_interval([1.0])]) == [False]


def interval_of(p, count=6):
    """Return an interval whose mean differs from 0 with a given p-value."""
    return Interval(-t.isf(p / 2, count - 1) / t.ppf(0.975, count - 1), 1.0, count)


def test_pairs_are_those_of_common_seeds():
    assert paired_difference({1: 2.0, 2: 5.0}, {2: 4.0, 3: 0.0}).mean == 1.0
    with pytest.raises(ValueError, match="a seed that both have"):
        paired_difference({1: 1.0}, {2: 1.0})
