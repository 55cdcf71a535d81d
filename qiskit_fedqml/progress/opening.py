"""The progress that suits where it is shown."""

import os
import sys
from typing import TYPE_CHECKING

from qiskit_fedqml.progress.lines import ProgressLines

if TYPE_CHECKING:
    from qiskit_fedqml.progress.bars import ProgressBars


def open_progress(title: str) -> "ProgressBars | ProgressLines":
    """Return bars on a terminal and in a notebook, and lines elsewhere.

    Args:
        title: What the run is called.
    """
    if not has_bars():
        return ProgressLines(title)
    from qiskit_fedqml.progress.bars import ProgressBars

    return ProgressBars(title)


def has_bars() -> bool:
    """Return whether the standard error is a terminal that can draw bars, or is shown in a notebook."""
    return (sys.stderr.isatty() and os.environ.get("TERM") != "dumb") or _is_notebook()


def _is_notebook() -> bool:
    """Return whether this is the kernel of a notebook; IPython is there then, and is not imported for it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"
