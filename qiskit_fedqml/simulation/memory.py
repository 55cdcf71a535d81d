"""What a simulation would take in memory, by arithmetic, and whether this computer has as much."""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from qiskit.quantum_info import PauliList

from qiskit_fedqml.circuits.sizes import in_words
from qiskit_fedqml.errors import BackendError

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_UNKNOWN = 1 << 62


@cache
def memory_bytes() -> int:
    """Return the bytes of memory that this process may use at most: the computer's, or its container's."""
    limits = [_UNKNOWN]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _CGROUP_LIMITS:
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return min(limit for limit in limits if limit > 0)


def state_bytes(num_qubits: int, *, is_mixed: bool) -> int:
    """Return the size of a state of so many qubits in double precision: amplitudes, or a density matrix's entries."""
    return 16 << (2 * num_qubits if is_mixed else num_qubits)


def outcome_bytes(groups: Sequence[PauliList], num_observables: int) -> int:
    """Return the size of the tables of what each outcome is worth to each observable, with what is needed on the way.

    Args:
        groups: Terms that are measured together.
        num_observables: Number of observables.
    """
    num_outcomes = sum(1 << int((group.x | group.z).any(axis=0).sum()) for group in groups)
    return 8 * (num_observables + 4) * num_outcomes


def require_memory(num_bytes: int, what: str) -> None:
    """Refuse what would take more memory than there is.

    Args:
        num_bytes: What it would take.
        what: Names it, for the message.

    Raises:
        BackendError: There is less.
    """
    if num_bytes > memory_bytes():
        raise BackendError(
            f"{what} would take {in_words(num_bytes)} bytes of memory, and there are {memory_bytes():,}."
        )
