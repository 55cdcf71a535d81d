"""Pairs of points at both sides of a sample's angles, and the derivatives that their differences give.

Parameter shifts, a random part of them, and SPSA all have this form: where f± are the expectations at θ ± d, a pair
adds (f₊ − f₋) · g to the derivatives of its sample, with a displacement d and a gain g over the angles.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ShiftPairs:
    """Pairs of points.

    Args:
        samples: The sample of each pair, shape (pairs,).
        displacements: d in radians, shape (pairs, angles).
        gains: g, shape (pairs, angles).
    """

    samples: NDArray[np.intp]
    displacements: NDArray[np.float64]
    gains: NDArray[np.float64]

    def of_samples(self, start: int, stop: int) -> "ShiftPairs":
        """Return the pairs of some samples, which are numbered from 0 again."""
        some = (self.samples >= start) & (self.samples < stop)
        return ShiftPairs(self.samples[some] - start, self.displacements[some], self.gains[some])

    def points(self, angles: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return both points of each pair, shape (pairs, 2, angles), at angles of shape (samples, angles)."""
        middle = angles[self.samples]
        return np.stack([middle + self.displacements, middle - self.displacements], axis=1)

    def derivatives(self, expectations: NDArray[np.float64], num_samples: int) -> NDArray[np.float64]:
        """Return derivatives, shape (samples, outputs, angles).

        Args:
            expectations: At the points of :meth:`points`, shape (pairs, 2, outputs).
            num_samples: Number of samples.
        """
        differences = expectations[:, 0] - expectations[:, 1]
        result = np.zeros((num_samples, expectations.shape[2], self.gains.shape[1]))
        np.add.at(result, self.samples, differences[:, :, None] * self.gains[:, None, :])
        return result


def no_pairs(num_angles: int) -> ShiftPairs:
    """Return no pairs: no derivatives are wanted."""
    return ShiftPairs(np.zeros(0, dtype=np.intp), np.zeros((0, num_angles)), np.zeros((0, num_angles)))


def shifts(num_samples: int, shifted: Sequence[int], num_angles: int) -> ShiftPairs:
    """Return the parameter shifts of each of these angles in each sample."""
    samples = np.repeat(np.arange(num_samples), len(shifted))
    return _shifts(samples, np.tile(np.asarray(shifted, dtype=np.intp), num_samples), num_angles)


def random_shifts(
    num_samples: int,
    shifted: Sequence[int],
    always: Collection[int],
    fraction: float,
    seed: int | None,
    num_angles: int,
) -> ShiftPairs:
    """Return parameter shifts of a random part of the samples for each angle: doubly stochastic gradients.

    Each angle is shifted in k = max(1, round(fraction · samples)) samples, drawn without replacement, and its
    derivatives there are multiplied by samples / k. So the sum over the samples is estimated without bias (Sweke et
    al., Quantum 4, 314, 2020, arXiv:1910.01155, with the same number of draws for each angle).

    Args:
        num_samples: Number of samples.
        shifted: Indices of the angles to shift.
        always: Those of them that are shifted in all samples, such as those that depend on inputs.
        fraction: Part of the samples, above 0 and up to 1.
        seed: Seed of the draw. An angle's draw does not depend on which others are shifted.
        num_angles: Number of all angles.
    """
    drawn = max(1, round(fraction * num_samples))
    order = np.random.default_rng(seed).random((num_angles, num_samples)).argsort(axis=1)
    wanted = np.zeros((num_samples, num_angles))
    for angle in shifted:
        some = slice(None) if angle in always else order[angle, :drawn]
        wanted[some, angle] = 1.0 if angle in always else num_samples / drawn
    samples, angles = np.nonzero(wanted)
    pairs = _shifts(samples, angles, num_angles)
    return ShiftPairs(pairs.samples, pairs.displacements, pairs.gains * wanted[samples, angles][:, None])


def perturbations(
    moved: Sequence[int], directions: NDArray[np.float64], perturbation: float, num_angles: int
) -> ShiftPairs:
    """Return SPSA's pair of each sample.

    Args:
        moved: Indices of the angles that are moved.
        directions: From :func:`~qiskit_fedqml.circuits.spsa.directions`, shape (samples, moved).
        perturbation: c, in radians.
        num_angles: Number of all angles.
    """
    along = np.zeros((len(directions), num_angles))
    along[:, list(moved)] = directions
    return ShiftPairs(np.arange(len(directions)), perturbation * along, along / (2 * perturbation))


def _shifts(samples: NDArray[np.intp], angles: NDArray[np.intp], num_angles: int) -> ShiftPairs:
    pairs = np.arange(len(samples))
    displacements, gains = np.zeros((len(samples), num_angles)), np.zeros((len(samples), num_angles))
    displacements[pairs, angles], gains[pairs, angles] = np.pi / 2, 0.5
    return ShiftPairs(samples, displacements, gains)
