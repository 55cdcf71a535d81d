"""How a machine's errors are mitigated: the key `mitigation` of an entry of a backends file."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from qiskit_fedqml.config.strict import Flag, Integer, StrictModel


class Zne(StrictModel):
    """Zero-noise extrapolation, of tests and evaluations.

    Each circuit also runs with its two-qubit gates folded, G to G (G† G)^((f − 1)/2), so that they err about ``f``
    times as much, and the values are extrapolated to ``f`` = 0. ``factors`` are odd and rise. ``extrapolator`` is a
    straight line, or an exponential decay.
    """

    factors: Annotated[tuple[Annotated[Integer, Field(ge=1, le=99)], ...], Field(min_length=2, max_length=10)] = (1, 3)
    """How many times as much folded circuits err: odd numbers that rise."""
    extrapolator: Literal["linear", "exponential"] = "linear"
    """The curve to no noise: a straight line, or an exponential decay."""

    @field_validator("factors")
    @classmethod
    def _factors_can_be_folded(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(factor % 2 == 0 for factor in value) or any(a >= b for a, b in pairwise(value)):
            raise ValueError("must be odd numbers that rise, such as [1, 3]")
        return value


class Mitigation(StrictModel):
    """What is done about a machine's errors; at least one thing.

    ``readout`` takes readout error out of every evaluation, ``zne`` extrapolates those that train nothing.
    """

    readout: Flag = False
    """Whether readout error is taken out of every evaluation."""
    zne: Zne | None = None
    """Extrapolates tests to no noise."""

    @model_validator(mode="after")
    def _does_something(self) -> "Mitigation":
        if not self.readout and self.zne is None:
            raise ValueError("must say readout: true, or zne, or both")
        return self

    def __str__(self) -> str:
        parts = ["readout mitigated"] if self.readout else []
        if self.zne is not None:
            factors = ", ".join(map(str, self.zne.factors))
            parts.append(f"tests extrapolated from factors {factors} ({self.zne.extrapolator})")
        return ", ".join(parts)
