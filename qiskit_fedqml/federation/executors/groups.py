"""Groups of tasks: what an executor gives a worker at once."""

from collections.abc import Hashable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from qiskit_fedqml.backends.devices.patience import StoppedError
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.errors import BackendError, BudgetError, TimeLimitError
from qiskit_fedqml.federation.clients.client import train_client
from qiskit_fedqml.federation.clients.stacked import train_stacked
from qiskit_fedqml.federation.interruption import check_interrupted
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate

if TYPE_CHECKING:
    from qiskit_fedqml.federation.clients.worker import Worker

_AUTO_TOGETHER = 32
"""Most clients that train together unless a number is given."""
_AUTO_BYTES = 1 << 20
"""Bytes of a client's trained tensors up to which it trains with others unless a number is given; measured: from about
half of it on nothing is gained, and beyond twice as much the stack no longer fits a processor's cache."""
_AUTO_GROUP_BYTES = 1 << 24
"""Bytes of a group's trained tensors at most, unless a number is given."""
_MOST_BYTES = 1 << 28
"""Bytes of a group's trained tensors at most; gradients and moments take three times as much again."""


def groups(tasks: Sequence[ClientTask], config: FederationConfig) -> list[list[ClientTask]]:
    """Divide tasks of simulators into groups, each of which one worker trains.

    Clients of one backend train together, at most ``federation.lockstep`` of them, and not those that only test. Groups
    are in the order of their first tasks. They depend on the tasks and the configuration alone, so that any number of
    workers gives the same bits.

    Args:
        tasks: The tasks of a server step.
        config: The `federation` section.
    """
    alike: dict[Hashable, list[ClientTask]] = {}
    for task in tasks:
        alike.setdefault(_kind(task), []).append(task)
    found = [group for some in alike.values() for group in _cut(some, _most_together(some[0], config))]
    places = {task.client_id: place for place, task in enumerate(tasks)}
    return sorted(found, key=lambda group: places[group[0].client_id])


def train_group(worker: "Worker", group: Sequence[ClientTask]) -> Iterator[list[ClientUpdate]]:
    """Train the clients of a group; give the updates of those that finish together.

    Where failures are skipped, and something raises that fails all of a group, such as one client's data, its clients
    train alone, so that only those fail whose fault it is.

    Raises:
        FedQMLError: What :func:`~qiskit_fedqml.federation.clients.client.train_client` raises.
    """
    if len(group) > 1 and _opens(worker, group[0].backend) and (updates := _trained_together(worker, group)):
        yield updates
        return
    for task in group:
        check_interrupted()
        yield [train_client(worker, task)]


def _opens(worker: "Worker", backend: str) -> bool:
    """Return whether a backend can be opened; where not, each client finds that out by itself."""
    try:
        worker.model_on(backend)
    except BackendError:
        return False
    return True


def _trained_together(worker: "Worker", group: Sequence[ClientTask]) -> list[ClientUpdate]:
    """Train clients together; none where something else than their machine fails, such as the data of one of them.

    Each client then finds that out by itself, so that the others do not fail with it.
    """
    try:
        return list(train_stacked(worker, group, partial(train_client, worker)))
    except (BackendError, BudgetError, StoppedError, TimeLimitError):
        raise
    except Exception:
        if worker.config.on_client_failure == "stop":
            raise
        return []


def _kind(task: ClientTask) -> Hashable:
    """Return what must be equal for clients to train together."""
    kept = task.client_states
    counts = {float(tensor) for state in kept.values() for tensor in state.values() if not tensor.dim()}
    return task.backend, task.server_step, task.trains, frozenset(kept), frozenset(counts)


def _most_together(task: ClientTask, config: FederationConfig) -> int:
    if config.lockstep == 1 or not task.trains or not isinstance(config.client_step, str):
        return 1
    num_bytes = max(1, sum(tensor.nbytes for tensor in task.state.values()))
    if config.lockstep == "auto":
        return min(_AUTO_TOGETHER, _AUTO_GROUP_BYTES // num_bytes) if num_bytes <= _AUTO_BYTES else 1
    return max(1, min(config.lockstep, _MOST_BYTES // num_bytes))


def _cut(tasks: Sequence[ClientTask], most: int) -> Iterator[list[ClientTask]]:
    """Cut tasks into as few groups as can be, of sizes as equal as can be."""
    count = -(-len(tasks) // most)
    for number in range(count):
        yield list(tasks[len(tasks) * number // count : len(tasks) * (number + 1) // count])
