"""How far values and gradients of a packed job are from those of each block alone, where there is crosstalk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from parts.crosstalk_blocks import BlockPair, paper_program
from qiskit_fedqml import BackendRegistry
from qiskit_fedqml.backends.devices.question import Asker, Part, Question
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.circuits.shift_pairs import shifts
from qiskit_fedqml.seeds import derive_seed, numpy_generator

Neighbour = Literal["another client", "the same samples", "one that stays"]
"""What the other block does: another client's samples, with both signs of their shifts in the same rows (`spread:
clients`); other shifts of the same samples (`spread: samples`); the same angles in both rows of a shift."""

Expectations = Callable[[tuple[Any, ...]], NDArray[np.float64]]
"""From a PUB of both blocks to its expectations, shape (rows, 1, blocks · outputs)."""


@dataclass(frozen=True)
class Evaluated:
    """Values and gradients at random angles.

    Args:
        values: Shape (samples, outputs).
        gradients: Shape (samples, outputs, angles that are shifted).
    """

    values: NDArray[np.float64]
    gradients: NDArray[np.float64]


@dataclass(frozen=True)
class Errors:
    """The distance of what was evaluated from what it is compared with.

    Args:
        found: What was evaluated.
        truth: What it is compared with.
    """

    found: Evaluated
    truth: Evaluated

    def of(self, what: Literal["values", "gradients"]) -> NDArray[np.float64]:
        """Return the differences of all values or derivatives."""
        difference: NDArray[np.float64] = getattr(self.found, what) - getattr(self.truth, what)
        return difference

    @property
    def slope(self) -> float:
        """Slope of the values, by least squares with an intercept for each output."""
        centred = self.truth.values - self.truth.values.mean(axis=0)
        return float((self.found.values * centred).sum() / (centred**2).sum())

    @cached_property
    def cosines(self) -> NDArray[np.float64]:
        """Cosine between both gradients of each sample and output."""
        product = (self.found.gradients * self.truth.gradients).sum(axis=-1)
        lengths = [np.linalg.norm(of.gradients, axis=-1) for of in (self.found, self.truth)]
        return product / (lengths[0] * lengths[1])

    def line(self) -> dict[str, float]:
        """Return root mean square, mean and largest absolute differences, slope and cosines."""
        found = {}
        for what in ("values", "gradients"):
            size = np.abs(self.of(what))
            found |= {f"{what}_rms": np.sqrt((size**2).mean()), f"{what}_mean": size.mean(), f"{what}_max": size.max()}
        cosines = self.cosines
        return {**found, "slope": self.slope, "cosine_mean": cosines.mean(), "cosine_min": cosines.min()}


def joined(parts: Sequence[Evaluated]) -> Evaluated:
    """Return all samples together."""
    values, gradients = ([getattr(part, of) for part in parts] for of in ("values", "gradients"))
    return Evaluated(np.concatenate(values), np.concatenate(gradients))


@dataclass(frozen=True)
class Samples:
    """Random angles, with which a pair of blocks is evaluated.

    Args:
        pair: The blocks.
        number: Samples of each block whose values are evaluated.
        with_gradients: Samples of each block whose gradients are.
        num_shifted: How many angles are shifted, the first ones; None is all that can matter.
    """

    pair: BlockPair
    number: int
    with_gradients: int
    num_shifted: int | None = None

    @cached_property
    def shifted(self) -> list[int]:
        """The angles that are shifted."""
        return list(self.pair.program.shifted)[: self.num_shifted]

    @cached_property
    def angles(self) -> NDArray[np.float64]:
        """Angles of each block and sample, uniform from −π to π, shape (2, samples, angles)."""
        rng = numpy_generator(derive_seed(0, "angles"))
        shape = (2, max(self.number, self.with_gradients), len(self.pair.program.angles))
        return rng.uniform(-np.pi, np.pi, shape)

    def evaluated(self, expectations: Expectations, neighbour: Neighbour = "another client") -> Evaluated:
        """Return values and gradients as the package asks for them, of the first block's samples, then the second's."""
        values = self._asked(self._clients(self.number), expectations, jacobian=False)[0]
        if neighbour == "one that stays":
            gradients = np.concatenate([self._next_to_one_that_stays(block, expectations) for block in (0, 1)])
        else:
            askers = self._clients(self.with_gradients)
            if neighbour == "the same samples":
                askers = (Asker(self._all(self.with_gradients), blocks=(0, 1)),)
            gradients = self._asked(askers, expectations, jacobian=True)[1]
        return Evaluated(values, gradients[:, :, self.shifted])

    def block_by_block(self, neighbour: Neighbour = "another client") -> Evaluated:
        """Return the same of each block alone."""
        if neighbour not in self._known:
            self._known[neighbour] = self.evaluated(self.pair.block_by_block, neighbour)
        return self._known[neighbour]

    @cached_property
    def _known(self) -> dict[Neighbour, Evaluated]:
        return {}

    def ideal(self) -> Evaluated:
        """Return the same without noise."""
        program = paper_program({"type": "aer"}).shifting(self.shifted)
        backend = BackendRegistry.from_mapping({"backends": {"ideal": {"type": "aer"}}})["ideal"]
        values = backend.evaluate(program, self._all(self.number), jacobian=False).values
        jacobian = backend.evaluate(program, self._all(self.with_gradients), jacobian=True).jacobian
        assert jacobian is not None
        return Evaluated(values, jacobian[:, :, self.shifted])

    def _all(self, number: int) -> NDArray[np.float64]:
        return self.angles[:, :number].reshape(2 * number, -1)

    def _clients(self, number: int) -> tuple[Asker, ...]:
        return tuple(Asker(self.angles[block, :number], blocks=(block,)) for block in (0, 1))

    def _asked(
        self, askers: tuple[Asker, ...], expectations: Expectations, *, jacobian: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        program = self.pair.program.shifting(self.shifted)
        question = Question(program, askers, jacobian, JobKey(1, None, 0, "train"), "parameter_shift")
        part = Part("", 0, len(question.angles))
        return question.answer(part, expectations(question.pub(part, self.pair.packed)), question.details)

    def _next_to_one_that_stays(self, block: int, expectations: Expectations) -> NDArray[np.float64]:
        """Return the gradients of a block's samples, while the other block has the angles of its own samples."""
        own, other = (self.angles[of, : self.with_gradients] for of in (block, 1 - block))
        pairs = shifts(self.with_gradients, self.shifted, own.shape[1])
        table = np.empty((len(pairs.samples), 2, 2, own.shape[1]))
        table[:, :, block], table[:, :, 1 - block] = pairs.points(own), other[pairs.samples][:, None]
        found = expectations(self.pair.packed.pub(table.reshape(-1, 2, own.shape[1])))
        by_block = found.reshape(len(pairs.samples), 2, 2, -1)
        return pairs.derivatives(by_block[:, :, block], self.with_gradients)


def shot_noise(exact: Evaluated, shots: int) -> dict[str, float]:
    """Return root mean square errors of values and of derivatives by shots.

    Those of derivatives, (f₊ − f₋) / 2, are by the mean variance of a shot over all values, since shifted points are as
    random as the samples.

    Args:
        exact: Values without shots.
        shots: Shots of each circuit.
    """
    variance = (1 - exact.values**2).mean()
    return {"values_rms": float(np.sqrt(variance / shots)), "gradients_rms": float(np.sqrt(variance / (2 * shots)))}
