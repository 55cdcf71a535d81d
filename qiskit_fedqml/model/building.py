"""A configuration's model, built with its initial weights."""

from itertools import pairwise
from typing import cast

import torch
from torch import nn

from qiskit_fedqml.circuits.paper import paper_circuit
from qiskit_fedqml.circuits.qcnn import qcnn_circuit
from qiskit_fedqml.circuits.reuploading import reuploading_circuit
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.circuits.tree import tree_circuit
from qiskit_fedqml.config.circuit import PaperAnsatz, QcnnAnsatz, ReuploadingAnsatz, TreeAnsatz
from qiskit_fedqml.config.experiment import ModelConfig
from qiskit_fedqml.errors import CircuitError, ConfigurationError
from qiskit_fedqml.model.classifier import (
    FeatureScaling,
    HybridClassifier,
    MatchedClassicalLayer,
    SeededDropout,
    uniform,
)
from qiskit_fedqml.model.layer import QuantumLayer, uniform_angles
from qiskit_fedqml.model.linear import OneDnnLinear
from qiskit_fedqml.seeds import derive_seed, torch_generator


def circuit_for(config: ModelConfig, num_classes: int) -> CircuitSpec:
    """Return the circuit of a model.

    Raises:
        ConfigurationError: There are more classes than qubits, or too many to halve the qubits.
    """
    circuit = config.circuit
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


def initial_circuit_weights(spec: CircuitSpec, seed: int) -> torch.Tensor:
    """Draw a circuit's initial weights, uniform in [−π, π), shape (weights,)."""
    return uniform_angles(spec.num_weights, torch_generator(derive_seed(seed, "initial circuit weights")))


def build_head(num_features: int, config: ModelConfig, seed: int) -> nn.Sequential:
    """Build the trainable head of Table I: Linear–ReLU–Dropout for each hidden width, then Linear to the qubits.

    Weights and biases start as in torch's ``Linear``, but draw from a seeded generator.
    """
    generator = torch_generator(derive_seed(seed, "initial head"))
    widths = [num_features, *config.hidden]
    modules: list[nn.Module] = []
    for width, following in pairwise(widths):
        modules += [_linear(width, following, generator), nn.ReLU(), SeededDropout(config.dropout)]
    return nn.Sequential(*modules, _linear(widths[-1], config.circuit.num_qubits, generator))


def build_classical_layer(spec: CircuitSpec, seed: int) -> MatchedClassicalLayer:
    """Build the classical control of the quantum layer."""
    return MatchedClassicalLayer(spec, torch_generator(derive_seed(seed, "initial classical layer")))


def _linear(num_inputs: int, num_outputs: int, generator: torch.Generator) -> OneDnnLinear:
    linear = cast(OneDnnLinear, nn.utils.skip_init(OneDnnLinear, num_inputs, num_outputs))
    with torch.no_grad():
        linear.weight.copy_(uniform((num_outputs, num_inputs), num_inputs, generator))
        linear.bias.copy_(uniform((num_outputs,), num_inputs, generator))
    return linear


def build_model(
    experiment_seed: int,
    config: ModelConfig,
    scaling: FeatureScaling,
    num_features: int,
    spec: CircuitSpec,
    layer: QuantumLayer | None,
) -> HybridClassifier:
    """Build a model with its initial weights.

    Args:
        experiment_seed: The run's seed.
        config: The `model` section.
        scaling: Scales the features.
        num_features: Number of features of an example.
        spec: The circuit, from :func:`circuit_for`.
        layer: The quantum layer that evaluates the circuit; None with ``quantum: classical``.
    """
    if layer is None:
        last: nn.Module = build_classical_layer(spec, experiment_seed)
    else:
        last = layer
        with torch.no_grad():
            layer.weight.copy_(initial_circuit_weights(spec, experiment_seed))
    model = HybridClassifier(scaling, build_head(num_features, config, experiment_seed), last)
    return model.to(config.device)
