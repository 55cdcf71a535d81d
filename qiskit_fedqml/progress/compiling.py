"""Loops that Numba compiles, which takes a minute the first time that a package is used: shown as a phase."""

from collections.abc import Iterator
from contextlib import contextmanager

from numba.core import event

from qiskit_fedqml.progress.observer import Observer, Preparing, preparing_of

_WHAT = "compiling loops, once for this computer"


@contextmanager
def compiling_shown(observer: Observer | None) -> Iterator[None]:
    """Notify an observer of each loop that is compiled inside, and not read from disk.

    Args:
        observer: Who is notified, if phases are of use there; or None.
    """
    if not hasattr(observer, "preparing"):
        yield
        return
    with event.install_listener("numba:compile", _Listener(preparing_of(observer))):
        yield


class _Listener(event.Listener):
    def __init__(self, preparing: Preparing) -> None:
        self._preparing = preparing

    def on_start(self, event: event.Event) -> None:
        self._preparing(_WHAT, 0, 0)

    def on_end(self, event: event.Event) -> None:
        pass
