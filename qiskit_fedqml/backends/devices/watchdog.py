"""Calls that must come back in time, whatever the library below them does."""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


class NoAnswerError(Exception):
    """A call took too long."""


def call_within(seconds: float, function: Callable[[], Answer], name: str) -> Answer:
    """Return what a function returns, or raise what it raises.

    The function runs in a thread of its own. Where it takes too long the thread is left behind; it ends with its
    request, or with the process.

    Args:
        seconds: The longest that it may take.
        function: What to call.
        name: The thread's name.

    Raises:
        NoAnswerError: It took longer.
    """
    answers: queue.SimpleQueue[tuple[list[Answer], BaseException | None]] = queue.SimpleQueue()

    def call() -> None:
        try:
            answers.put(([function()], None))
        except BaseException as error:
            answers.put(([], error))

    threading.Thread(target=call, name=name, daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise NoAnswerError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return answer[0]
