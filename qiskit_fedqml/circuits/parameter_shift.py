"""The parameter-shift rule on gate angles (Schuld et al., Phys. Rev. A 99, 032331, 2019).

The derivative of an expectation f with respect to the angle of a gate exp(−iθP/2) is (f(θ + π/2) − f(θ − π/2)) / 2.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def shifted_points(angles: NDArray[np.float64], shifted: Sequence[int]) -> NDArray[np.float64]:
    """Return the points to evaluate for values and derivatives.

    Args:
        angles: Angles in radians, shape (batch, angles).
        shifted: Indices of the angles to shift.

    Returns:
        Shape (batch, 1 + 2·shifted, angles): the angles, then each shift by π/2, then each shift by −π/2.
    """
    points = np.repeat(angles[:, None, :], 1 + 2 * len(shifted), axis=1)
    for s, j in enumerate(shifted):
        points[:, 1 + s, j] += np.pi / 2
        points[:, 1 + len(shifted) + s, j] -= np.pi / 2
    return points


def derivatives(expectations: NDArray[np.float64], shifted: Sequence[int], num_angles: int) -> NDArray[np.float64]:
    """Return derivatives, shape (batch, outputs, angles), zero for angles that were not shifted.

    Args:
        expectations: At the points of :func:`shifted_points`, shape (batch, 1 + 2·shifted, outputs).
        shifted: Indices of the shifted angles.
        num_angles: Number of all angles.
    """
    batch, _, num_outputs = expectations.shape
    result = np.zeros((num_angles, num_outputs, batch))
    plus, minus = expectations[:, 1 : 1 + len(shifted)], expectations[:, 1 + len(shifted) :]
    result[np.asarray(shifted, dtype=np.intp)] = (0.5 * (plus - minus)).transpose(1, 2, 0)
    return result.transpose(2, 1, 0)
