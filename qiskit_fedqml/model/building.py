"""A configuration's model, built with its initial weights."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from qiskit_fedqml.backends.base import Backend
from qiskit_fedqml.circuits.paper import paper_circuit
from qiskit_fedqml.circuits.qcnn import qcnn_circuit
from qiskit_fedqml.circuits.qpy_files import read_circuit
from qiskit_fedqml.circuits.reuploading import reuploading_circuit
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.circuits.tree import tree_circuit
from qiskit_fedqml.config.circuit import PaperAnsatz, QcnnAnsatz, QpyCircuit, ReuploadingAnsatz, TreeAnsatz
from qiskit_fedqml.config.experiment import ModelConfig
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.parts import make_part
from qiskit_fedqml.errors import CircuitError, ConfigurationError
from qiskit_fedqml.model.classifier import FeatureScaling, HybridClassifier, MatchedClassicalLayer, uniform
from qiskit_fedqml.model.dropout import SeededDropout
from qiskit_fedqml.model.layer import QuantumLayer, quantum_layer, uniform_angles
from qiskit_fedqml.model.linear import OneDnnLinear
from qiskit_fedqml.model.memory import check_head_fits
from qiskit_fedqml.model.qnn import BroadcastEstimatorQNN
from qiskit_fedqml.seeds import derive_seed, torch_generator


def circuit_for(config: ModelConfig, num_classes: int) -> CircuitSpec:
    """Return the circuit of a model.

    Raises:
        ConfigurationError: There are more classes than qubits, or too many to halve the qubits; or a circuit of the
            user's own cannot be read or made, or has not as many outputs as there are classes.
    """
    circuit = config.circuit
    if isinstance(circuit, QpyCircuit | PythonReference):
        spec = read_circuit(circuit) if isinstance(circuit, QpyCircuit) else _made(circuit)
        if spec.num_outputs != num_classes:
            raise ConfigurationError(
                f"The data have {num_classes} classes, but the circuit of `model.circuit` has {spec.num_outputs} "
                "observables: it must have one for each class."
            )
        return spec
    if num_classes > circuit.num_qubits:
        raise ConfigurationError(
            f"The data have {num_classes} classes, but `model.circuit.num_qubits` is {circuit.num_qubits}: each class "
            "needs a qubit of its own to be read from."
        )
    try:
        match circuit:
            case PaperAnsatz(num_qubits=n, num_layers=layers, entanglement=entanglement):
                return paper_circuit(n, layers, entanglement, num_classes)
            case ReuploadingAnsatz(num_qubits=n, num_layers=layers, entanglement=entanglement):
                return reuploading_circuit(n, layers, entanglement, num_classes)
            case QcnnAnsatz(num_qubits=n):
                return qcnn_circuit(n, num_classes)
            case TreeAnsatz(num_qubits=n):
                return tree_circuit(n, num_classes)
    except CircuitError as error:
        raise ConfigurationError(f"`model.circuit` with the data's {num_classes} classes: {error}") from error


def _made(reference: PythonReference) -> CircuitSpec:
    """Return the circuit that a function of the user's own makes."""
    try:
        spec = make_part(reference, "model.circuit")
    except CircuitError as error:
        raise ConfigurationError(f"`model.circuit`: {reference.python!r}: {error}") from error
    if not isinstance(spec, CircuitSpec):
        raise ConfigurationError(
            f"`model.circuit`: {reference.python!r} must return a CircuitSpec, but returned a {type(spec).__name__}."
        )
    return spec


def initial_circuit_weights(spec: CircuitSpec, seed: int) -> torch.Tensor:
    """Draw a circuit's initial weights, uniform in [−π, π), shape (weights,)."""
    return uniform_angles(spec.num_weights, torch_generator(derive_seed(seed, "initial circuit weights")))


