"""What runs in a worker process: one task after another, until the process that started it lets go.

Started as a program of its own, so that the user's script is not run once more in it, as it would be by Python's
`multiprocessing` without a guard.
"""

import logging
import pickle
import signal
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.config.backends import BackendsFile
from qiskit_fedqml.config.experiment import FederationConfig
from qiskit_fedqml.data.examples import ClientData
from qiskit_fedqml.errors import TrainingError
from qiskit_fedqml.federation.clients.client import train_client
from qiskit_fedqml.federation.clients.worker import Worker
from qiskit_fedqml.federation.executors.parcels import Delivery, Order
from qiskit_fedqml.federation.steps.opening import open_step
from qiskit_fedqml.model.building import Blueprint


@dataclass(frozen=True)
class Kit:
    """All that a worker process is made of.

    Args:
        blueprint: What the model is built from.
        backends: The checked content of the backends file; devices in it are never opened here.
        assignment: The name of each client's backend.
        data: How clients open their examples.
        config: The `federation` section.
        seed: The run's seed.
        threads: torch's threads.
    """

    blueprint: Blueprint
    backends: BackendsFile
    assignment: tuple[str, ...]
    data: ClientData
    config: FederationConfig
    seed: int
    threads: int

    def worker(self) -> Worker:
        """Return the worker, with backends that are opened at their first use."""
        torch.set_num_threads(self.threads)
        registry = BackendRegistry(self.backends, Path())
        registry.give_blocks(self.assignment, simulated_only=True)
        return Worker(self.blueprint, registry, self.data, self.config, open_step(self.config), self.seed)


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
    with Connection(int(sys.argv[1])) as connection:
        try:
            serve(connection)
        except (EOFError, ConnectionError):  # nobody waits for the answer any more
            return


def serve(connection: "Connection[Any, Any]") -> None:
    """Work for whoever is at the other end: first its kit, then one order after another."""
    records = _Records()
    package = logging.getLogger("qiskit_fedqml")
    package.addHandler(records)
    package.propagate = False
    worker = connection.recv().worker()
    while True:
        order: Order | None = connection.recv()
        if order is None:
            return
        connection.send(_delivery(worker, order, records))


def _delivery(worker: Worker, order: Order, records: _Records) -> Delivery:
    try:
        return Delivery.of(train_client(worker, order.open()), records.taken())
    except Exception as error:
        return Delivery(error=_sendable(error), logged=records.taken())


def _sendable(error: Exception) -> Exception:
    """Return an error that survives being sent: of another kind, where its own cannot be built again."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return TrainingError(f"{type(error).__name__}: {error}")
    return error


if __name__ == "__main__":
    main()
