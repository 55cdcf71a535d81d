"""What runs in a worker process: one task after another, until the process that started it lets go.

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
from pathlib import Path
from typing import Any

import torch

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.federation.clients.client import train_client
from qiskit_fedqml.federation.clients.worker import Worker
from qiskit_fedqml.federation.executors.parcels import Delivery, Kit, Order
from qiskit_fedqml.federation.steps.opening import open_step

_LOOK_SECONDS = 0.5
"""Time between looks at whether the process that started this one is still there."""


class _Records(logging.Handler):
    """Keeps what is logged, which the process that started this one shows."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self.records.append(record)

    def taken(self) -> tuple[logging.LogRecord, ...]:
        """Return what was logged since the last time."""
        records, self.records = tuple(self.records), []
        return records


def main() -> None:
    """Work for the process that started this one, over the socket that it passed on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # that process says when to stop
    threading.Thread(target=_end_after, args=(os.getppid(),), daemon=True).start()
    with Connection(int(sys.argv[1])) as connection:
        try:
            serve(connection)
        except (EOFError, ConnectionError):  # nobody waits for the answer any more
            return


def _end_after(parent: int) -> None:
    """End this process once its parent is gone, even by SIGKILL in the middle of a long training."""
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def serve(connection: "Connection[Any, Any]") -> None:
    """Work for whoever is at the other end: first its kit, then one order after another."""
    records = _Records()
    package = logging.getLogger("qiskit_fedqml")
    package.addHandler(records)
    package.propagate = False
    torch.set_num_threads(1)
    kit: Kit = connection.recv()
    registry = BackendRegistry(kit.backends, Path())
    registry.give_blocks(kit.assignment, simulated_only=True)
    worker = Worker(kit.blueprint, registry, kit.data, kit.config, open_step(kit.config), kit.seed)
    while True:
        order: Order | None = connection.recv()
        if order is None:
            return
        connection.send(_delivery(worker, order, records))


def _delivery(worker: Worker, order: Order, records: _Records) -> Delivery:
    try:
        return Delivery.of(train_client(worker, order.open()), records.taken())
    except Exception as error:
        return Delivery.of_error(error, records.taken())


if __name__ == "__main__":
    main()
