"""How long clients of simulators may train."""

import math
import time
from collections.abc import Callable

from qiskit_fedqml.errors import TimeLimitError


def time_limit(seconds: float | None, clients: int = 1) -> Callable[[], None]:
    """Return what raises TimeLimitError once clients have trained for so long from now on.

    Args:
        seconds: How long each may train; None is as long as it takes.
        clients: How many train together.
    """
    ends = math.inf if seconds is None else time.perf_counter() + seconds * clients

    def check() -> None:
        if time.perf_counter() > ends:
            raise TimeLimitError(f"it trained for longer than `federation.client_seconds` ({seconds:g} s)")

    return check
