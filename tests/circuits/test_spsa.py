import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiskit_fedqml.circuits.spsa import derivatives, directions, perturbed_points


def test_directions_are_signs_that_a_seed_repeats():
    drawn = directions(3, 5, 400)
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    assert np.array_equal(drawn, directions(3, 5, 400))
    assert not np.array_equal(drawn, directions(4, 5, 400))
    assert abs(drawn.mean()) < 0.1


@given(st.integers(0, 10**6))
def test_a_linear_function_s_slope_along_the_direction(seed):
    """For f = g · θ the estimate is (g · Δ) Δ_j, whose mean over directions is g_j."""
    rng = np.random.default_rng(seed)
    angles, gradient = rng.normal(size=(3, 4)), rng.normal(size=4)
    moved = [0, 2, 3]
    delta = directions(seed, 3, 3)
    points = perturbed_points(angles, moved, delta, 0.3)
    assert np.array_equal(points[:, 0], angles)
    assert np.array_equal(points[:, :, 1], np.repeat(angles[:, 1:2], 3, axis=1)), "angle 1 is not moved"
    found = derivatives((points @ gradient)[:, :, None], moved, delta, 0.3, 4)
    expected = (delta @ gradient[moved])[:, None] * delta
    assert np.allclose(found[:, 0][:, moved], expected)
    assert not found[:, 0, 1].any()


def test_mean_over_directions_is_the_gradient():
    rng = np.random.default_rng(0)
    angles = np.repeat(rng.normal(size=(1, 5)), 40_000, axis=0)
    delta = directions(1, len(angles), 5)
    points = perturbed_points(angles, range(5), delta, 0.05)
    estimate = derivatives(np.cos(points).prod(axis=-1)[:, :, None], range(5), delta, 0.05, 5).mean(axis=0)[0]
    exact = [-np.sin(angles[0, j]) * np.delete(np.cos(angles[0]), j).prod() for j in range(5)]
    assert estimate == pytest.approx(exact, abs=0.01)
