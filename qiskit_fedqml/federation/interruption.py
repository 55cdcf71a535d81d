"""Ctrl-C that is never lost.

Python raises KeyboardInterrupt wherever the main thread is, and drops it where that is a callback of a weak reference
or a finaliser. So a signal handler also leaves a mark, which a run looks at between clients and while it waits.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_interrupted = threading.Event()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C also leave a mark inside; another handler than Python's own, or another thread, is left alone."""
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not is_ours:
        yield
        return
    _interrupted.clear()
    signal.signal(signal.SIGINT, _mark_and_raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _interrupted.clear()


def check_interrupted() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed and has come to nothing."""
    if _interrupted.is_set():
        _interrupted.clear()
        raise KeyboardInterrupt


def mark_interrupted() -> None:
    """Leave the mark; for a signal's handler of another kind."""
    _interrupted.set()


def forget_interruptions() -> None:
    """Take the mark away."""
    _interrupted.clear()


def _mark_and_raise(number: int, frame: FrameType | None) -> None:
    mark_interrupted()
    signal.default_int_handler(number, frame)
