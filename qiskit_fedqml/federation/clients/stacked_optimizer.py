"""One of torch's optimisers for several clients: it acts on each number on its own, and so on each client's."""

from collections.abc import Sequence

import torch
from torch import nn

from qiskit_fedqml.config.experiment import FederationConfig
from qiskit_fedqml.federation.clients.optimizers import make_optimizer
from qiskit_fedqml.federation.messages import ClientTask, State, States
from qiskit_fedqml.model.stacked import StackedClassifier

_ALL = "all"


class StackedOptimizer:
    """Takes the steps of clients that have taken equally many before: a count of steps is one number for all of them.

    Args:
        config: The `federation` section.
        stack: The clients' models.
        tasks: The clients' tasks, in the order of the stack; what they keep is copied.
    """

    def __init__(self, config: FederationConfig, stack: StackedClassifier, tasks: Sequence[ClientTask]) -> None:
        self._stack = stack
        self._parameter = nn.Parameter(stack.values)
        kept: States = {}
        for slot, state in tasks[0].client_states.items():
            first = next(iter(state.values()))
            rows = (stack.row_of(task.client_states[slot]) for task in tasks)
            kept[slot] = {_ALL: torch.stack(list(rows)) if first.dim() else first}
        self._optimizer = make_optimizer(config, {_ALL: self._parameter}, tasks[0].server_step, kept)
        self._whole: State = {}
        self._counts: dict[int, State] = {}

    def step(self) -> None:
        """Take a step of the clients that take part, with their gradients."""
        self._parameter.grad = self._stack.gradients[: self._stack.count]
        self._optimizer.step()

    def take_part(self, count: int) -> None:
        """Let only the first clients of the stack take part in what follows."""
        state = self._optimizer.state[self._parameter]
        tensors = {slot: tensor for slot, tensor in state.items() if isinstance(tensor, torch.Tensor)}
        counts = {slot: tensor.clone() for slot, tensor in tensors.items() if not tensor.dim()}
        self._whole = self._whole or {slot: tensor for slot, tensor in tensors.items() if tensor.dim()}
        self._counts |= dict.fromkeys(range(count, self._stack.count), counts)
        self._stack.take_part(count)
        self._parameter.grad = None
        self._parameter.data = self._stack.values[:count]
        state.update({slot: tensor[:count] for slot, tensor in self._whole.items()})

    def states_of(self, client: int) -> States:
        """Return a copy of what a client that has ended keeps: for each of torch's names, tensors by parameter."""
        states = {slot: self._stack.state_of(client, tensor) for slot, tensor in self._whole.items()}
        names = self._stack.names
        return states | {slot: {name: of.clone() for name in names} for slot, of in self._counts[client].items()}
