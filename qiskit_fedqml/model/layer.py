"""The quantum layer: a ``TorchConnector`` that asks its network for values and Jacobian at once."""

import math
from typing import Any, cast

import numpy as np
import torch
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.exceptions import QiskitMachineLearningError
from torch import nn

from qiskit_fedqml.backends.base import Backend
from qiskit_fedqml.circuits.arrays import Array
from qiskit_fedqml.circuits.showing import circuit_as_html
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.circuit import Wanted
from qiskit_fedqml.errors import CircuitError, TrainingError
from qiskit_fedqml.model.derivatives import differentiable_gradient
from qiskit_fedqml.model.qnn import Answer, BroadcastEstimatorQNN


class _Answered(torch.autograd.Function):
    """The network's answer as what torch differentiates: its Jacobian is known when the backward pass comes."""

    @staticmethod
    def forward(
        ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, qnn: BroadcastEstimatorQNN, answer: Answer
    ) -> torch.Tensor:
        outputs = _tensor(answer.values, weight, inputs)
        if answer.jacobian is not None:
            ctx.qnn, ctx.answer = qnn, answer
            ctx.jacobian = _tensor(answer.jacobian, weight, inputs)
            ctx.input_shape = inputs.shape
            ctx.save_for_backward(inputs, weight)  # looked at only where the gradient is to be differentiated again
        return outputs if inputs.ndim == 2 else outputs.reshape(*inputs.shape[:-1], *qnn.output_shape)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        jacobian, num_inputs = ctx.jacobian, ctx.qnn.num_inputs
        batch, num_outputs, _ = jacobian.shape
        upstream = grad_outputs[0].reshape(batch, 1, num_outputs)
        if torch.is_grad_enabled():
            grads = _twice_differentiable(ctx, upstream[:, 0])
        else:
            grads = torch.bmm(upstream, jacobian)[:, 0]  # of each sample: (batch, inputs + weights)
        of_inputs, of_weights = ctx.needs_input_grad[:2]
        return (
            grads[:, :num_inputs].reshape(ctx.input_shape) if of_inputs else None,
            grads[:, num_inputs:].sum(0) if of_weights else None,
            None,
            None,
        )


def _twice_differentiable(ctx: Any, upstream: torch.Tensor) -> torch.Tensor:
    """Return the gradient of each sample, shape (batch, inputs + weights), with a graph."""
    inputs, weight = ctx.saved_tensors
    batch = inputs.reshape(len(upstream), ctx.qnn.num_inputs).double()
    weights = weight.double().to(inputs.device).expand(len(batch), -1)
    parameters = torch.cat([batch, weights], dim=1)
    answer = ctx.answer
    return differentiable_gradient(upstream.double(), parameters, answer.of_angles, ctx.qnn, answer.of)


