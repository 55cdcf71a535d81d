"""How derivatives are made on a device."""

from typing import Annotated, Literal

from pydantic import Field, Tag

from qiskit_fedqml.config.alternatives import NAME, one_of, tag_of
from qiskit_fedqml.config.strict import Number, PositiveNumber, StrictModel


class SpsaOptions(StrictModel):
    """``perturbation`` is how far each angle goes up or down at random, in radians."""

    perturbation: Annotated[PositiveNumber, Field(le=10.0)] = 0.2
    """How far each angle goes up or down at random, in radians."""


class Spsa(StrictModel):
    """SPSA in place of parameter shifts: two evaluations a sample, however many weights there are."""

    spsa: SpsaOptions
    """Two evaluations a sample, however many weights there are."""


class RandomShiftsOptions(StrictModel):
    """``fraction`` is the part of a batch's samples in which each weight's angle is shifted."""

    fraction: Annotated[Number, Field(gt=0.0, le=1.0)]
    """Part of a batch's samples in which each weight's angle is shifted."""


class RandomShifts(StrictModel):
    """Parameter shifts of a random part of the (sample, angle) pairs; those of inputs are shifted in all samples."""

    random_shifts: RandomShiftsOptions
    """Parameter shifts of a random part of the samples."""


Gradient = Annotated[
    Annotated[Literal["parameter_shift"], Tag(NAME)]
    | Annotated[Spsa, Tag(tag_of("spsa"))]
    | Annotated[RandomShifts, Tag(tag_of("random_shifts"))],
    one_of(
        "must be parameter_shift, {random_shifts: {fraction: F}} or {spsa: {perturbation: RAD}}",
        {"spsa": Spsa, "random_shifts": RandomShifts},
        ["parameter_shift"],
    ),
]
