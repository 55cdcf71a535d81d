"""Lets nodes work so that the server learns the sum of their updates only (docs/deployment.md says what else)."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from flwr.serverapp import Grid
from numpy.typing import NDArray

from qiskit_fedqml.config.secure import SecureConfig
from qiskit_fedqml.errors import FedQMLError
from qiskit_fedqml.federation.interruption import check_interrupted
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State, Status
from qiskit_fedqml.flower.executor import FlowerExecutor
from qiskit_fedqml.flower.line import Line
from qiskit_fedqml.flower.roll import LOOK_SECONDS
from qiskit_fedqml.flower.secure_sum import ShortageError, secure_mean

logger = logging.getLogger(__name__)


@dataclass
class SecureExecutor:
    """Runs a round's tasks on nodes, by Flower's SecAgg+.

    The update of each client that is in the sum has the mean of all of them as its state: that is all that the server
    has, and a weighted mean of equal states is that state, to the bit. Nothing is sent twice; a client whose node is
    lost before its masked update has come has failed.

    Args:
        nodes: Reaches them.
        config: The configuration.
    """

    nodes: FlowerExecutor
    config: SecureConfig

    def run(self, tasks: Sequence[ClientTask]) -> Iterator[ClientUpdate]:
        """Run tasks; give their updates when all are added up.

        Where too few clients stay, all updates are refused.

        Raises:
            FedQMLError: As :meth:`FlowerExecutor.run`.
        """
        handed_out = time.monotonic()
        here = self._here(tasks, handed_out)
        line = Line(self.nodes, here, {node: self._weight(task) for node, task in here.items()}, handed_out)
        taking_part = {task.client_id for task in here.values()}
        for task in tasks:
            if task.client_id not in taking_part:
                reason = f"its node has been out of reach for {self.nodes.away_seconds:g} seconds"
                yield self.nodes.failed(task, reason, handed_out)
        try:
            mean, summed = self._mean(line, tasks)
        except FedQMLError:
            raise
        except (ShortageError, ValueError) as error:
            logger.warning("Round %d: there is no sum: %s.", tasks[0].server_step, error)
            yield from self._refused(line, f"there is no sum: {error}")
            return
        state = _moved(tasks[0].state, mean)  # all tasks of a round begin at the same model
        for node in here:
            update = line.updates[node]
            yield replace(update, state=state) if node in summed else update

    def stop(self) -> None:
        """Wait no longer."""
        self.nodes.stop()

    def _here(self, tasks: Sequence[ClientTask], handed_out: float) -> dict[int, ClientTask]:
        """Wait for nodes that may come back; return the tasks whose nodes are there, by node."""
        roll, until = self.nodes.roll, handed_out + self.nodes.round_seconds
        while not self.nodes.is_stopped:
            check_interrupted()
            roll.look()
            away = [task.client_id for task in tasks if roll.started(task.client_id) is None]
            if time.monotonic() > until or not any(roll.away_seconds(c) <= self.nodes.away_seconds for c in away):
                break
            time.sleep(LOOK_SECONDS)
        there = [task for task in tasks if roll.started(task.client_id) is not None]
        return {roll.members[task.client_id].node: task for task in there}

    def _mean(self, line: Line, tasks: Sequence[ClientTask]) -> tuple[list[NDArray[np.float64]], set[int]]:
        if len(line.tasks) < self.config.threshold:
            raise ShortageError("setup", len(line.tasks), self.config.threshold)
        contents = {node: self.nodes.content(task) for node, task in line.tasks.items()}
        most = float(max(line.weights.values()))
        return secure_mean(cast(Grid, line), contents, self.config, len(tasks), most, tasks[0].server_step)

    def _weight(self, task: ClientTask) -> int:
        """Return a client's weight in the mean."""
        is_uniform = self.nodes.experiment.aggregation.is_uniform
        return 1 if is_uniform else self.nodes.roll.members[task.client_id].introduction.examples

    def _refused(self, line: Line, reason: str) -> Iterator[ClientUpdate]:
        """Give the updates of a round that has no sum."""
        for node, task in line.tasks.items():
            update = line.updates.get(node)
            if update is None:
                yield self.nodes.without_update(task, reason, line.handed_out, Status.REFUSED)
            else:
                yield replace(update, status=Status.REFUSED, reason=reason) if update.status is Status.OK else update


def _moved(model: State, mean: Sequence[NDArray[np.float64]]) -> State:
    """Return a model after the mean of its changes, which come in the order of the tensors' names."""
    changes = dict(zip(sorted(model), mean, strict=True))
    return {
        name: (tensor.double() + torch.from_numpy(changes[name]).to(tensor.device)).to(tensor.dtype)
        for name, tensor in model.items()
    }
