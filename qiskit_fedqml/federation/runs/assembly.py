"""All that the rounds of a run work on, put together from an experiment."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.base import Backend
from qiskit_fedqml.backends.devices.dispatch import Dispatcher
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.backends.devices.request import JobWaiting
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.data.features import Progress
from qiskit_fedqml.data.preparation import FederatedData, prepare_data
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.federation.clients.client import Worker
from qiskit_fedqml.federation.executors.executors import Workers
from qiskit_fedqml.federation.messages import ClientUpdate, State
from qiskit_fedqml.federation.rules.aggregator import Centre, open_centre
from qiskit_fedqml.model.building import build_model, circuit_for
from qiskit_fedqml.model.classifier import FeatureScaling
from qiskit_fedqml.model.layer import QuantumLayer, quantum_layer
from qiskit_fedqml.results.records import RoundRecord


class Observer(Protocol):
    """Told what happens, as it happens."""

    def features_extracted(self, what: str, done: int, total: int) -> None:
        """``done`` of ``total`` images have gone through the backbone."""

    def round_started(self, round: int, num_rounds: int, num_clients: int) -> None:
        """A round starts."""

    def client_finished(self, client: ClientUpdate) -> None:
        """A client has returned, or failed."""

    def job_waiting(self, job: JobWaiting) -> None:
        """A client waits for a device's job; told at each look, by the thread that waits."""

    def round_finished(self, record: RoundRecord) -> None:
        """A round has been recorded."""


@dataclass
class Federation:
    """All that the rounds work on.

    Args:
        experiment: The configuration.
        data: The clients' shards and the centre's test data.
        assignment: Name of each client's backend.
        workers: Where clients run.
        registry: The backends.
        uses_devices: Whether any job waits in a device's queue.
        server_layer: Evaluates the circuit for the centre, exactly; None without a quantum layer.
        state: The global model's trained tensors.
        centre: Makes the next global model of it and the clients' updates.
        observer: Told what happens, or None.
    """

    experiment: Experiment
    data: FederatedData
    assignment: tuple[str, ...]
    workers: Workers
    registry: BackendRegistry
    uses_devices: bool
    server_layer: QuantumLayer | None
    state: State
    centre: Centre
    observer: Observer | None


def assemble(experiment: Experiment, observer: Observer | None, journal: Path | None) -> Federation:
    """Put together all that the rounds work on; devices are opened, so that a mistake there shows before anything runs.

    Args:
        experiment: The configuration.
        observer: Told what happens, or None.
        journal: The file of the jobs that a run sent before, or None.

    Raises:
        ConfigurationError: The assignment names a client that doesn't exist, there are more classes than qubits, or
            there is no such device.
        DataError: Data, weights or features are missing or do not fit.
        BackendError: A device, or the server's backend, cannot be opened.
    """
    # Large tensors in huge pages (Linux): with Table I's widths a training step takes two thirds of the time. torch
    # looks for this once, at its first large tensor; it changes no number.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    config = experiment.model
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("`model.device` is 'cuda', but torch finds no CUDA device here; use 'cpu'.")
    on_waiting = observer.job_waiting if observer else None
    registry = BackendRegistry(experiment.backends, Path())
    assignment = registry.assign(experiment.federation.clients)
    used = {*assignment, *experiment.evaluation.backends, experiment.backends.assignment.server}
    devices = sorted(name for name in used if registry.is_queued(name))
    registry.dispatcher = Dispatcher(
        Journal(journal if devices else None), experiment.backends.budget_seconds, on_waiting
    )
    for name in devices:
        registry[name]
    progress: Progress | None = observer.features_extracted if observer else None
    data = prepare_data(experiment, progress)
    spec = circuit_for(config, len(data.classes))

    def layer_on(backend: Backend) -> QuantumLayer:
        layer = quantum_layer(spec, backend, initial_weights=np.zeros(spec.num_weights))  # replaced by the model's
        return layer.to(config.device).requires_grad_(config.quantum == "trainable")

    has_circuit = config.quantum != "classical"
    layer_for = cache(lambda name: layer_on(registry[name])) if has_circuit else None
    server_layer = layer_on(registry.server) if has_circuit else None

    def worker_with(layer: QuantumLayer | None) -> Worker:
        scaling = FeatureScaling(data.mean, data.deviation)
        model = build_model(experiment.seed, config, scaling, data.num_features, spec, layer)
        return Worker(model, layer_for, data.train, experiment.federation, experiment.seed)

    shared = worker_with(server_layer)
    workers = Workers(
        shared=shared,
        make=lambda name: worker_with(layer_for(name) if layer_for else None),
        queued=registry.is_queued,
        stop=registry.dispatcher.patience.stop,
    )
    state = {name: tensor.clone() for name, tensor in shared.model.trainable_state().items()}
    angles = [name for name in state if has_circuit and name.startswith("quantum.")]
    return Federation(
        experiment=experiment,
        data=data,
        assignment=assignment,
        workers=workers,
        registry=registry,
        uses_devices=bool(devices),
        server_layer=server_layer,
        state=state,
        centre=open_centre(experiment.aggregation, angles),
        observer=observer,
    )
