"""The hybrid classifier: scaled features, the paper's trainable head (Table I), and a quantum layer or its control."""

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.model.dropout import SeededDropout
from qiskit_fedqml.model.layer import QuantumLayer
from qiskit_fedqml.model.linear import uniform
from qiskit_fedqml.model.losses import Loss
from qiskit_fedqml.model.own_head import OwnHead
from qiskit_fedqml.model.qnn import BroadcastEstimatorQNN


class FeatureScaling(nn.Module):
    """Shifts and scales features; its two buffers are saved with the model and are not trained.

    Args:
        mean: Subtracted, shape (features,) or (1,).
        deviation: Divided by, shape (features,) or (1,).
    """

    def __init__(self, mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("deviation", torch.as_tensor(deviation, dtype=torch.float32))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return scaled features."""
        return (features - cast(torch.Tensor, self.mean)) / cast(torch.Tensor, self.deviation)


class MatchedClassicalLayer(nn.Module):
    """A control for the quantum layer: a tanh network of exactly as many parameters, with outputs in [−1, 1] as well.

    It has ``num_weights // (inputs + outputs)`` hidden units without biases; what is left of the count becomes biases
    of the first hidden units. Where more is left than they can have, it becomes one more hidden unit, without a bias
    and connected to the first inputs only. For the paper's circuit: 4 → 4 → 2, 24 parameters, no bias.

    Args:
        spec: The circuit that it replaces.
        generator: Draws the initial weights, uniform as torch's ``Linear`` has them.

    Raises:
        ConfigurationError: The circuit has too few weights for one hidden unit, or as many are left as are neither
            biases nor a unit.
    """

    def __init__(self, spec: CircuitSpec, generator: torch.Generator) -> None:
        super().__init__()
        num_hidden, left = divmod(spec.num_weights, spec.num_inputs + spec.num_outputs)
        if num_hidden < 1 or num_hidden < left <= spec.num_outputs:
            raise ConfigurationError(
                f"`model.quantum: classical` cannot match {spec.num_weights} weights with {spec.num_inputs} inputs and "
                f"{spec.num_outputs} outputs: choose another size of `model.circuit`."
            )
        num_connections = left - spec.num_outputs if left > num_hidden else 0
        num_biases, num_units = (0, num_hidden + 1) if num_connections else (left, num_hidden)
        self.first = nn.Parameter(uniform((num_hidden, spec.num_inputs), spec.num_inputs, generator))
        self.bias = nn.Parameter(uniform((num_biases,), spec.num_inputs, generator))
        self.second = nn.Parameter(uniform((spec.num_outputs, num_units), num_units, generator))
        if num_connections:
            self.partial = nn.Parameter(uniform((num_connections,), num_connections, generator))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return outputs in [−1, 1], shape (batch, outputs)."""
        weight: torch.Tensor = self.first
        if "partial" in self._parameters:
            unit = nn.functional.pad(self.partial, (0, weight.shape[1] - len(self.partial)))
            weight = torch.cat([weight, unit[None]])
        bias = nn.functional.pad(self.bias, (0, len(weight) - len(self.bias)))
        hidden = torch.tanh(nn.functional.linear(inputs, weight, bias))
        return torch.tanh(nn.functional.linear(hidden, self.second))


class HybridClassifier(nn.Module):
    """Features to logits: scaling, Linear–ReLU–Dropout blocks, a last Linear, and the quantum layer (Fig. 2, Table I).

    The circuit's logits are its expectation values themselves, one Z for each class, so the two-class cross-entropy is
    at least ln(1 + e⁻²) = 0.127.

    Args:
        scaling: Scales the features.
        head: The classical part, from features to the circuit's inputs; without a circuit, to the logits.
        quantum: The quantum layer, its control, or nothing, which leaves its input as it is.
        loss: What training makes small.
    """

    def __init__(
        self, scaling: FeatureScaling, head: nn.Module, quantum: nn.Module, loss: Loss = cross_entropy
    ) -> None:
        super().__init__()
        self.scaling = scaling
        self.head = head
        self.quantum = quantum
        self.loss = loss

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (batch, classes), for features of shape (batch, features)."""
        return cast(torch.Tensor, self.quantum(self.head(self.scaling(features))))

    @property
    def network(self) -> BroadcastEstimatorQNN | None:
        """What evaluates the circuit; None without one."""
        return self.quantum.neural_network if isinstance(self.quantum, QuantumLayer) else None

    def use_quantum_layer(self, layer: QuantumLayer) -> None:
        """Let another backend's layer evaluate the circuit, with the weights that this model has now."""
        current = self.quantum
        if isinstance(current, QuantumLayer) and layer is not current:
            with torch.no_grad():
                layer.weight.copy_(current.weight)
            self.quantum = layer

    def use_dropout_generator(self, generator: torch.Generator) -> None:
        """Let all dropout, and whatever a head of the user's own draws, draw from ``generator``."""
        for module in self.modules():
            if isinstance(module, SeededDropout | OwnHead):
                module.generator = generator

    def trainable_state(self) -> dict[str, torch.Tensor]:
        """Return the tensors that are trained, and so travel between server and clients, by name; not copies."""
        return {name: p.detach() for name, p in self.named_parameters() if p.requires_grad}

    def load_trainable_state(self, state: dict[str, torch.Tensor]) -> None:
        """Copy trained tensors into the model."""
        own = self.trainable_state()
        for name, tensor in state.items():
            own[name].copy_(tensor)

    def adopt_trainable_state(self, state: dict[str, torch.Tensor]) -> None:
        """Make trained tensors the model's own, without a copy; for a model that is never trained."""
        parameters = dict(self.named_parameters())
        for name, tensor in state.items():
            parameters[name].data = tensor
