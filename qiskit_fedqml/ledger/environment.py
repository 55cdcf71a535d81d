"""What decides the last bits of a sum: torch's version, the processor's instructions, and the number of threads."""

from collections.abc import Mapping
from typing import Any

import torch

from qiskit_fedqml import __version__

_MOST_THREADS = 1024


def environment() -> dict[str, Any]:
    """Return what decides the bits here, as links say it."""
    return {
        "threads": torch.get_num_threads(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "versions": {"qiskit-fedqml": __version__, "torch": torch.__version__},
    }


def difference_from(said: Mapping[str, Any]) -> str:
    """Return how a run's environment differs from the one here, in words; nothing where it does not.

    Args:
        said: As :func:`environment`; so many threads are used here too.
    """
    here = environment()
    pairs = [
        (f"torch {said['versions']['torch']}", f"torch {here['versions']['torch']}"),
        (f"{said['vectors']} instructions", f"{here['vectors']} instructions"),
    ]
    other = [(theirs, ours) for theirs, ours in pairs if theirs != ours]
    theirs, ours = (" and ".join(words) for words in zip(*other, strict=True)) if other else ("", "")
    return f"the run had {theirs}, but it is repeated with {ours}" if other else ""


class Threads:
    """So many threads of torch as the run had; a context manager."""

    def __init__(self) -> None:
        self._before = torch.get_num_threads()

    def use(self, threads: Any) -> None:
        """Use so many threads.

        Raises:
            ValueError: It is no number of threads.
        """
        if not (isinstance(threads, int) and 1 <= threads <= _MOST_THREADS):
            raise ValueError("it names no number of threads")
        torch.set_num_threads(threads)

    def __enter__(self) -> "Threads":
        return self

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._before)
