"""A run put together and tried for a few training steps; nothing is written, and no device is sent anything."""

import time
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import torch

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.federation.clients.optimizers import make_optimizer
from qiskit_fedqml.federation.clients.worker import Worker
from qiskit_fedqml.federation.executors.processes import num_workers
from qiskit_fedqml.federation.interruption import interruptible
from qiskit_fedqml.federation.messages import ClientTask
from qiskit_fedqml.federation.runs.assembly import Federation, assemble
from qiskit_fedqml.federation.runs.describing import size_of
from qiskit_fedqml.federation.steps.opening import open_step
from qiskit_fedqml.progress.compiling import compiling_shown
from qiskit_fedqml.progress.observer import Observer, preparing_of
from qiskit_fedqml.progress.size import RunSize
from qiskit_fedqml.results.provenance import peak_memory_bytes

_MOST_STEPS = 5
_LONG_SECONDS = 2.0
"""After so long no further step is timed."""


@dataclass(frozen=True)
class DryRun:
    """What was seen of a run before it begins.

    Args:
        size: How large it is.
        num_features: Features of an example.
        backend: The simulated machine on which steps were timed; None where all clients have devices.
        step_seconds: The median of a training step there; None without one.
        test_seconds: A test of the global model on the server's backend.
        run_seconds: What all rounds will take, if all clients are like those; None where some wait for devices.
        peak_memory_bytes: Most memory that the process has held; None where the system doesn't say.
        devices: Backends whose jobs wait in a queue.
    """

    size: RunSize
    num_features: int
    backend: str | None
    step_seconds: float | None
    test_seconds: float
    run_seconds: float | None
    peak_memory_bytes: int | None
    devices: tuple[str, ...]


def try_run(experiment: Experiment, observer: Observer | None = None) -> DryRun:
    """Put a run together, time some training steps of its first client on a simulator, and a test.

    Args:
        experiment: What is to run.
        observer: Notified of the phases.

    Raises:
        FedQMLError: As :func:`~qiskit_fedqml.federation.runs.run.run_federation`.
    """
    with interruptible(), compiling_shown(observer):
        federation = assemble(experiment, observer, None)
        try:
            return _tried(federation, observer)
        finally:
            federation.executor.stop()
            federation.registry.dispatcher.patience.stop()
            federation.registry.dispatcher.journal.close()


def _tried(federation: Federation, observer: Observer | None) -> DryRun:
    preparing, experiment = preparing_of(observer), federation.experiment
    tasks = federation.algorithm.next_tasks(federation.initial)
    task = next((task for task in tasks if task.backend not in federation.devices and task.trains), None)
    preparing("timing a training step", 0, 0)
    step_seconds = None if task is None else _step_seconds(federation, task)
    preparing("timing a test", 0, 0)
    is_simulated = experiment.backends.assignment.server not in federation.devices
    test_seconds = _test_seconds(federation) if is_simulated else 0.0
    return DryRun(
        size=size_of(federation),
        num_features=federation.data.num_features,
        backend=None if task is None else task.backend,
        step_seconds=step_seconds,
        test_seconds=test_seconds,
        run_seconds=None if federation.devices else _run_seconds(federation, step_seconds, test_seconds),
        peak_memory_bytes=peak_memory_bytes(),
        devices=federation.devices,
    )


def _step_seconds(federation: Federation, task: ClientTask) -> float:
    """Return how long a training step of a task takes, once all is compiled."""
    experiment, data = federation.experiment, federation.data.clients
    config, step = experiment.federation, open_step(experiment.federation)
    blueprint = federation.evaluator.blueprint
    worker = Worker(blueprint, federation.registry, data, config, step, experiment.seed)
    examples, model = data.open(task.client_id), worker.model_on(task.backend)
    model.load_trainable_state(task.state)
    model.train()
    model.use_dropout_generator(torch.Generator(next(model.parameters()).device).manual_seed(0))
    optimizer = make_optimizer(config, {n: p for n, p in model.named_parameters() if p.requires_grad}, 1, {})
    batch = examples.take(np.arange(min(config.batch_size, len(examples))))
    device = next(model.parameters()).device
    features, labels = torch.from_numpy(batch.features).to(device), torch.from_numpy(batch.labels).to(device)
    seconds: list[float] = []
    while len(seconds) <= _MOST_STEPS and (len(seconds) < 2 or sum(seconds[1:]) < _LONG_SECONDS):
        started = time.perf_counter()
        optimizer.zero_grad()
        step.add_gradients(model, task.state, features, labels)
        optimizer.step()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[1:]))  # the first one compiles


def _test_seconds(federation: Federation) -> float:
    federation.evaluator.test_model(federation.initial.model, 0)  # compiles
    started = time.perf_counter()
    federation.evaluator.test_model(federation.initial.model, 0)
    return time.perf_counter() - started


def _run_seconds(federation: Federation, step_seconds: float | None, test_seconds: float) -> float | None:
    if step_seconds is None:
        return None
    config, sizes = federation.experiment.federation, federation.data.shards.sizes
    steps = float(np.ceil(sizes / config.batch_size).mean()) * config.local_epochs
    at_once = min(num_workers(federation.experiment), config.clients_per_round) if config.workers != "auto" else 1
    tests = 1 + len(federation.experiment.evaluation.backends)
    training = ceil(config.clients_per_round / at_once) * steps * step_seconds
    return config.rounds * (training + tests * test_seconds)


def as_values(found: DryRun) -> dict[str, Any]:
    """Return what was seen as values of JSON."""
    size = found.size
    return {
        "training_examples": size.examples,
        "test_examples": size.test_examples,
        "classes": list(size.classes),
        "features": found.num_features,
        "clients": size.clients,
        "smallest_shard": size.smallest,
        "largest_shard": size.largest,
        "trained_parameters": size.parameters,
        "step_backend": found.backend,
        "step_seconds": found.step_seconds,
        "test_seconds": found.test_seconds,
        "run_seconds": found.run_seconds,
        "peak_memory_bytes": found.peak_memory_bytes,
        "devices": list(found.devices),
        "warnings": [size.warning] if size.warning else [],
    }