class QuantumLayer(TorchConnector):
    """A ``TorchConnector`` that lets its network know whether gradients are wanted, and keeps its weights once.

    The stock connector evaluates the network twice, forward and backward; this one asks for values and Jacobian at
    once, and for values alone under ``torch.no_grad()`` or when nothing requires a gradient. Its state dict holds
    ``weight`` only, where the stock one holds the same tensor as ``_weights`` too; checkpoints of the stock one load.

    Gradients can be differentiated again (``create_graph=True``), exactly and to any order, except on devices. A second
    derivative takes 2·k evaluations of the Jacobian for each example, all in one job, where k is the number of gate
    angles in whose direction the gradient is differentiated: of the paper's circuit 8 for the gradient with respect to
    the inputs and 26 for all; each further order takes 2·26 times as many.

    Args:
        neural_network: The network to evaluate.
        initial_weights: Initial weights in radians, shape (weights,).

    Attributes:
        inputs_are_data: Whether derivatives with respect to inputs that require none are left out, so that fewer
            circuits run. Otherwise they are there for :meth:`jacobian`, at no further evaluation.

    Raises:
        CircuitError: The weights are not real numbers.
    """

    inputs_are_data = False

    def __init__(self, neural_network: BroadcastEstimatorQNN, initial_weights: Array | torch.Tensor) -> None:
        super().__init__(neural_network, initial_weights=_as_array(initial_weights))
        # TorchConnector registers one tensor under two names; the second would be saved, and averaged, too.
        del self._parameters["_weights"]
        self._last: Answer | None = None

    def __getattr__(self, name: str) -> Any:
        if name == "_weights" and "_last" in self.__dict__:  # not before the parameter is registered
            name = "weight"
        return super().__getattr__(name)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    @property
    def neural_network(self) -> BroadcastEstimatorQNN:
        """The network that the layer evaluates."""
        return cast(BroadcastEstimatorQNN, self._neural_network)

    def extra_repr(self) -> str:
        """Return what torch writes between the brackets."""
        return self.neural_network.in_words()

    def _repr_html_(self) -> str:
        return circuit_as_html(self.neural_network.circuit, repr(self))

    def draw(self, output: str | None = None, **options: Any) -> Any:
        """Draw the circuit, as Qiskit's ``QuantumCircuit.draw`` does.

        Args:
            output: ``"text"``, ``"mpl"``, …; None takes Qiskit's default.
            options: The drawer's own.
        """
        return self.neural_network.circuit.draw(output, **options)

    def forward(self, input_data: torch.Tensor) -> torch.Tensor:
        """Return the outputs, shape (…, outputs), for inputs of shape (…, inputs).

        They are float32, or float64 where the weights are (after ``layer.double()``).

        Raises:
            QiskitMachineLearningError: The last dimension is not the number of inputs.
            NotFiniteError: A value is not finite.
            CircuitError: The inputs are complex.
        """
        weight = self._parameters["weight"]
        # Asked here, because inside an autograd function the gradient mode is always off.
        wanted = torch.is_grad_enabled() and (input_data.requires_grad or weight.requires_grad)
        of_inputs = input_data.requires_grad or not self.inputs_are_data
        of: Wanted = "inputs" if not weight.requires_grad else "all" if of_inputs else "weights"
        answer = self._ask(input_data, jacobian=wanted, of=of)
        self.__dict__["_last"] = answer  # past torch's own bookkeeping, which takes its time
        return cast(torch.Tensor, _Answered.apply(input_data, weight, self._neural_network, answer))

    def jacobian(self, input_data: torch.Tensor) -> torch.Tensor:
        """Return the outputs' derivatives, shape (…, outputs, inputs + weights), for inputs of shape (…, inputs).

        Where these inputs are those of the last forward pass, with the same weights, its derivatives are returned, and
        nothing is evaluated: so the gradients of single examples, ``einsum("no,now->nw", upstream, jacobian)``, cost no
        second evaluation, and have the shots of the loss.

        Raises:
            QiskitMachineLearningError: The last dimension is not the number of inputs.
            NotFiniteError: A value is not finite.
            CircuitError: The inputs are complex.
        """
        return self._jacobian(input_data, "all")

    def example_gradients(self, input_data: torch.Tensor, upstream: torch.Tensor) -> dict[nn.Parameter, torch.Tensor]:
        """Return each example's gradient of the weights, as Opacus expects it, from the last forward pass.

        Args:
            input_data: Shape (batch, inputs); nothing is evaluated where it is that of the last forward pass.
            upstream: Derivatives of the loss with respect to the outputs, shape (batch, outputs).

        Returns:
            ``weight`` with the gradients, shape (batch, weights).

        Raises:
            NotFiniteError: As :meth:`jacobian`.
        """
        of_weights = self._jacobian(input_data, "weights")[..., self.neural_network.num_inputs :]
        return {cast(nn.Parameter, self.weight): torch.einsum("no,now->nw", upstream, of_weights)}

    def _jacobian(self, input_data: torch.Tensor, of: Wanted) -> torch.Tensor:
        last, qnn = self._last, self.neural_network
        batch, weights = self._arrays(input_data)
        parameters = np.concatenate([batch, np.broadcast_to(weights, (len(batch), len(weights)))], axis=1)
        is_known = last is not None and last.jacobian is not None and last.of in ("all", of)
        if last is None or not is_known or not np.array_equal(parameters, last.parameters):
            self._last = last = self._ask(input_data, jacobian=True, of=of)
        jacobian = _tensor(cast(Array, last.jacobian), self.weight, input_data)
        return jacobian.reshape(*input_data.shape[:-1], *qnn.output_shape, parameters.shape[1])

    def _ask(self, inputs: torch.Tensor, *, jacobian: bool, of: Wanted) -> Answer:
        return self.neural_network.ask(*self._arrays(inputs), jacobian=jacobian, of=of)

    def _arrays(self, inputs: torch.Tensor) -> tuple[Array, Array]:
        """Return inputs of shape (batch, inputs) and weights of shape (weights,)."""
        num_inputs = self._neural_network.num_inputs
        if not inputs.ndim or inputs.shape[-1] != num_inputs:
            raise QiskitMachineLearningError(
                f"Invalid input dimension! Received {tuple(inputs.shape)} and expected (…, {num_inputs})."
            )
        if inputs.is_complex():
            raise CircuitError(f"The layer's inputs must be real, but are of {inputs.dtype}.")
        batch = inputs if inputs.ndim == 2 else inputs.reshape(math.prod(inputs.shape[:-1]), num_inputs)
        return _array(batch), _array(self._parameters["weight"])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Take a checkpoint of the stock connector, which holds one tensor under two names.

        Raises:
            TrainingError: The two are not equal.
        """
        twin = state_dict.pop(f"{prefix}_weights", None)
        weight = twin if twin is None else state_dict.setdefault(f"{prefix}weight", twin)
        if isinstance(twin, torch.Tensor) and isinstance(weight, torch.Tensor) and not _equal(twin, weight):
            raise TrainingError(
                f"The state dict holds {prefix}weight and {prefix}_weights, which are two names of the same weights, "
                "with different values."
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


def _array(tensor: torch.Tensor) -> Array:
    """Return a tensor's numbers; float32 as they are, because the network copies them into an array of float64."""
    if tensor.dtype not in (torch.float32, torch.float64):  # of which NumPy may not have a kind
        tensor = tensor.cpu().double()
    return cast(Array, tensor.numpy(force=True))


def _tensor(array: Array, weight: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Return numbers as float64 if the weights are float64, otherwise as float32, on the inputs' torch device."""
    tensor = torch.from_numpy(array if weight.dtype == torch.float64 else array.astype(np.float32))
    return tensor if inputs.is_cpu else tensor.to(inputs.device)


def _equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    return first.shape == second.shape and torch.allclose(first.to(second), second, rtol=0.0, atol=0.0, equal_nan=True)


def uniform_angles(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw angles uniformly from [−π, π), float32 of shape (count,)."""
    return (2 * torch.rand(count, generator=generator) - 1) * torch.pi


def _as_array(weights: Array | torch.Tensor) -> Array:
    array = weights.detach().cpu().numpy() if isinstance(weights, torch.Tensor) else np.asarray(weights)
    if array.dtype.kind not in "fiu":
        raise CircuitError(f"Argument `initial_weights` must be real numbers, but is of {array.dtype}.")
    return array.astype(float)


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
        CircuitError: ``initial_weights`` has another shape than (weights,), or is not real numbers.
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
