"""Clients of simulators in several processes, each with a model and compiled circuits of its own.

Every client's numbers derive from its own seeds, so they are the same to the bit for any number of processes and in
whatever order clients end.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.data.examples import ClientData
from qiskit_fedqml.federation.executors.groups import groups
from qiskit_fedqml.federation.executors.parcels import IncomingUpdates, OutgoingTasks, Sent, packed
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State, Status
from qiskit_fedqml.workers.memory import Memory
from qiskit_fedqml.workers.messages import Setup
from qiskit_fedqml.workers.pool import Lost, WorkerPool, usable_cores

_GRACE_SECONDS = 10.0
"""So much longer than a client's time limit may its process take, which also compiles; it looks at the limit itself."""


def num_workers(experiment: Experiment) -> int:
    """Return the number of processes in which clients of simulators train; 1 is the run's own."""
    config = experiment.federation
    if experiment.clients_objects:
        return 1
    workers = usable_cores() if config.workers == "auto" else config.workers
    return min(workers, config.clients_per_round)


@dataclass(frozen=True, eq=False)
class _Group:
    """Clients that one worker trains, as an order."""

    tasks: Sequence[ClientTask]
    client_seconds: float | None
    model: Sent | None

    @property
    def count(self) -> int:
        return len(self.tasks)

    @property
    def seconds(self) -> float | None:
        return None if self.client_seconds is None else len(self.tasks) * self.client_seconds + _GRACE_SECONDS

    def sent(self, inbox: Memory) -> OutgoingTasks:
        return OutgoingTasks.of(self.tasks, self.model, inbox)


@dataclass
class ProcessExecutor:
    """Runs tasks in worker processes, which are started with the first of them and kept from step to step.

    Args:
        make_setup: Makes what each worker is set up with, with the clients' data in a shared memory.
        config: The `federation` section.
        data: How clients open their examples.
        workers: How many there are.
        is_private: Whether updates do not say how many examples a client has.
    """

    make_setup: Callable[[Memory], Setup]
    config: FederationConfig
    data: ClientData
    workers: int
    is_private: bool = False
    _model: tuple[State, Sent] | None = field(default=None, init=False)

    @cached_property
    def pool(self) -> WorkerPool:
        """The workers."""
        common = Memory()
        setup = self.make_setup(common)
        self._model_start = common.size
        return WorkerPool(setup, self.workers, common)

    def run(self, tasks: Sequence[ClientTask]) -> Iterator[ClientUpdate]:
        """Run tasks; give their updates as they finish.

        A client whose worker dies, or works for much longer than it may, has failed; another worker takes the place.

        Raises:
            FedQMLError: What a client raises where ``on_client_failure`` is ``"stop"``.
        """
        return self.run_groups(groups(tasks, self.config), time.perf_counter())

    def run_groups(self, waiting: Sequence[Sequence[ClientTask]], handed_out: float) -> Iterator[ClientUpdate]:
        """Run groups of tasks, as :meth:`run`.

        Args:
            waiting: The groups.
            handed_out: When their tasks were handed out, on the clock of ``time.perf_counter``.
        """
        model = self._shared_model([task.state for group in waiting for task in group])
        orders = [_Group(group, self.config.client_seconds, model) for group in waiting]
        missing = {task.client_id for group in waiting for task in group}
        for order, answers, began in self.pool.run(orders, IncomingUpdates.open):
            if isinstance(answers, Lost):
                updates = [self._failed(task, answers) for task in order.tasks if task.client_id in missing]
            else:
                updates = list(answers)
            while updates:  # whose tensors are let go one after another
                update = updates.pop(0)
                missing.remove(update.client_id)
                yield replace(update, waited_seconds=began - handed_out)

    def stop(self) -> None:
        """End the workers; what they still work on is lost."""
        pool: WorkerPool | None = self.__dict__.pop("pool", None)
        if pool is not None:
            pool.stop()
            pool.common.close()
            self._model = None

    def _shared_model(self, states: Sequence[State]) -> Sent | None:
        """Copy the state that all tasks have in common to where all workers read it; None if they have several."""
        if not states or any(state is not states[0] for state in states):
            return None
        if self._model is None or self._model[0] is not states[0]:
            common = self.pool.common  # no worker works now
            sent = packed(states[:1], lambda arrays: common.put(arrays, self._model_start)[0])[0]
            self._model = states[0], sent
        return self._model[1]

    def _failed(self, task: ClientTask, lost: Lost) -> ClientUpdate:
        num_examples = 0 if self.is_private else len(self.data.open(task.client_id))
        return ClientUpdate.without_model(task, num_examples, Status.FAILED, lost.reason, lost.seconds)
