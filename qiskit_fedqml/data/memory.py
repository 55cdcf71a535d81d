"""Whether something can fit into this machine's memory: asked before it is allocated."""

import os

from qiskit_fedqml.errors import DataError
from qiskit_fedqml.tables import gibibytes


def check_memory(needed: int, what: str) -> None:
    """Check that the machine has so much memory, in use or not; where the system doesn't tell, all fits.

    Args:
        needed: Bytes.
        what: Subject of the message, in the plural.

    Raises:
        DataError: It has less.
    """
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return
    if needed > there > 0:
        raise DataError(f"{what} need at least {gibibytes(needed)} of memory, but this machine has {gibibytes(there)}.")
