"""The quantum layer: a ``TorchConnector`` that asks its network for values and Jacobian at once."""

import math
from typing import Any, cast

import numpy as np
import torch
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.exceptions import QiskitMachineLearningError

from qiskit_fedqml.backends.base import Backend
from qiskit_fedqml.circuits.arrays import Array
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.errors import CircuitError
from qiskit_fedqml.model.qnn import BroadcastEstimatorQNN


class _Evaluate(torch.autograd.Function):
    """Values in the forward pass, with the Jacobian in the same job when a gradient will be asked for."""

    @staticmethod
    def forward(
        ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, qnn: BroadcastEstimatorQNN, wanted: bool
    ) -> torch.Tensor:
        batch = inputs.detach().reshape(math.prod(inputs.shape[:-1]), qnn.num_inputs).cpu().double().numpy()
        of_weights = weight.requires_grad
        values, jacobian = qnn.evaluate(
            batch, weight.detach().cpu().double().numpy(), jacobian=wanted, of_weights=of_weights
        )
        outputs = torch.as_tensor(values, dtype=torch.float, device=inputs.device)
        if jacobian is not None:
            ctx.num_inputs, ctx.input_shape = qnn.num_inputs, inputs.shape
            ctx.save_for_backward(torch.as_tensor(jacobian, dtype=torch.float, device=inputs.device))
        return outputs.reshape(*inputs.shape[:-1], *qnn.output_shape)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (jacobian,) = ctx.saved_tensors
        upstream = grad_outputs[0].reshape(len(jacobian), 1, jacobian.shape[1])
        grads = torch.bmm(upstream, jacobian)[:, 0]  # of each sample: (batch, inputs + weights)
        input_grad = weight_grad = None
        if ctx.needs_input_grad[0]:
            input_grad = grads[:, : ctx.num_inputs].reshape(ctx.input_shape)
        if ctx.needs_input_grad[1]:
            weight_grad = grads[:, ctx.num_inputs :].sum(0)
        return input_grad, weight_grad, None, None


class QuantumLayer(TorchConnector):
    """A ``TorchConnector`` that tells its network whether gradients are wanted, and keeps its weights once.

    The stock connector evaluates the network twice, forward and backward; this one asks for values and Jacobian at
    once, and for values alone under ``torch.no_grad()`` or when nothing requires a gradient. Its state dict holds
    ``weight`` only, where the stock one holds the same tensor as ``_weights`` too.

    Args:
        neural_network: The network to evaluate.
        initial_weights: Initial weights in radians, shape (weights,).
    """

    def __init__(self, neural_network: BroadcastEstimatorQNN, initial_weights: Array | torch.Tensor) -> None:
        super().__init__(neural_network, initial_weights=_as_array(initial_weights))
        # TorchConnector registers one tensor under two names; as a plain attribute the second is not saved or averaged.
        self.__dict__["_weights"] = self._parameters.pop("_weights")

    @property
    def neural_network(self) -> BroadcastEstimatorQNN:
        """The network that the layer evaluates."""
        return cast(BroadcastEstimatorQNN, self._neural_network)

    def forward(self, input_data: torch.Tensor) -> torch.Tensor:
        """Return the outputs, float32 of shape (…, outputs), for inputs of shape (…, inputs).

        Raises:
            QiskitMachineLearningError: The last dimension is not the number of inputs.
            NotFiniteError: A value is not finite.
        """
        qnn = self.neural_network
        if not input_data.ndim or input_data.shape[-1] != qnn.num_inputs:
            raise QiskitMachineLearningError(
                f"Invalid input dimension! Received {tuple(input_data.shape)} and expected (…, {qnn.num_inputs})."
            )
        weight = self._parameters["weight"]
        # Asked here, because inside an autograd function the gradient mode is always off.
        wanted = torch.is_grad_enabled() and (input_data.requires_grad or weight.requires_grad)
        return cast(torch.Tensor, _Evaluate.apply(input_data, weight, qnn, wanted))


def uniform_angles(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw angles uniformly from [−π, π), float32 of shape (count,)."""
    return (2 * torch.rand(count, generator=generator) - 1) * torch.pi


def _as_array(weights: Array | torch.Tensor) -> Array:
    return weights.detach().cpu().double().numpy() if isinstance(weights, torch.Tensor) else np.asarray(weights, float)


def quantum_layer(
    spec: CircuitSpec,
    backend: Backend,
    *,
    initial_weights: Array | torch.Tensor | None = None,
    generator: torch.Generator | None = None,
) -> QuantumLayer:
    """Build a quantum layer, inputs (batch, inputs) to outputs (batch, observables), on a backend.

    Args:
        spec: The circuit, the roles of its parameters, and the observables.
        backend: Evaluates the circuit.
        initial_weights: Initial weights in radians, shape (weights,). By default uniform in [−π, π).
        generator: Draws the default initial weights; by default a new one seeded with 0.

    Raises:
        CircuitError: ``initial_weights`` has another shape than (weights,).
    """
    qnn = BroadcastEstimatorQNN(
        circuit=spec.circuit,
        observables=list(spec.observables),
        input_params=spec.input_params,
        weight_params=spec.weight_params,
        input_gradients=True,
        backend=backend,
    )
    if initial_weights is None:
        initial_weights = uniform_angles(spec.num_weights, generator or torch.Generator().manual_seed(0))
    if tuple(np.shape(initial_weights)) != (spec.num_weights,):
        raise CircuitError(
            f"Argument `initial_weights` must have shape ({spec.num_weights},), "
            f"but got {tuple(np.shape(initial_weights))}."
        )
    return QuantumLayer(qnn, initial_weights)
