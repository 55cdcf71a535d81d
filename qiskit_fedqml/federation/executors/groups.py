"""Groups of tasks: what an executor gives a worker at once."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from qiskit_fedqml.config.experiment import FederationConfig
from qiskit_fedqml.federation.clients.client import train_client
from qiskit_fedqml.federation.interruption import check_interrupted
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate

if TYPE_CHECKING:
    from qiskit_fedqml.federation.clients.worker import Worker


def groups(tasks: Sequence[ClientTask], config: FederationConfig) -> list[list[ClientTask]]:
    """Divide tasks of simulators into groups, each of which one worker trains.

    A group depends on the tasks and the configuration alone, so that any number of workers gives the same bits.

    Args:
        tasks: The tasks of a server step.
        config: The `federation` section.
    """
    return [[task] for task in tasks]


def train_group(worker: "Worker", group: Sequence[ClientTask]) -> Iterator[ClientUpdate]:
    """Train the clients of a group; give their updates as they finish.

    Raises:
        FedQMLError: What :func:`~qiskit_fedqml.federation.clients.client.train_client` raises.
    """
    for task in group:
        check_interrupted()
        yield train_client(worker, task)
