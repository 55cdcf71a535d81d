"""Simultaneous perturbation (SPSA; Spall, IEEE Trans. Automat. Contr. 37, 332, 1992) on gate angles.

All angles are moved together by ±c, each sample in a random direction Δ of its own: the derivative with respect to
angle j is taken to be (f(θ + cΔ) − f(θ − cΔ)) / 2c · Δ_j. Two evaluations give all derivatives, without bias up to
order c², but with a variance that grows with the number of angles. The value f(θ) is a third evaluation.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def directions(seed: int | None, batch: int, num_angles: int) -> NDArray[np.float64]:
    """Draw a direction for each sample, entries ±1, shape (batch, angles)."""
    return np.random.default_rng(seed).choice(np.array([-1.0, 1.0]), size=(batch, num_angles))


def perturbed_points(
    angles: NDArray[np.float64], moved: Sequence[int], direction: NDArray[np.float64], perturbation: float
) -> NDArray[np.float64]:
    """Return the points to evaluate.

    Args:
        angles: Angles in radians, shape (batch, angles).
        moved: Indices of the angles that can reach a measured qubit.
        direction: From :func:`directions`, shape (batch, moved).
        perturbation: c, in radians.

    Returns:
        Shape (batch, 3, angles): the angles, moved up, and moved down.
    """
    points = np.repeat(angles[:, None, :], 3, axis=1)
    points[:, 1, list(moved)] += perturbation * direction
    points[:, 2, list(moved)] -= perturbation * direction
    return points


def derivatives(
    expectations: NDArray[np.float64],
    moved: Sequence[int],
    direction: NDArray[np.float64],
    perturbation: float,
    num_angles: int,
) -> NDArray[np.float64]:
    """Return estimated derivatives, shape (batch, outputs, angles), zero for angles that were not moved.

    Args:
        expectations: At the points of :func:`perturbed_points`, shape (batch, 3, outputs).
        moved: Indices of the moved angles.
        direction: The directions of these points.
        perturbation: c, in radians.
        num_angles: Number of all angles.
    """
    slope = (expectations[:, 1] - expectations[:, 2]) / (2 * perturbation)
    result = np.zeros((*slope.shape, num_angles))
    result[:, :, list(moved)] = slope[:, :, None] * direction[:, None, :]
    return result
