"""How much of a gradient a machine lets through: signal and noise of the loss's gradient in the circuit's weights."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.data.examples import Examples
from qiskit_fedqml.model.circuit import circuit_for
from qiskit_fedqml.model.classifier import HybridClassifier
from qiskit_fedqml.model.layer import QuantumLayer, quantum_layer
from qiskit_fedqml.results.result import RunResult


@dataclass(frozen=True)
class GradientQuality:
    """The gradient of a minibatch's mean cross-entropy with respect to the circuit's weights, on one machine.

    Args:
        backend: The machine.
        shots: Shots of each circuit.
        success_probability: Its estimated chance to run the circuit without an error.
        signal: Length of the machine's own exact gradient, without shot noise.
        noise: Root of the summed variances of the gradient's components over repeated draws of the shots.
        bias: Distance from the mean of the drawn gradients to the machine's exact one: the cross-entropy is curved, so
            that shot noise in the outputs moves its mean gradient.
        ideal_signal: Length of the gradient without noise.
        cosine: Of the angle between the machine's exact gradient and the one without noise.
    """

    backend: str
    shots: int
    success_probability: float
    signal: float
    noise: float
    bias: float
    ideal_signal: float
    cosine: float

    @property
    def signal_to_noise(self) -> float:
        """Signal over noise."""
        return self.signal / self.noise


def gradient_quality(
    model: HybridClassifier, run: RunResult, backend: AerBackend, examples: Examples, *, draws: int, seed: int
) -> GradientQuality:
    """Measure a machine's gradient at a model's weights.

    Args:
        model: A trained model on an ideal machine without shots; dropout is off.
        run: The run that it comes from, for its circuit.
        backend: A simulated machine with shots.
        examples: A minibatch.
        draws: How often the shots are drawn, at least 2.
        seed: Seed of the draws.

    Raises:
        ValueError: The machine has no shots.
    """
    if backend.shots is None:
        raise ValueError(f"Backend {backend.name!r} needs shots, for an exact gradient has no noise.")
    spec = circuit_for(run.experiment.model, len(run.run["classes"]))
    model.eval()
    with torch.no_grad():
        inputs: torch.Tensor = model.head(model.scaling(torch.from_numpy(np.array(examples.features))))
    labels = torch.from_numpy(examples.labels)
    weights = cast(torch.Tensor, model.quantum.weight).detach()

    def layer_on(machine: AerBackend) -> QuantumLayer:
        return quantum_layer(spec, machine, initial_weights=weights)

    def gradient(layer: QuantumLayer, draw: int = 0) -> NDArray[np.float64]:
        layer.neural_network.reseed(seed + draw)
        layer.weight.grad = None
        model.loss(layer(inputs), labels).backward()
        return cast(torch.Tensor, layer.weight.grad).double().numpy()

    ideal, exact = gradient(layer_on(AerBackend("ideal"))), gradient(layer_on(backend.without_shots()))
    layer = layer_on(backend)
    drawn = np.array([gradient(layer, draw) for draw in range(draws)])
    return GradientQuality(
        backend=backend.name,
        shots=backend.shots,
        success_probability=backend.success_probability(layer.neural_network.program),
        signal=float(np.linalg.norm(exact)),
        noise=float(np.sqrt(drawn.var(axis=0, ddof=1).sum())),
        bias=float(np.linalg.norm(drawn.mean(axis=0) - exact)),
        ideal_signal=float(np.linalg.norm(ideal)),
        cosine=float(exact @ ideal / (np.linalg.norm(exact) * np.linalg.norm(ideal))),
    )
