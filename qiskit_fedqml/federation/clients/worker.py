"""Where clients train: one model in memory, and the circuit compiled for each backend that was used."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from qiskit_fedqml.backends.base import Backend
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.data.examples import ClientData
from qiskit_fedqml.federation.steps.step import ClientStep, DrawingStep
from qiskit_fedqml.model.building import Blueprint
from qiskit_fedqml.model.classifier import HybridClassifier
from qiskit_fedqml.model.layer import QuantumLayer
from qiskit_fedqml.model.qnn import Evaluate
from qiskit_fedqml.seeds import derive_seed


@dataclass
class Worker:
    """Trains clients one after another; a client's own state comes with its task, so any worker can train any client.

    Args:
        blueprint: What the model is built from.
        backends: The backends by name.
        data: How clients open their examples.
        config: The `federation` section.
        step: How a batch changes the model.
        seed: The run's seed.
        privacy: The `privacy` section, with which updates say nothing of the examples but what noise hides; or None.
        preparing: Notified where a circuit is compiled for a backend: what, and how much of how much is done; or None.
    """

    blueprint: Blueprint
    backends: Mapping[str, Backend]
    data: ClientData
    config: FederationConfig
    step: ClientStep
    seed: int
    privacy: PrivacyConfig | None = None
    preparing: Callable[[str, int, int], None] | None = None
    _model: HybridClassifier | None = field(default=None, init=False)
    _layers: dict[str, QuantumLayer] = field(default_factory=dict, init=False)

    def model_on(self, backend: str) -> HybridClassifier:
        """Return the worker's model with its circuit evaluated by a backend; its weights are whatever they were.

        Raises:
            BackendError: The backend cannot be opened, or the circuit does not fit it.
        """
        layer = self.layer_on(backend) if self.blueprint.has_circuit else None
        if self._model is None:
            self._model = self.blueprint.build(layer)
        elif layer is not None:
            self._model.use_quantum_layer(layer)
        return self._model

    def step_of(self, server_step: int, client: int) -> ClientStep:
        """Return how a batch changes the model in one task."""
        step = self.step
        return step.for_task(self.seed, server_step, client) if isinstance(step, DrawingStep) else step

    def seed_for(self, purpose: str, server_step: int, client: int) -> int:
        """Return the seed of a client's dropout or shots in one task.

        It derives from the run's; where each example is protected, from the operating system. Rows of a batch draw one
        after another: whoever knew the seed would see how one example more moves what all the others draw.
        """
        return secrets.randbits(63) if self.is_secret else derive_seed(self.seed, purpose, server_step, client)

    @property
    def is_secret(self) -> bool:
        """Whether nobody may know what clients draw, so that no task can be replayed."""
        privacy = self.privacy
        return privacy is not None and privacy.examples is not None and privacy.randomness == "system"

    def layer_on(self, backend: str) -> QuantumLayer:
        """Return the quantum layer on a backend; it is compiled at the first time.

        Raises:
            BackendError: The backend cannot be opened, or the circuit does not fit it.
        """
        if backend not in self._layers:
            if self.preparing is not None:
                self.preparing(f"transpiling the circuit for {backend}", len(self._layers), 0)
            self._layers[backend] = self.blueprint.layer_on(self.backends[backend])
        return self._layers[backend]

    def use_twin_of(self, other: "Worker", backend: str, evaluate: Evaluate) -> None:
        """Let another worker's circuit on a backend be evaluated for this one too, without compiling it again.

        Args:
            other: The other worker.
            backend: The backend.
            evaluate: Evaluates it for this worker.
        """
        layer = other.layer_on(backend)
        self._layers[backend] = self.blueprint.layer_of(layer.neural_network.twin(evaluate))
