"""How loops are compiled by Numba."""

from collections.abc import Callable
from typing import Any

import numba

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_IN_PLACE: dict[str, Any] = {"_nrt": False, **OPTIONS}
"""Without Numba's runtime, which counts the references to each array at each call: half of the time of short loops."""


def compiled(function: Callable[..., Any]) -> Any:
    """Compile at the first use, and keep the machine code on disk where a folder for it can be written."""
    return _kept(function, OPTIONS)


def compiled_in_place(function: Callable[..., Any]) -> Any:
    """Do the same with a function that works in the arrays that it is given, and makes none and no part of one."""
    return _kept(function, _IN_PLACE)


def inlined(function: Callable[..., Any]) -> Any:
    """Make a function a part of those that call it, which are compiled in place.

    Numba looks at the date of a caller's own file to see whether machine code on disk is old: who changes an inlined
    function removes ``__pycache__``.
    """
    return numba.njit(forceinline=True, **_IN_PLACE)(function)


def _kept(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(**options)(function)
