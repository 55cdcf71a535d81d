"""Figures of a node's device, which go into records: checked, because the report and the next rounds read them."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from qiskit_fedqml.config.strict import Number, StrictModel
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.flower.records import UnfitError

_MOST_CHARACTERS = 1_000_000
_Text = Annotated[str, Field(max_length=200)]
_Qubit = Annotated[str, Field(pattern=r"^[0-9]{1,7}$")]
_Coupling = Annotated[str, Field(pattern=r"^[0-9]{1,7}-[0-9]{1,7}$")]
_Qubits = Annotated[str, Field(pattern=r"^[0-9]{1,7}(-[0-9]{1,7})*$")]
_Chance = Annotated[Number, Field(ge=0.0, le=1.0)]


class _QubitFigures(StrictModel):
    t1_seconds: Number | None = None
    t2_seconds: Number | None = None
    sx_error: Number | None = None
    readout_error: Number | None = None


class _Figures(StrictModel):
    device: _Text | None
    date: _Text | None
    qubits: dict[_Qubit, _QubitFigures] | None = None
    couplings: dict[_Coupling, Number | None] | None = None
    success_probability: _Chance | None = None
    blocks: Annotated[dict[_Qubits, _Chance], Field(min_length=1)] | None = None
    spread: _Text | None = None
    left_out: list[_Qubits] | None = None


def checked(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a device as they came, if they are what a device has.

    Raises:
        UnfitError: They are not, or take too much room.
    """
    size = len(json.dumps(figures))
    if size > _MOST_CHARACTERS:
        raise UnfitError(f"the figures of its device take {size:,} characters")
    try:
        found = validate(_Figures, figures, "the figures of its device")
    except ConfigurationError as error:
        raise UnfitError(str(error).rstrip(".")) from None
    if any(value is None for key, value in figures.items() if key not in ("device", "date")):
        raise UnfitError("the figures of its device have a key without a value")
    if (found.blocks is None) != (found.spread is None):
        raise UnfitError("the figures of its device have blocks without a spread, or a spread without blocks")
    return dict(figures)
