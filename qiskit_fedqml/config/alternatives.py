"""Values that are one of several things: a name, or a mapping whose key says which it is."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import BaseModel, Discriminator

ALTERNATIVES = "alternatives"
"""The type of the error of a value that is none of the alternatives."""

NAME = "name"
"""The tag of a value that is a name."""


def tag_of(key: str) -> str:
    """Return the tag of the mapping with a key; unlike the key, it is no key of the file in an error's location."""
    return f"{{{key}}}"


def one_of(expected: str, kinds: Mapping[str, type[BaseModel]], names: Collection[str] | None) -> Discriminator:
    """Return what tells the alternatives apart; a mapping with the keys of two of them is none.

    Args:
        expected: What a value must be, for errors.
        kinds: The models, tagged by :func:`tag_of`, by the key that each has and no other has.
        names: The names, tagged ``NAME``; None takes any but the empty one.
    """

    def kind(value: Any) -> str | None:
        if isinstance(value, str):
            return NAME if (value in names if names is not None else value) else None
        if isinstance(value, dict):
            found = [key for key in (*kinds, *(names or ())) if key in value]
        else:
            found = [key for key, model in kinds.items() if isinstance(value, model)]
        return tag_of(found[0]) if len(found) == 1 and found[0] in kinds else None

    return chosen_by(kind, expected)


def chosen_by(kind: Callable[[Any], str | None], expected: str) -> Discriminator:
    """Return a discriminator.

    Args:
        kind: Gives a value's tag, or None.
        expected: What a value must be, for errors.
    """
    return Discriminator(kind, custom_error_type=ALTERNATIVES, custom_error_message=expected)
