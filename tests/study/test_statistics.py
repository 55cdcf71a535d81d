import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_rel

from qiskit_fedqml.study.statistics import in_points, mean_interval, paired_difference


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
    assert in_points(mean_interval([0.5, 0.5]) - 0.25, signed=True) == "+25.00 ± 0.00"


def test_pairs_are_those_of_common_seeds():
    assert paired_difference({1: 2.0, 2: 5.0}, {2: 4.0, 3: 0.0}).mean == 1.0
    with pytest.raises(ValueError, match="a seed that both have"):
        paired_difference({1: 1.0}, {2: 1.0})
