"""What a JSON schema allows, in words."""

from collections.abc import Mapping
from typing import Any

_TYPES = {"string": "text", "boolean": "true or false", "null": "none", "object": "a mapping"}
_LARGEST = 2**53
"""Bounds beyond say only that a number is kept exactly."""


def in_words(schema: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    """Return what a value may be.

    Args:
        schema: The part of a JSON schema that describes it.
        parts: The schema's ``$defs``.
    """
    if "$ref" in schema:
        return in_words(parts[schema["$ref"].rsplit("/", 1)[-1]], parts)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            words = dict.fromkeys(in_words(one, parts) for one in schema[several])
            return _joined([*(word for word in words if word != "none"), *(word for word in words if word == "none")])
    choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if choices:
        return _joined([str(word).lower() if isinstance(word, bool) else str(word) for word in choices])
    return _type_in_words(schema, parts)


def _type_in_words(schema: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if kind == "integer":
        above = schema.get("exclusiveMinimum")
        return f"a whole number{_bounds(schema if above is None else {**schema, 'minimum': above + 1})}"
    if kind == "number":
        return f"a number{_bounds(schema)}"
    if kind == "array":
        return f"a list{_number_of(schema)}{_of(schema, parts)}"
    return _TYPES.get(str(kind), "anything")


def _bounds(schema: Mapping[str, Any]) -> str:
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    words = [
        f"from {least:g}" if least is not None and least > -_LARGEST else "",
        f"above {above:g}" if above is not None and least is None else "",
        f"to {_large(most)}" if most is not None and most < _LARGEST else "",
        f"below {below:g}" if below is not None else "",
    ]
    return "".join(f" {word}" for word in words if word)


def _large(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def _number_of(schema: Mapping[str, Any]) -> str:
    least = schema.get("minItems", 0)
    return f" of at least {least}" if least > 1 else ""


def _of(schema: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    return f", each {in_words(schema['items'], parts)}" if schema.get("items") else ""


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
