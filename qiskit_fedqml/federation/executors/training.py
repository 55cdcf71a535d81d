"""What a worker process does for a federation: it trains groups of clients of simulators."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.federation.clients.worker import Worker
from qiskit_fedqml.federation.executors.groups import train_group
from qiskit_fedqml.federation.executors.parcels import IncomingUpdates, Kit, OutgoingTasks
from qiskit_fedqml.federation.steps.opening import open_step
from qiskit_fedqml.workers.messages import Memories, Work


def make_training(kit: Kit, memories: Memories) -> Work:
    """Return what trains groups of clients, each with this process's model and compiled circuits.

    Raises:
        FedQMLError: The kit's backends or parts cannot be opened here.
    """
    registry = BackendRegistry(kit.backends, Path())
    registry.give_blocks(kit.assignment, simulated_only=True)
    data = kit.data.open_in(memories.common)
    worker = Worker(
        kit.blueprint, registry, data, kit.config, open_step(kit.config, kit.privacy), kit.seed, kit.privacy
    )
    return partial(_train, worker, memories)


def _train(worker: Worker, memories: Memories, order: OutgoingTasks) -> Iterator[IncomingUpdates]:
    for updates in train_group(worker, order.open(memories.common, memories.inbox)):
        yield IncomingUpdates.of(updates, memories)
