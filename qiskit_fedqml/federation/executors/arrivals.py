"""Updates on their way from the threads of devices to the thread of the run."""

import queue

from qiskit_fedqml.federation.interruption import check_interrupted
from qiskit_fedqml.federation.messages import ClientUpdate

GRACE_SECONDS = 5.0
"""How long devices' threads get to notice that the run stops."""
LOOK_SECONDS = 0.2
"""Longest wait for a thread in one go, so that Ctrl-C arrives."""

Arrivals = queue.SimpleQueue[ClientUpdate | BaseException]


def next_arrival(arrivals: Arrivals) -> ClientUpdate:
    """Wait for an update.

    Raises:
        BaseException: What came in its place.
    """
    while True:
        check_interrupted()
        try:
            item = arrivals.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            continue
        if isinstance(item, BaseException):
            raise item
        return item
