"""Pairs of points: the shift rule, a random part of it, and SPSA in one form."""

import numpy as np
import pytest

from qiskit_fedqml.circuits import parameter_shift, spsa
from qiskit_fedqml.circuits.shift_pairs import no_pairs, perturbations, random_shifts, shifts

ANGLES = np.random.default_rng(0).uniform(-3, 3, (5, 4))


def expectations(points):
    """Return two outputs of sines of the angles, shape (…, 2)."""
    return np.stack([np.sin(points[..., 0]) * np.cos(points[..., 2]), np.sin(points[..., 3] + 0.3)], axis=-1)


def derivatives(pairs, num_samples=5):
    return pairs.derivatives(expectations(pairs.points(ANGLES)), num_samples)


def test_all_shifts_are_the_shift_rule():
    points = parameter_shift.shifted_points(ANGLES, [0, 2, 3])
    expected = parameter_shift.derivatives(expectations(points), [0, 2, 3], 4)
    assert np.allclose(derivatives(shifts(5, [0, 2, 3], 4)), expected, atol=1e-15)


def test_spsa_is_that_of_the_grid():
    directions = spsa.directions(7, 5, 4)[:, [0, 3]]
    points = spsa.perturbed_points(ANGLES, [0, 3], directions, 0.2)
    expected = spsa.derivatives(expectations(points), [0, 3], directions, 0.2, 4)
    assert np.allclose(derivatives(perturbations([0, 3], directions, 0.2, 4)), expected, atol=1e-14)


def test_parts_have_the_same_pairs():
    for pairs in (shifts(5, [0, 3], 4), random_shifts(5, [0, 2, 3], {0}, 0.4, 3, 4)):
        whole = derivatives(pairs)
        for start, stop in ((0, 2), (2, 5)):
            part = pairs.of_samples(start, stop)
            found = part.derivatives(expectations(part.points(ANGLES[start:stop])), stop - start)
            assert np.array_equal(found, whole[start:stop])
    assert not no_pairs(4).of_samples(0, 5).samples.size


@pytest.mark.parametrize(("fraction", "drawn"), [(0.1, 1), (0.4, 2), (0.6, 3), (1.0, 5)])
def test_random_shifts_take_the_same_number_of_samples_for_each_angle(fraction, drawn):
    pairs = random_shifts(5, [0, 2, 3], {0}, fraction, 1, 4)
    counts = np.count_nonzero(pairs.gains, axis=0)
    assert list(counts) == [5, 0, drawn, drawn]
    assert np.allclose(pairs.gains[:, 2:].sum(axis=0), 0.5 * 5)


def test_random_shifts_are_unbiased_and_whole_where_they_must_be():
    exact = derivatives(shifts(5, [0, 2, 3], 4))
    found = [derivatives(random_shifts(5, [0, 2, 3], {0}, 0.4, seed, 4)) for seed in range(400)]
    assert all(np.array_equal(of[:, :, 0], exact[:, :, 0]) for of in found)
    sums = np.array([of.sum(axis=0) for of in found])
    error = sums.std(axis=0) / 400**0.5
    assert (np.abs(sums.mean(axis=0) - exact.sum(axis=0)) < 4.5 * error + 1e-12).all()
    assert sums.std(axis=0)[0, 2] > 0.05, "it is a random part"


def test_a_draw_does_not_depend_on_which_other_angles_are_shifted():
    many, few = random_shifts(5, [1, 2, 3], (), 0.4, 3, 4), random_shifts(5, [2], (), 0.4, 3, 4)
    assert set(many.samples[many.gains[:, 2] > 0]) == set(few.samples)
