"""Paths, lists and foreign errors, as the messages about data write them."""

import re
from collections.abc import Sequence


def shown(value: object, longest: int = 240) -> str:
    """Return a value's text without control characters and undecodable bytes, its middle left out if it is long."""
    text = re.sub(r"[\x00-\x1f\x7f]+", " ", str(value).encode("utf-8", "backslashreplace").decode())
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} … {text[-half:]}"


def listed(values: Sequence[object], most: int = 8) -> str:
    """Return values as a list in brackets, cut after the first few."""
    names = [shown(repr(value), 60) for value in values[:most]]
    rest = len(values) - len(names)
    return f"[{', '.join(names)}{f', … {rest} more' if rest else ''}]"


def reason(error: BaseException) -> str:
    """Return what a foreign error says in its first line, without the final stop; its type if it says nothing."""
    lines = str(getattr(error, "strerror", None) or error).strip().splitlines()
    return (shown(lines[0]).rstrip(" .:!") if lines else "") or type(error).__name__
