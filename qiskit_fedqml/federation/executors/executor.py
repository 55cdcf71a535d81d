"""What an executor is."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate


class Executor(Protocol):
    """Lets clients work: tasks in, updates out. It never decides what is aggregated.

    The updates are the same to the bit whichever executor runs the tasks, and in whatever order they finish.
    """

    def run(self, tasks: Sequence[ClientTask]) -> Iterator[ClientUpdate]:
        """Run tasks of different clients; give their updates as they finish.

        Raises:
            FedQMLError: What :func:`~qiskit_fedqml.federation.clients.client.train_client` raises.
        """
        ...

    def stop(self) -> None:
        """Let whatever still waits stop waiting; jobs on devices live on."""
        ...


def in_task_order(tasks: Sequence[ClientTask], updates: Iterable[ClientUpdate]) -> Iterator[ClientUpdate]:
    """Give updates in the order of their tasks, however they finish; those that come early are kept until then."""
    early: dict[int, ClientUpdate] = {}
    waiting = iter([task.client_id for task in tasks])
    client = next(waiting, None)
    for update in updates:
        early[update.client_id] = update
        while client in early:
            yield early.pop(client)
            client = next(waiting, None)
