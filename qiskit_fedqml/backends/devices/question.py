"""What is asked of a device: which derivatives, where, at which points, and how they are read from its answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.backends.broadcast import UnshiftedPub, broadcast_pub
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.circuits import parameter_shift, spsa
from qiskit_fedqml.config.backends import Spsa


@dataclass(frozen=True)
class Part:
    """Rows ``start`` to ``stop`` of a question, named by the halves that were taken."""

    name: str
    start: int
    stop: int

    @property
    def num_samples(self) -> int:
        """Number of rows."""
        return self.stop - self.start

    def halves(self) -> "tuple[Part, Part]":
        """Return the two halves; the first is the longer one."""
        middle = (self.start + self.stop + 1) // 2
        return Part(f"{self.name}0", self.start, middle), Part(f"{self.name}1", middle, self.stop)


@dataclass(frozen=True)
class Question:
    """An evaluation that is asked for.

    Args:
        program: What to evaluate.
        angles: Where, in radians, shape (samples, angles).
        jacobian: Whether derivatives are wanted.
        seed: Seed of SPSA's directions.
        key: What it is for.
        gradient: How derivatives are made.
    """

    program: Program
    angles: NDArray[np.float64]
    jacobian: bool
    seed: int | None
    key: JobKey
    gradient: Literal["parameter_shift"] | Spsa

    def num_points(self, shifted: Sequence[int]) -> int:
        """Return the number of points of each sample, where these angles are shifted."""
        if not self.jacobian:
            return 1
        return 3 if isinstance(self.gradient, Spsa) else 1 + 2 * len(shifted)

    def shape(self, part: Part, shifted: Sequence[int]) -> tuple[int, int, int]:
        """Return the shape of a part's answer, (samples, points, outputs), where these angles were shifted."""
        return part.num_samples, self.num_points(shifted), len(self.program.observables)

    def pub(self, part: Part) -> Any:
        """Return the PUB of a part, with the observables on its leading axis."""
        program, angles = self.program, self.angles[part.start : part.stop]
        shifted = program.shifted if self.jacobian else ()
        if self.jacobian and isinstance(self.gradient, Spsa):
            directions = self._directions(part, shifted)
            points = spsa.perturbed_points(angles, shifted, directions, self.gradient.spsa.perturbation)
        else:
            points = parameter_shift.shifted_points(angles, shifted)
        pub = broadcast_pub(program, points)
        return pub if self.jacobian or self.key.is_training else UnshiftedPub(pub)

    def derivatives(self, part: Part, expectations: NDArray[np.float64], shifted: Sequence[int]) -> NDArray[np.float64]:
        """Return the derivatives that a part's answer holds.

        Args:
            part: The part.
            expectations: Its answer, shape (samples, points, outputs).
            shifted: The angles that were shifted when its job was sent.

        Returns:
            Shape (samples, outputs, angles); without outputs where no derivatives were wanted.
        """
        num_angles = self.angles.shape[1]
        if not self.jacobian:
            return np.zeros((len(expectations), 0, num_angles))
        if isinstance(self.gradient, Spsa):
            directions = self._directions(part, shifted)
            return spsa.derivatives(expectations, shifted, directions, self.gradient.spsa.perturbation, num_angles)
        return parameter_shift.derivatives(expectations, shifted, num_angles)

    def _directions(self, part: Part, moved: Sequence[int]) -> NDArray[np.float64]:
        """Draw for all samples and angles, so that neither parts nor layouts change a draw."""
        all_directions = spsa.directions(self.seed, *self.angles.shape)
        return all_directions[part.start : part.stop, list(moved)]
