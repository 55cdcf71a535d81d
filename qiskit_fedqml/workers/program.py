"""What runs in a worker process: one order after another, until the process that started it lets go.

Started as a program of its own, so that the user's script is not run once more in it, as it would be by Python's
`multiprocessing` without a guard.
"""

import logging
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch

from qiskit_fedqml.workers.memory import Memory
from qiskit_fedqml.workers.messages import Answer, Failure, Memories, Setup

_LOOK_SECONDS = 0.5
"""Time between looks at whether the process that started this one is still there."""


class _Records(logging.Handler):
    """Keeps what is logged, which the process that started this one shows."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        place = record.levelno, record.pathname, record.lineno
        self.records.append(logging.LogRecord(record.name, *place, record.getMessage(), None, None))

    def taken(self) -> tuple[logging.LogRecord, ...]:
        """Return what was logged since the last time."""
        records, self.records = tuple(self.records), []
        return records


def main() -> None:
    """Work for the process that started this one, over the socket and the shared memory that it passed on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # that process says when to stop
    threading.Thread(target=_end_after, args=(os.getppid(),), daemon=True).start()
    socket, common, inbox, outbox = map(int, sys.argv[1:])
    with Connection(socket) as connection:
        try:
            serve(connection, Memories(Memory(common), Memory(inbox), Memory(outbox)))
        except (EOFError, ConnectionError):  # nobody waits for the answer any more
            return


def _end_after(parent: int) -> None:
    """End this process once its parent is gone, even by SIGKILL in the middle of a long training."""
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def serve(connection: "Connection[Any, Any]", memories: Memories) -> None:
    """Work for whoever is at the other end: first what it is set up with, then one order after another.

    With each order comes how many answers it wants, and where in the outbox the first of them go.
    """
    records = _Records()
    package = logging.getLogger("qiskit_fedqml")
    package.addHandler(records)
    package.propagate = False
    setup: Setup = connection.recv()
    torch.set_num_threads(setup.threads)
    os.environ.setdefault("NUMBA_NUM_THREADS", str(setup.threads))  # of the sweeps too
    try:
        work = setup.make(setup.kit, memories)
    except Exception as error:
        connection.send(Answer(failure=Failure.of(error), logged=records.taken()))
        return
    connection.send(Answer(logged=records.taken()))
    while True:
        missing, order, memories.room = connection.recv()
        answers = work(order)
        while missing:
            try:
                content = next(answers)
                message = ForkingPickler.dumps(Answer(content, logged=records.taken()))
                missing -= len(content)
            except Exception as error:
                message = ForkingPickler.dumps(Answer(failure=Failure.of(error), logged=records.taken()))
                missing = 0
            connection.send_bytes(message)
            if missing:
                memories.room = connection.recv()


if __name__ == "__main__":
    main()
