"""Ctrl-C and SIGTERM, which end a command in the same way: in order, with an exit code that says which it was."""

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from qiskit_fedqml.federation.interruption import forget_interruptions, mark_interrupted

_received: list[int] = []
"""The signals that came while a command ran."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM raise KeyboardInterrupt once; the second says so, and the third ends the process.

    What handles a signal otherwise is left alone, such as that of a command in the background, which ignores Ctrl-C.
    After one has come, handlers stay as they are: nothing may cut the end of the process short.
    """
    _received.clear()
    forget_interruptions()
    try:
        ours = {
            number: before
            for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL))
            if (before := signal.getsignal(number)) is default
        }
        for number in ours:
            signal.signal(number, _stop)
    except ValueError:  # not the main thread
        ours = {}
    try:
        yield
    finally:
        if not _received:
            for number, before in ours.items():
                signal.signal(number, before)


def exit_code() -> int:
    """Return the code with which a command ends that was stopped: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + (_received[0] if _received else signal.SIGINT)


def was_stopped() -> bool:
    """Return whether a signal has come."""
    return bool(_received)


def _ignore() -> None:
    """Let no signal change the exit code in the interpreter's last steps, in which handlers are taken away."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _stop(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    if len(_received) == 1:
        atexit.register(_ignore)
        mark_interrupted()
        raise KeyboardInterrupt
    if len(_received) > 2:
        os._exit(exit_code())
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"fedqml: stopping; once more ends it at once.\n")
