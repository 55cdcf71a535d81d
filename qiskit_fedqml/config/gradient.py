"""How derivatives are made on a device."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from qiskit_fedqml.config.strict import Number, PositiveNumber, StrictModel


class SpsaOptions(StrictModel):
    """``perturbation`` is how far each angle goes up or down at random, in radians."""

    perturbation: Annotated[PositiveNumber, Field(le=10.0)] = 0.2


class Spsa(StrictModel):
    """SPSA in place of parameter shifts: two evaluations a sample, however many weights there are."""

    spsa: SpsaOptions


class RandomShiftsOptions(StrictModel):
    """``fraction`` is the part of a batch's samples in which each weight's angle is shifted."""

    fraction: Annotated[Number, Field(gt=0.0, le=1.0)]


class RandomShifts(StrictModel):
    """Parameter shifts of a random part of the (sample, angle) pairs; those of inputs are shifted in all samples."""

    random_shifts: RandomShiftsOptions


def _kind_of_gradient(value: Any) -> str | None:
    if value == "parameter_shift":
        return "name"
    if isinstance(value, RandomShifts) or (isinstance(value, dict) and value.keys() == {"random_shifts"}):
        return "random shifts"
    return "SPSA" if isinstance(value, Spsa) or (isinstance(value, dict) and value.keys() == {"spsa"}) else None


Gradient = Annotated[
    Annotated[Literal["parameter_shift"], Tag("name")]
    | Annotated[Spsa, Tag("SPSA")]
    | Annotated[RandomShifts, Tag("random shifts")],
    Discriminator(
        _kind_of_gradient,
        custom_error_type="gradient",
        custom_error_message="must be parameter_shift, {random_shifts: {fraction: F}} or {spsa: {perturbation: RAD}}",
    ),
]
