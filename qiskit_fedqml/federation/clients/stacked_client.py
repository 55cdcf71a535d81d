"""How far one of several clients that train together has come."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.data.examples import Examples, ExampleSource
from qiskit_fedqml.federation.clients.outcome import Outcome
from qiskit_fedqml.federation.messages import ClientTask, Status
from qiskit_fedqml.seeds import derive_seed, numpy_generator

if TYPE_CHECKING:
    from qiskit_fedqml.federation.clients.worker import Worker


@dataclass(eq=False)
class StackedClient:
    """A client at work.

    Args:
        task: Its task.
        examples: Its examples.
        num_steps: Batches of all its local epochs.
        batches: Gives each batch's local epoch, and its positions among the examples.
        outcome: What it gives.
        epoch: The local epoch whose losses are summed.
        loss: Their sum over examples.
        count: The number of these examples.
    """

    task: ClientTask
    examples: ExampleSource
    num_steps: int
    batches: Iterator[tuple[int, NDArray[np.intp]]]
    outcome: Outcome = field(default_factory=Outcome)
    epoch: int = -1
    loss: float = 0.0
    count: int = 0

    @classmethod
    def of(cls, worker: "Worker", task: ClientTask) -> "StackedClient":
        """Open a client's examples.

        Raises:
            DataError: They cannot be read.
        """
        examples, config = worker.data.open(task.client_id), worker.config
        num_steps = config.local_epochs * -(-len(examples) // config.batch_size)
        client = cls(task, examples, num_steps, _batches(worker, task, len(examples)))
        client.outcome.num_examples = len(examples)
        return client

    @property
    def is_at_work(self) -> bool:
        """Whether nothing has gone wrong."""
        return self.outcome.status is Status.OK

    @property
    def mean_loss(self) -> float:
        """The mean loss over the examples of the local epoch so far."""
        return self.loss / self.count if self.count else float("nan")

    def next_batch(self) -> Examples | None:
        """Read the next batch; None of a client that is no longer at work."""
        if not self.is_at_work:
            return None
        epoch, positions = next(self.batches)
        if epoch != self.epoch:
            self.outcome.loss = self.mean_loss
            self.epoch, self.loss, self.count = epoch, 0.0, 0
        self.count += len(positions)
        return self.examples.take(positions)


def _batches(worker: "Worker", task: ClientTask, num_examples: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    for epoch in range(worker.config.local_epochs):
        rng = numpy_generator(derive_seed(worker.seed, "order of examples", task.server_step, task.client_id, epoch))
        for positions in worker.step.batches(num_examples, worker.config.batch_size, rng):
            yield epoch, positions
