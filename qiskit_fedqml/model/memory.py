"""Whether a model fits into this computer's memory, by arithmetic and before anything is allocated."""

import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from qiskit_fedqml.errors import ConfigurationError, listed

_BYTES = 8
"""Of a parameter and its gradient, float32 each: the least that training takes."""


def check_head_fits(widths: Sequence[int]) -> None:
    """Refuse a head that cannot be trained here.

    Args:
        widths: Features, hidden units of each layer, and qubits.

    Raises:
        ConfigurationError: Its parameters and their gradients take more memory than this computer has.
    """
    parameters = sum((width + 1) * following for width, following in pairwise(widths))
    available = memory_bytes()
    if available is not None and _BYTES * parameters > available:
        raise ConfigurationError(
            f"`model.hidden` of {listed(widths[1:-1])} units for {widths[0]:,} features has {parameters:,} parameters: "
            f"{_BYTES * parameters / 2**30:,.1f} GiB with their gradients, but this computer has "
            f"{available / 2**30:,.1f} GiB."
        )


def memory_bytes() -> int | None:
    """Return this computer's memory, or what its container may use of it; None where the system doesn't tell."""
    try:
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None
    with suppress(OSError, ValueError):  # "max" is no number
        available = min(available, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return available
