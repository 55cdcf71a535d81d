"""The progress that suits where it is shown."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.progress.lines import ProgressLines
from qiskit_fedqml.progress.observer import Observer

if TYPE_CHECKING:
    from qiskit_fedqml.progress.bars import ProgressBars


def open_progress(title: str, *, has_phases: bool = False) -> "ProgressBars | ProgressLines":
    """Return bars on a terminal and in a notebook, and lines elsewhere.

    Args:
        title: What the run is called.
        has_phases: Whether to show all that is done, as lines wherever it is.
    """
    if has_phases or not has_bars():
        return ProgressLines(title, has_phases=has_phases)
    from qiskit_fedqml.progress.bars import ProgressBars

    return ProgressBars(title, in_notebook=_is_notebook())


@contextmanager
def shown_to(observer: Observer | None, title: str, shown: bool | None) -> Iterator[Observer | None]:
    """Give what is notified of a run's progress: the user's own observer, bars, lines, or None.

    Args:
        observer: The user's own, or None.
        title: What the run is called.
        shown: Whether progress is shown; None shows bars where there can be some, unless there is an observer.

    Raises:
        ConfigurationError: There is an observer, and progress is to be shown too.
    """
    if observer is not None and shown:
        raise ConfigurationError("Arguments `observer` and `progress=True` exclude each other.")
    if observer is not None or shown is False or (shown is None and not has_bars()):
        yield observer
        return
    with open_progress(title) as watching:
        yield watching


def has_bars() -> bool:
    """Return whether the standard error is a terminal that can draw bars, or is shown in a notebook."""
    return (sys.stderr.isatty() and os.environ.get("TERM") != "dumb") or _is_notebook()


def _is_notebook() -> bool:
    """Return whether this is the kernel of a notebook; IPython is there then, and is not imported for it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in type(shell).__mro__)  # Colab's is a kind of it
