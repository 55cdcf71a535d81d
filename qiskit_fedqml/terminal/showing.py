"""The progress of a run in a terminal, as much of it as was asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qiskit_fedqml.terminal.verbosity import is_quiet, is_verbose

if TYPE_CHECKING:
    from qiskit_fedqml.progress.observer import Observer


@contextmanager
def progress_of(title: str) -> "Iterator[Observer | None]":
    """Give what shows a run's progress: bars or lines, lines about all that is done, or None.

    Args:
        title: What the run is called.
    """
    if is_quiet():
        yield None
        return
    from qiskit_fedqml.progress.opening import open_progress

    with open_progress(title, has_phases=is_verbose()) as watching:
        yield watching
