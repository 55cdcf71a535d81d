"""Strict configuration: frozen models, and the numbers in them."""

import difflib
from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from qiskit_fedqml.errors import listed

Integer = Annotated[int, Field(strict=True, ge=-(2**128), le=2**128)]
"""A whole number; unlike pydantic's own, neither ``true`` nor "1" is one."""
NaturalNumber = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]
PositiveInteger = Annotated[int, Field(strict=True, gt=0)]
Flag = Annotated[bool, Field(strict=True)]
"""True or false; unlike pydantic's own, neither 1 nor "yes" is one."""
Number = Annotated[float, Field(strict=True)]
"""A number, whole or not."""

PositiveNumber = Annotated[Number, Field(gt=0.0)]
Shots = Annotated[PositiveInteger, Field(le=100_000_000)]
MOST_SECONDS = 1e8
"""Three years: clocks and waits take no more than some multiples of it."""
Seconds = Annotated[PositiveNumber, Field(le=MOST_SECONDS)]
UNIQUE = Field(json_schema_extra={"uniqueItems": True})
"""Of a list whose items must differ: what its validator says, for editors."""


class StrictModel(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence: "; did you mean 'x'?", or the known names if none is near."""
    names = [str(k) for k in known]
    if not names:
        return "; there is none."
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6) if len(name) <= _LONGEST_NAME else []
    return f"; did you mean {close[0]!r}?" if close else f"; known are {listed(sorted(names), 20)}."


_LONGEST_NAME = 200
"""Names of more characters are like no other: to look for one would take minutes."""
