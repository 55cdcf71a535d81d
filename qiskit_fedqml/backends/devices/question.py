"""What is asked of a device: which derivatives, where, at which points, and how they are read from its answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.backends.broadcast import UnshiftedPub, broadcast_pub
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.packing.packed import PackedCircuit
from qiskit_fedqml.backends.packing.slots import Slots, filled
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.circuits import parameter_shift, spsa
from qiskit_fedqml.circuits.shift_pairs import ShiftPairs, no_pairs, perturbations, random_shifts, shifts
from qiskit_fedqml.config.gradient import Gradient, RandomShifts, Spsa

Details = Mapping[str, Any]
"""How a job's points were chosen and ordered, as JSON values; the journal keeps it with the job."""


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
class Asker:
    """Whose samples are evaluated.

    Args:
        angles: Where, in radians, shape (samples, angles).
        seed: Seed of random directions or shifts.
        blocks: The blocks that may hold its points, where the program has copies.
    """

    angles: NDArray[np.float64]
    seed: int | None = None
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Question:
    """An evaluation that is asked for, by one client, or by several in one job.

    Args:
        program: What to evaluate; its copies, if any, are evaluated side by side.
        askers: Whose samples, one after another.
        jacobian: Whether derivatives are wanted.
        key: What it is for.
        gradient: How derivatives are made.
        offset: Where the first point is put among the blocks.
    """

    program: Program
    askers: tuple[Asker, ...]
    jacobian: bool
    key: JobKey
    gradient: Gradient
    offset: int = 0

    @cached_property
    def angles(self) -> NDArray[np.float64]:
        """All samples' angles, shape (samples, angles)."""
        return np.concatenate([asker.angles for asker in self.askers])

    @property
    def is_packed(self) -> bool:
        """Whether points are put into slots, instead of on a grid of samples and shifts."""
        return len(self.program.copies) > 1 or (self.jacobian and isinstance(self.gradient, RandomShifts))

    @property
    def details(self) -> dict[str, Any]:
        """What is needed to read an answer, whatever the layout has become by then."""
        shifted = list(self.program.shifted)
        if not self.is_packed:
            return {"shifted": shifted}
        blocks = [list(asker.blocks or (0,)) for asker in self.askers]
        num_blocks = max(1, len(self.program.copies))
        return {"shifted": shifted, "num_blocks": num_blocks, "blocks": blocks, "offset": self.offset}

    def num_circuits(self, part: Part) -> int:
        """Return the number of bound circuits of a part, in one basis."""
        samples, points, _ = self.shape(part, self.details)
        return samples * points

    def shape(self, part: Part, details: Details) -> tuple[int, int, int]:
        """Return the shape of a part's answer: (samples, points, outputs), or (rows, 1, blocks · outputs)."""
        num_outputs = len(self.program.observables)
        if "num_blocks" in details:
            return self._slots(part, details).num_rows, 1, details["num_blocks"] * num_outputs
        points = 1
        if self.jacobian:
            points = 3 if isinstance(self.gradient, Spsa) else 1 + 2 * len(details["shifted"])
        return part.num_samples, points, num_outputs

    def pub(self, part: Part, packed: PackedCircuit | None = None) -> Any:
        """Return the PUB of a part, with the observables on its leading axis.

        Args:
            part: The part.
            packed: The program's copies, if it has any.
        """
        pub = self._pub(part, packed)
        return pub if self.jacobian or self.key.is_training else UnshiftedPub(pub)

    def _pub(self, part: Part, packed: PackedCircuit | None) -> tuple[Any, ...]:
        program, angles, details = self.program, self.angles[part.start : part.stop], self.details
        if self.is_packed:
            table = self._table(part, details)
            return packed.pub(table) if packed else broadcast_pub(program, table)
        shifted = program.shifted if self.jacobian else ()
        if self.jacobian and isinstance(self.gradient, Spsa):
            directions = self._directions(part, shifted)
            points = spsa.perturbed_points(angles, shifted, directions, self.gradient.spsa.perturbation)
        else:
            points = parameter_shift.shifted_points(angles, shifted)
        return broadcast_pub(program, points)

    def answer(
        self, part: Part, expectations: NDArray[np.float64], details: Details
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the values and derivatives that a part's answer holds.

        Args:
            part: The part.
            expectations: Its answer, of :meth:`shape`.
            details: How it was sent.

        Returns:
            Shapes (samples, outputs) and (samples, outputs, angles); the second is without outputs where no
            derivatives were wanted.
        """
        num_samples, num_angles = part.num_samples, self.angles.shape[1]
        if "num_blocks" in details:
            by_block = expectations.reshape(len(expectations), details["num_blocks"], -1)
            slots, pairs = self._slots(part, details), self._pairs(part, details["shifted"])
            values = by_block[slots.values[:, 0], slots.values[:, 1]]
            rows, blocks = slots.pairs[:, 0], slots.pairs[:, 1]
            both = np.stack([by_block[rows, blocks], by_block[rows + 1, blocks]], axis=1) if len(rows) else None
            if not self.jacobian or both is None:
                outputs = values.shape[1] if self.jacobian else 0
                return values, np.zeros((num_samples, outputs, num_angles))
            return values, pairs.derivatives(both, num_samples)
        values, shifted = expectations[:, 0], details["shifted"]
        if not self.jacobian:
            return values, np.zeros((num_samples, 0, num_angles))
        if isinstance(self.gradient, Spsa):
            directions, size = self._directions(part, shifted), self.gradient.spsa.perturbation
            return values, spsa.derivatives(expectations, shifted, directions, size, num_angles)
        return values, parameter_shift.derivatives(expectations, shifted, num_angles)

    def _spans(self, part: Part) -> list[tuple[Asker, int, int]]:
        """Return each asker with its first and last sample (excluded) that a part holds; nobody may be left out."""
        spans, first = [], 0
        for asker in self.askers:
            count = len(asker.angles)
            start, stop = (min(max(place - first, 0), count) for place in (part.start, part.stop))
            spans.append((asker, start, stop))
            first += count
        return spans

    def _pairs_of(self, asker: Asker, start: int, stop: int, shifted: Sequence[int]) -> ShiftPairs:
        """Return the pairs of some of an asker's samples; what is drawn is the same whichever are asked for."""
        count, num_angles = asker.angles.shape
        if not self.jacobian:
            return no_pairs(num_angles)
        if isinstance(self.gradient, Spsa):
            directions = spsa.directions(asker.seed, count, num_angles)[:, list(shifted)]
            pairs = perturbations(shifted, directions, self.gradient.spsa.perturbation, num_angles)
        elif isinstance(self.gradient, RandomShifts):
            fraction, always = self.gradient.random_shifts.fraction, self.program.driven_by_inputs
            pairs = random_shifts(count, shifted, always, fraction, asker.seed, num_angles)
        else:
            pairs = shifts(count, shifted, num_angles)
        return pairs.of_samples(start, stop)

    def _pairs(self, part: Part, shifted: Sequence[int]) -> ShiftPairs:
        found, first = [], 0
        for asker, start, stop in self._spans(part):
            pairs = self._pairs_of(asker, start, stop, shifted)
            found.append(ShiftPairs(pairs.samples + first, pairs.displacements, pairs.gains))
            first += stop - start
        return ShiftPairs(
            np.concatenate([pairs.samples for pairs in found]),
            np.concatenate([pairs.displacements for pairs in found]),
            np.concatenate([pairs.gains for pairs in found]),
        )

    def _slots(self, part: Part, details: Details) -> Slots:
        sizes = [
            (stop - start, len(self._pairs_of(asker, start, stop, details["shifted"]).samples))
            for asker, start, stop in self._spans(part)
        ]
        return filled(sizes, details["blocks"], details["num_blocks"], details["offset"])

    def _table(self, part: Part, details: Details) -> NDArray[np.float64]:
        """Return the angles of each row and block, shape (rows, blocks, angles); empty slots have angles of 0."""
        slots, angles = self._slots(part, details), self.angles[part.start : part.stop]
        table = np.zeros((slots.num_rows, details["num_blocks"], angles.shape[1]))
        table[slots.values[:, 0], slots.values[:, 1]] = angles
        points = self._pairs(part, details["shifted"]).points(angles)
        rows, blocks = slots.pairs[:, 0], slots.pairs[:, 1]
        table[rows, blocks], table[rows + 1, blocks] = points[:, 0], points[:, 1]
        return table

    def _directions(self, part: Part, moved: Sequence[int]) -> NDArray[np.float64]:
        """Draw for all samples and angles, so that neither parts nor layouts change a draw."""
        found = [
            spsa.directions(asker.seed, *asker.angles.shape)[start:stop, list(moved)]
            for asker, start, stop in self._spans(part)
        ]
        return np.concatenate(found)
