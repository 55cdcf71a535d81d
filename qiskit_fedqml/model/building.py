"""A configuration's model, built with its initial weights."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from qiskit_fedqml.backends.base import Backend
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.model import ModelConfig
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.model.circuit import circuit_for
from qiskit_fedqml.model.classifier import FeatureScaling, HybridClassifier, MatchedClassicalLayer
from qiskit_fedqml.model.heads import build_head
from qiskit_fedqml.model.layer import QuantumLayer, quantum_layer, uniform_angles
from qiskit_fedqml.model.losses import open_loss
from qiskit_fedqml.model.qnn import BroadcastEstimatorQNN
from qiskit_fedqml.seeds import derive_seed, torch_generator


def initial_circuit_weights(spec: CircuitSpec, seed: int) -> torch.Tensor:
    """Draw a circuit's initial weights, uniform in [−π, π), shape (weights,)."""
    return uniform_angles(spec.num_weights, torch_generator(derive_seed(seed, "initial circuit weights")))


@dataclass(frozen=True)
class Blueprint:
    """All that a model is built from but the backend that evaluates its circuit; plain values, so they can travel.

    Args:
        seed: The run's seed.
        config: The `model` section.
        spec: The circuit, from :func:`circuit_for`; None with ``quantum: none``.
        num_features: Number of features of an example.
        num_classes: Number of classes.
        mean: Subtracted from features, shape (features,) or (1,).
        deviation: Divides features, shape (features,) or (1,).
    """

    seed: int
    config: ModelConfig
    spec: CircuitSpec | None
    num_features: int
    num_classes: int
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        seed: int,
        config: ModelConfig,
        num_features: int,
        num_classes: int,
        scaling: tuple[NDArray[np.float64], NDArray[np.float64]],
    ) -> "Blueprint":
        """Return what the models of a configuration are built from.

        Args:
            seed: The run's seed.
            config: The `model` section.
            num_features: Number of features of an example.
            num_classes: Number of classes.
            scaling: Mean and deviation of the features.

        Raises:
            ConfigurationError: As :func:`circuit_for`.
        """
        spec = None if config.quantum == "none" else circuit_for(config, num_classes)
        return cls(seed, config, spec, num_features, num_classes, *scaling)

    @property
    def has_circuit(self) -> bool:
        """Whether a circuit is evaluated."""
        return self.config.has_circuit

    @property
    def circuit(self) -> CircuitSpec:
        """The circuit of a model that has one, or whose classical layer takes the place of one."""
        assert self.spec is not None
        return self.spec

    def layer_on(self, backend: Backend) -> QuantumLayer:
        """Return the quantum layer on a backend, with the circuit's initial weights; its loops are compiled.

        Raises:
            BackendError: The circuit does not fit the backend.
        """
        layer = quantum_layer(self.circuit, backend, initial_weights=initial_circuit_weights(self.circuit, self.seed))
        layer.neural_network.prepare()
        return self._placed(layer)

    def layer_of(self, network: BroadcastEstimatorQNN) -> QuantumLayer:
        """Return the quantum layer of a network of the circuit, with the circuit's initial weights."""
        return self._placed(QuantumLayer(network, initial_circuit_weights(self.circuit, self.seed)))

    def _placed(self, layer: QuantumLayer) -> QuantumLayer:
        layer.inputs_are_data = self.config.derivatives == "weights"
        return layer.to(self.config.device).requires_grad_(self.config.quantum == "trainable")

    def build(self, layer: QuantumLayer | None, *, initial_head: bool = False) -> HybridClassifier:
        """Build the model.

        Args:
            layer: Evaluates the circuit; None without one.
            initial_head: Whether the built-in head has its initial weights. Otherwise they are whatever the memory
                holds, since drawing them takes seconds with Table I's widths.

        Raises:
            ConfigurationError: No classical layer has as many parameters as the circuit, a head or a loss of the user's
                own does not fit, or nothing would be trained.
        """
        last: nn.Module = nn.Identity()
        if self.spec is not None:
            last = build_classical_layer(self.spec, self.seed) if layer is None else layer
        num_outputs = self.num_classes if self.spec is None else self.spec.num_inputs
        head = build_head(self.num_features, self.config, num_outputs, self.seed, is_initial=initial_head)
        loss = open_loss(self.config, self.num_classes)
        model = HybridClassifier(FeatureScaling(self.mean, self.deviation), head, last, loss)
        if not model.trainable_state():
            raise ConfigurationError("`model.head` has no parameters, and no circuit is trained: nothing would be.")
        return model.to(self.config.device)


def build_classical_layer(spec: CircuitSpec, seed: int) -> MatchedClassicalLayer:
    """Build the classical control of the quantum layer."""
    return MatchedClassicalLayer(spec, torch_generator(derive_seed(seed, "initial classical layer")))
