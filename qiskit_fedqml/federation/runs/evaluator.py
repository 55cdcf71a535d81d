"""Tests of the aggregate, with a model that no client trains in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.backends.base import Backend
from qiskit_fedqml.backends.job import JobKey, Usage
from qiskit_fedqml.data.examples import ExampleSource
from qiskit_fedqml.errors import BackendError, JobError, TrainingError
from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.model.building import Blueprint
from qiskit_fedqml.model.classifier import HybridClassifier
from qiskit_fedqml.model.layer import QuantumLayer
from qiskit_fedqml.model.metrics import Metric, confusion_matrix, measured
from qiskit_fedqml.model.prediction import loss_and_accuracy, predict
from qiskit_fedqml.model.qnn import BroadcastEstimatorQNN
from qiskit_fedqml.seeds import derive_seed


@dataclass(frozen=True)
class Test:
    """A test of the aggregate.

    Args:
        loss: Mean loss.
        accuracy: From 0 to 1.
        metrics: What else is measured, by name.
        confusion: Examples of each class that are taken for each class, shape (classes, classes predicted).
        usage: What it asked of the backend.
        backend: The backend's name; empty without a circuit.
        calibration: Of a device: name, date, and the figures of the qubits used; None without one.
    """

    loss: float
    accuracy: float
    metrics: dict[str, float]
    confusion: NDArray[np.int64]
    usage: Usage
    backend: str
    calibration: dict[str, Any] | None


@dataclass
class Evaluator:
    """Tests the aggregate on the server's backend, and on others.

    Args:
        seed: The run's seed, from which the shots of each test derive.
        blueprint: What the model is built from.
        server: The server's backend, which is exact if it is a simulator.
        backends: Further backends by name.
        test: The test data.
        validation: The tuning set; may be empty.
        metrics: What is measured besides loss and accuracy, by name.
    """

    seed: int
    blueprint: Blueprint
    server: Backend
    backends: Mapping[str, Backend]
    test: ExampleSource
    validation: ExampleSource
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    model: HybridClassifier = field(init=False)
    _confusion: tuple[int, NDArray[np.int64]] | None = field(default=None, init=False)
    _layers: dict[str | None, QuantumLayer] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.blueprint.has_circuit:
            self._layers[None] = self.blueprint.layer_on(self.server)
        self.model = self.blueprint.build(self._layers.get(None), initial_head=True)

    def test_model(self, model: State, server_step: int, backend: str | None = None) -> Test:
        """Test a global model on the test data, on a backend or on the server's.

        Raises:
            BackendError: The backend cannot be opened, or failed.
            TrainingError: Logits or loss are not finite, or a metric fails.
        """
        test = self._test(model, server_step, backend or "the server", backend, self.test)
        if backend is None:
            self._confusion = server_step, test.confusion
        return test

    def confusion_of(self, model: State, server_step: int) -> NDArray[np.int64]:
        """Return the confusion matrix of the test on the server's backend after a step; it is tested if need be.

        Raises:
            BackendError: As :meth:`test_model`.
            TrainingError: As :meth:`test_model`.
        """
        if self._confusion is None or self._confusion[0] != server_step:
            self.test_model(model, server_step)
        assert self._confusion is not None
        return self._confusion[1]

    def validate_model(self, model: State, server_step: int) -> Test:
        """Test a global model on the tuning set, on the server's backend.

        Raises:
            BackendError: As :meth:`test_model`.
            TrainingError: As :meth:`test_model`.
        """
        return self._test(model, server_step, "the server, validation", None, self.validation)

    def node_accuracy(self, model: State, server_step: int, node: int) -> float:
        """Return the accuracy of a node's own model on the test data, on the server's backend.

        Raises:
            BackendError: As :meth:`test_model`.
            TrainingError: Logits are not finite.
        """
        what = f"the model of node {node}"
        logits, *_ = self._logits(model, server_step, what, f"the server, node {node}", None, self.test)
        return loss_and_accuracy(logits, self.test.labels, self.model.loss)[1]

    def _test(self, model: State, server_step: int, place: str, backend: str | None, examples: ExampleSource) -> Test:
        logits, network, before = self._logits(model, server_step, "the aggregate", place, backend, examples)
        loss, accuracy = loss_and_accuracy(logits, examples.labels, self.model.loss)
        if not np.isfinite(loss):
            raise TrainingError(
                f"Round {server_step}: the aggregate's loss is not finite; a lower learning rate may help."
            )
        try:
            metrics = measured(self.metrics, examples.labels, logits)
        except TrainingError as error:
            raise TrainingError(f"Round {server_step}: {error}") from error
        found = loss, accuracy, metrics, confusion_matrix(examples.labels, logits)
        if network is None:
            return Test(*found, Usage(), "", None)
        return Test(*found, network.usage - before, network.backend.name, network.calibration())

    def _logits(
        self, model: State, server_step: int, what: str, place: str, backend: str | None, examples: ExampleSource
    ) -> tuple[NDArray[np.float64], BroadcastEstimatorQNN | None, Usage]:
        """Return what a model gives, the network that evaluated its circuit, and what was asked of it before."""
        try:
            network, before = self._use(backend), Usage()
            self.model.adopt_trainable_state(model)
            if network:
                before = network.usage.copy()
                seed = derive_seed(self.seed, f"shots of the test on {place}", server_step)
                network.reseed(seed, JobKey(server_step, None, 0, f"test on {place}"))
                network.refresh()
            return predict(self.model, examples), network, before
        except TrainingError as error:
            raise TrainingError(f"Round {server_step}: {what} cannot be tested: {error}") from error
        except BackendError as error:
            if isinstance(error, JobError):
                raise
            where = backend or "the server"
            raise BackendError(f"Round {server_step}: {what} cannot be tested on {where}: {error}") from error

    def _use(self, backend: str | None) -> BroadcastEstimatorQNN | None:
        """Let a backend evaluate the circuit; return its network, or None without a circuit."""
        if self.blueprint.has_circuit:
            if backend not in self._layers:
                self._layers[backend] = self.blueprint.layer_on(self.backends[str(backend)])
            self.model.quantum = self._layers[backend]
        return self.model.network
