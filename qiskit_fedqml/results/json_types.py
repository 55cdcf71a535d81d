"""Whether JSON values are of the types that they should be; for files of runs that nothing else proves."""

from collections.abc import Mapping
from types import UnionType
from typing import Any, get_args, get_origin


def check_types(values: Any, hints: Mapping[str, Any]) -> None:
    """Check values by name, as JSON has them: a list for a tuple, and a whole number for a float too.

    Args:
        values: A mapping; names without a type are not looked at.
        hints: Types by name, of ``str``, ``int``, ``float``, ``None``, tuples of one type, dictionaries and unions;
            any other type takes every value.

    Raises:
        TypeError: It is no mapping, or a value is of another type, and the error names it.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"it must be a mapping, but is {type(values).__name__}")
    for name in values.keys() & hints.keys():
        if not _fits(values[name], hints[name]):
            raise TypeError(f"{name} is of a wrong type, {type(values[name]).__name__}")


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return any(_fits(value, one) for one in arguments)
    if origin is tuple:
        return isinstance(value, list) and all(_fits(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(item, arguments[1]) for item in value.values())
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return isinstance(value, hint) if hint in (str, type(None)) else True
