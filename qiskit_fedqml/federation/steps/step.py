"""What a client step is."""

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from qiskit_fedqml.federation.messages import State

BatchLosses = Callable[[], torch.Tensor]
"""Gives each client's mean loss over its batch, shape (clients,), as torch differentiates it."""


class ClientStep(Protocol):
    """How one batch of a client changes the model: which examples it holds, and the gradients that it gives.

    The client's optimiser then takes the step. Steps compose by wrapping, as
    :class:`~qiskit_fedqml.federation.steps.fedprox.FedProx` wraps another one.
    """

    def batches(self, num_examples: int, batch_size: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
        """Return the batches of one local epoch, each as positions among the client's examples.

        Args:
            num_examples: Examples that the client holds.
            batch_size: The configured size, from 1.
            rng: Draws the order; its seed is the client's, in this round and local epoch.
        """
        ...

    def add_gradients(self, model: nn.Module, start: State, features: torch.Tensor, labels: torch.Tensor) -> float:
        """Leave the step's gradients in the ``grad`` of the model's parameters, which are empty before.

        Args:
            model: The model in training mode; it gives logits of shape (batch, classes).
            start: The global model from which the client started, by parameter name.
            features: float32 of shape (batch, features).
            labels: Class indices, shape (batch,).

        Returns:
            The mean loss over the batch, without regularisation.
        """
        ...


@runtime_checkable
class DrawingStep(ClientStep, Protocol):
    """A client step that draws what no other task may draw, and so makes one of its kind for each."""

    def for_task(self, seed: int, server_step: int, client: int) -> ClientStep:
        """Return the step of one task.

        Args:
            seed: The run's seed.
            server_step: The task's server step, from 1.
            client: Its client.
        """
        ...


@runtime_checkable
class StackedStep(ClientStep, Protocol):
    """A client step that can be taken by several clients at once, each with weights of its own.

    All trained numbers of a client are one row of a tensor, and so are their gradients.
    """

    def add_stacked_gradients(
        self, losses: BatchLosses, values: torch.Tensor, start: torch.Tensor, gradients: torch.Tensor
    ) -> torch.Tensor:
        """Leave the step's gradients, which are 0 before, as :meth:`add_gradients` does for one client.

        Args:
            losses: Gives the clients' losses; a backward pass of their sum adds to ``gradients``.
            values: The clients' trained numbers, shape (clients, numbers).
            start: What they started from, of the same shape.
            gradients: Of the same shape.

        Returns:
            Each client's mean loss over its batch, without regularisation, shape (clients,).
        """
        ...
