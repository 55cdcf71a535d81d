"""Strict configuration: frozen models, YAML without surprises, and errors that a user can act on."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sized
from typing import Annotated, Any, Literal, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from qiskit_fedqml.errors import ConfigurationError, listed, shown

Integer = Annotated[int, Field(strict=True, ge=-(2**128), le=2**128)]
"""A whole number; unlike pydantic's own, neither ``true`` nor "1" is one."""
NaturalNumber = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]
PositiveInteger = Annotated[int, Field(strict=True, gt=0)]
Number = Annotated[float, Field(strict=True)]
"""A number, whole or not."""

PositiveNumber = Annotated[Number, Field(gt=0.0)]
Shots = Annotated[PositiveInteger, Field(le=100_000_000)]
Seconds = Annotated[PositiveNumber, Field(le=1e8)]
"""Three years: clocks and waits take no more than some multiples of it."""


class StrictModel(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], data: Any, source: str) -> Model:
    """Check data against a model.

    Raises:
        ConfigurationError: The data does not fit; each wrong key is named, with what was expected there.
    """
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"{source}: must be a mapping of keys to values, but got {type(data).__name__}.")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError("; ".join(_explain(model, data, error, source))) from None
    except RecursionError:  # a value made in Python that holds itself, or thousands of lists in each other
        raise ConfigurationError(f"{source}: lists and mappings are nested too deeply.") from None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence: "; did you mean 'x'?", or the known names if none is near."""
    names = [str(k) for k in known]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6) if len(name) <= _LONGEST_NAME else []
    return f"; did you mean {close[0]!r}?" if close else f"; known are {listed(sorted(names), 20)}."


_LONGEST_NAME = 200
"""Names of more characters are like no other: to look for one would take minutes."""
_MOST_ERRORS = 5
_EXPECTED = {
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "bool_parsing": "must be true or false",
}
"""Pydantic's words for a wrong type, in those of a YAML file."""
_PYDANTIC = re.compile(r"^(?:Input should (be)|(?:Tuple|List|Dictionary) should (have)) ")
"""How its other sentences begin."""


def _explain(model: type[BaseModel], data: Any, error: ValidationError, source: str) -> list[str]:
    lines: list[str] = []
    expected: dict[tuple[str, str], list[str]] = {}  # of a key that may be one of several kinds, by its value
    items = [item for item in error.errors(include_url=False) if not _follows_from_others(item)]
    for item in items[:_MOST_ERRORS]:
        location = tuple(item["loc"])
        key = _path_in_file(data, location, names_a_key=item["type"] in {"extra_forbidden", "missing"})
        if item["type"] == "extra_forbidden":
            text = f"unknown key {shown(key)}{nearest(str(location[-1]), _known_keys(model, location[:-1]))}"
        elif item["type"] == "missing":
            text = f"key {key!r} is missing"
        elif item["type"] == "union_tag_invalid":
            context = item["ctx"]
            got = shown(context["tag"])
            text = (
                f"key '{key}.{context['discriminator'].strip(chr(39))}': must be {context['expected_tags']}, got {got}"
            )
        elif item["type"] == "union_tag_not_found":
            text = f"key '{key}.{item['ctx']['discriminator'].strip(chr(39))}' is missing"
        else:
            got = "" if isinstance(item["input"], Mapping) else f", but got {shown(item['input'])}"
            where = f"{source}: key {shown(key)}: " if key else f"{source}: "
            words = _EXPECTED.get(item["type"]) or item["msg"].removeprefix("Value error, ")
            wanted = expected.setdefault((where, got), [])
            wanted.append(_PYDANTIC.sub(lambda found: f"must {found[1] or found[2]} ", words).split(" after valid")[0])
            if len(wanted) > 1:
                lines.remove(_sentence(where, wanted[:-1], got))
            lines.append(_sentence(where, wanted, got))
            continue
        lines.append(f"{source}: {text}")
    more = len(items[_MOST_ERRORS:])
    return [*lines, f"and {more} {'mistake' if more == 1 else 'mistakes'} more"] if more else lines


def _follows_from_others(item: ErrorDetails) -> bool:
    """Return whether a list is too short for pydantic only because it does not count the wrong values in it."""
    values = item["input"]
    return item["type"] == "too_short" and isinstance(values, Sized) and len(values) >= item["ctx"]["min_length"]


def _sentence(where: str, wanted: list[str], got: str) -> str:
    """Return what a key must be, where pydantic has a sentence for each kind that it may have."""
    return f"{where}{' or '.join([wanted[0], *(words.removeprefix('must be ') for words in wanted[1:])])}{got}"


def _path_in_file(data: Any, location: tuple[int | str, ...], *, names_a_key: bool) -> str:
    """Return the dotted path of a location, without the names that pydantic gives to a union's members."""
    parts = []
    for position, part in enumerate(location):
        inside = isinstance(data, Mapping) and part in data
        is_index = isinstance(data, (list, tuple)) and isinstance(part, int) and part < len(data)
        if inside or is_index or (names_a_key and position == len(location) - 1):
            parts.append(str(part))
            data = data[part] if inside or is_index else None
    return ".".join(parts)


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the field names at a location, as far as the annotations say."""
    models = [model]
    for part in location:
        step: list[type[BaseModel]] = []
        for candidate in models:
            if isinstance(part, str) and part in candidate.model_fields:
                step += _models_in(candidate.model_fields[part].annotation)
            else:  # a key of a mapping, or the tag of a union, which chooses one of its models
                step.append(candidate)
        named = [
            m for m in step if any(part in _values_of_literal(field.annotation) for field in m.model_fields.values())
        ]
        models = named or step or models
    return sorted({name for candidate in models for name in candidate.model_fields})


def _values_of_literal(annotation: Any) -> tuple[Any, ...]:
    """Return the values of a ``Literal``."""
    return tuple(getattr(annotation, "__args__", ())) if get_origin(annotation) is Literal else ()


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for argument in getattr(annotation, "__args__", ()) for m in _models_in(argument)]
