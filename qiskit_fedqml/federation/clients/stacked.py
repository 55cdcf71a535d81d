"""Several clients of one simulated machine, trained together: their models are one stack, their circuits one call.

Every client has the batches, the dropout and the shots that it draws alone. Sums are rounded otherwise in a stack, so
its numbers are those of clients alone to rounding, and where a shot is near the border between two outcomes, that may
fall the other way.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from qiskit_fedqml.errors import BackendError, FedQMLError, TimeLimitError
from qiskit_fedqml.federation.clients.outcome import Machine, placed
from qiskit_fedqml.federation.clients.stacked_circuit import StackedCircuit
from qiskit_fedqml.federation.clients.stacked_client import StackedClient
from qiskit_fedqml.federation.clients.stacked_optimizer import StackedOptimizer
from qiskit_fedqml.federation.clients.threads import one_thread
from qiskit_fedqml.federation.clients.time_limit import time_limit
from qiskit_fedqml.federation.interruption import check_interrupted
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, Status
from qiskit_fedqml.federation.steps.step import StackedStep
from qiskit_fedqml.model.stacked import StackedBatch, StackedClassifier
from qiskit_fedqml.seeds import derive_seed, torch_generator

if TYPE_CHECKING:
    from qiskit_fedqml.federation.clients.worker import Worker
    from qiskit_fedqml.model.classifier import HybridClassifier


def train_stacked(
    worker: "Worker", tasks: Sequence[ClientTask], alone: Callable[[ClientTask], ClientUpdate]
) -> Iterator[ClientUpdate]:
    """Train clients of one server step and backend together.

    Args:
        worker: Trains them; its client step is a :class:`~qiskit_fedqml.federation.steps.step.StackedStep`.
        tasks: Tasks that train, of clients that have taken equally many steps before, where they keep an optimiser.
        alone: Trains a client alone: one whose examples cannot be opened, which it finds out by itself.

    Raises:
        BackendError: The backend cannot be opened, or it failed and ``on_client_failure`` is ``"stop"``.
        TimeLimitError: They trained for longer than ``client_seconds`` each, and ``on_client_failure`` is ``"stop"``.
        Exception: Whatever else was raised, such as by a client's data.
    """
    model = worker.model_on(tasks[0].backend)
    started = time.perf_counter()
    clients = []
    for task in tasks:
        try:
            clients.append(StackedClient.of(worker, task))
        except Exception:  # data may be anyone's code; the others are not concerned
            yield alone(task)
    if not clients:
        return
    training = _Training(worker, model, sorted(clients, key=lambda client: -client.num_steps))
    with one_thread():
        training.run()
        updates = [training.update_of(client, started) for client in clients]
    yield from updates


class _Training:
    """The training of a stack.

    Args:
        worker: Trains it.
        model: The worker's model, on the clients' backend.
        clients: The clients; those with more steps come first, so that those still at work do too.
    """

    def __init__(self, worker: "Worker", model: "HybridClassifier", clients: Sequence[StackedClient]) -> None:
        assert isinstance(worker.step, StackedStep)
        self._config, self._take, self._clients = worker.config, worker.step, clients
        model.train()
        tasks = [client.task for client in clients]

        def seeds(purpose: str) -> list[int]:
            return [derive_seed(worker.seed, purpose, task.server_step, task.client_id) for task in tasks]

        self._stack = StackedClassifier(model, [task.state for task in tasks])
        self._start = self._stack.values.clone()
        self._device = self._start.device
        if self._stack.has_dropout:
            self._stack.use_dropout_generators([torch_generator(seed, self._device) for seed in seeds("dropout")])
        self._optimizer = StackedOptimizer(worker.config, self._stack, tasks)
        self._circuit: StackedCircuit | None = None
        if model.network is not None:
            ids, of = [task.client_id for task in tasks], worker.blueprint.config.derivatives
            network, step = model.network, tasks[0].server_step
            self._circuit = StackedCircuit(network, step, ids, seeds("shots"), of=of)

    def run(self) -> None:
        """Train all local epochs of all clients.

        Raises:
            BackendError: The backend failed, and ``on_client_failure`` is ``"stop"``.
            TimeLimitError: The clients took too long, and ``on_client_failure`` is ``"stop"``.
        """
        check_time = time_limit(self._config.client_seconds, len(self._clients))
        for step in range(self._clients[0].num_steps):
            check_interrupted()
            clients = [client for client in self._clients if client.num_steps > step]
            if not any(client.is_at_work for client in clients):
                break
            if len(clients) < self._stack.count:
                self._optimizer.take_part(len(clients))
            try:
                self._step(clients)
                check_time()
            except (BackendError, TimeLimitError) as error:
                self._fail(clients, error)
        self._optimizer.take_part(0)
        self._is_finite: list[bool] = self._stack.values.isfinite().all(dim=1).tolist()

    def update_of(self, client: StackedClient, started: float) -> ClientUpdate:
        """Return a client's update.

        Args:
            client: The client.
            started: When the training started, on the clock of ``time.perf_counter``; each client takes an equal part.
        """
        place, outcome = self._clients.index(client), client.outcome
        if client.is_at_work:
            outcome.loss = client.mean_loss
            outcome.state = self._stack.state_of(place)
            if self._config.client_optimizer_state == "keep" and client.num_steps:
                outcome.client_states = self._optimizer.states_of(place)
        machine = Machine()
        if self._circuit is not None:
            outcome.usage, machine = self._circuit.usages[place], self._circuit.machine_of(place)
        seconds = (time.perf_counter() - started) / len(self._clients)
        return outcome.update(client.task, machine, seconds, is_finite=self._is_finite[place])

    def _step(self, clients: Sequence[StackedClient]) -> None:
        """Let clients take a step."""
        batch, count = self._batch(clients), len(clients)
        tensors = [tensor[:count] for tensor in (self._stack.values, self._start, self._stack.gradients)]
        tensors[2].zero_()
        losses = self._take.add_stacked_gradients(lambda: self._stack.losses(batch, self._circuit), *tensors)
        for place, (client, size, loss) in enumerate(zip(clients, batch.sizes, losses.tolist(), strict=True)):
            if self._circuit is not None and place in self._circuit.refused and client.is_at_work:
                client.outcome.status, client.outcome.reason = Status.REFUSED, self._circuit.refused[place]
            client.loss += loss * size
        self._optimizer.step()

    def _batch(self, clients: Sequence[StackedClient]) -> StackedBatch:
        """Return the next batch of each client."""
        batches = [client.next_batch() for client in clients]
        sizes = [len(batch) if batch is not None else 0 for batch in batches]
        width = next(batch.features.shape[1] for batch in batches if batch is not None)
        features = np.zeros((len(clients), max(sizes), width), dtype=np.float32)
        labels = np.zeros(features.shape[:2], dtype=np.int64)
        for place, batch in enumerate(batches):
            if batch is not None:
                features[place, : len(batch)], labels[place, : len(batch)] = batch.features, batch.labels
        first, second = (torch.from_numpy(array).to(self._device) for array in (features, labels))
        return StackedBatch(first, second, sizes)

    def _fail(self, clients: Sequence[StackedClient], error: FedQMLError) -> None:
        """Let all clients fail that are at work."""
        failed = [client for client in clients if client.is_at_work]
        if self._config.on_client_failure == "stop":
            raise placed(error, failed[0].task) from error
        for client in failed:
            client.outcome.status, client.outcome.reason = Status.FAILED, str(error)