@dataclass(frozen=True)
class Blueprint:
    """All that a model is built from but the backend that evaluates its circuit; plain values, so they can travel.

    Args:
        seed: The run's seed.
        config: The `model` section.
        spec: The circuit, from :func:`circuit_for`.
        num_features: Number of features of an example.
        mean: Subtracted from features, shape (features,) or (1,).
        deviation: Divides features, shape (features,) or (1,).
    """

    seed: int
    config: ModelConfig
    spec: CircuitSpec
    num_features: int
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @property
    def has_circuit(self) -> bool:
        """Whether a circuit is evaluated, and not its classical control."""
        return self.config.quantum != "classical"

    def layer_on(self, backend: Backend) -> QuantumLayer:
        """Return the quantum layer on a backend, with the circuit's initial weights.

        Raises:
            BackendError: The circuit does not fit the backend.
        """
        layer = quantum_layer(self.spec, backend, initial_weights=initial_circuit_weights(self.spec, self.seed))
        return self._placed(layer)

    def layer_of(self, network: BroadcastEstimatorQNN) -> QuantumLayer:
        """Return the quantum layer of a network of the circuit, with the circuit's initial weights."""
        return self._placed(QuantumLayer(network, initial_circuit_weights(self.spec, self.seed)))

    def _placed(self, layer: QuantumLayer) -> QuantumLayer:
        return layer.to(self.config.device).requires_grad_(self.config.quantum == "trainable")

    def build(self, layer: QuantumLayer | None, *, initial_head: bool = False) -> HybridClassifier:
        """Build the model.

        Args:
            layer: Evaluates the circuit; None with ``quantum: classical``.
            initial_head: Whether the head has its initial weights. Otherwise they are whatever the memory holds, since
                drawing them takes seconds with Table I's widths.

        Raises:
            ConfigurationError: No classical layer has as many parameters as the circuit.
        """
        last = build_classical_layer(self.spec, self.seed) if layer is None else layer
        seed = self.seed if initial_head else None
        head = build_head(self.num_features, self.config, self.spec.num_inputs, seed)
        model = HybridClassifier(FeatureScaling(self.mean, self.deviation), head, last)
        return model.to(self.config.device)


def build_head(num_features: int, config: ModelConfig, num_outputs: int, seed: int | None) -> nn.Sequential:
    """Build the trainable head of Table I: Linear–ReLU–Dropout for each hidden width, then Linear to the circuit.

    Weights and biases start as in torch's ``Linear``, but draw from a seeded generator; without a seed they are left
    as the memory holds them.

    Args:
        num_features: Number of features of an example.
        config: The `model` section.
        num_outputs: Number of the circuit's inputs.
        seed: The run's seed, or None.

    Raises:
        ConfigurationError: It takes more memory than this computer has.
    """
    check_head_fits([num_features, *config.hidden, num_outputs])
    generator = None if seed is None else torch_generator(derive_seed(seed, "initial head"))
    widths = [num_features, *config.hidden]
    modules: list[nn.Module] = []
    for width, following in pairwise(widths):
        modules += [_linear(width, following, generator), nn.ReLU(), SeededDropout(config.dropout)]
    return nn.Sequential(*modules, _linear(widths[-1], num_outputs, generator))


def build_classical_layer(spec: CircuitSpec, seed: int) -> MatchedClassicalLayer:
    """Build the classical control of the quantum layer."""
    return MatchedClassicalLayer(spec, torch_generator(derive_seed(seed, "initial classical layer")))


def _linear(num_inputs: int, num_outputs: int, generator: torch.Generator | None) -> OneDnnLinear:
    linear = OneDnnLinear(num_inputs, num_outputs, device="meta")  # where torch's own start draws nothing
    shapes = {"weight": (num_outputs, num_inputs), "bias": (num_outputs,)}
    for name, shape in shapes.items():
        values = torch.empty(shape) if generator is None else uniform(shape, num_inputs, generator)
        setattr(linear, name, nn.Parameter(values))
    return linear
