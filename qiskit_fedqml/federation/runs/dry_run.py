"""A run put together and tried for a few training steps; nothing is written, and no device is sent anything."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
import torch

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.gossip import Gossip
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

_MOST_MACHINES = 5
"""On so many machines steps are timed."""


@dataclass(frozen=True)
class DryRun:
    """What was seen of a run before it begins.

    Args:
        size: How large it is.
        num_features: Features of an example.
        step_seconds: The median of a training step on simulated machines, at most five, by their names; empty where
            all clients have devices.
        num_machines: How many simulated machines the clients have.
        test_seconds: A test of the global model on the server's backend.
        start_seconds: What comes before the first round, once Python runs: data, the model, and what is compiled.
        run_seconds: What all rounds will take, if clients are like those, and as many as on average; None where some
            wait for devices.
        peak_memory_bytes: Most memory that the process has held; None where the system doesn't say.
        devices: Backends whose jobs wait in a queue.
    """

    size: RunSize
    num_features: int
    step_seconds: Mapping[str, float]
    num_machines: int
    test_seconds: float
    start_seconds: float
    run_seconds: float | None
    peak_memory_bytes: int | None
    devices: tuple[str, ...]


def try_run(experiment: Experiment, observer: Observer | None = None) -> DryRun:
    """Put a run together, time some training steps on each of its simulated machines, and a test.

    Args:
        experiment: What is to run.
        observer: Notified of the phases.

    Raises:
        FedQMLError: As :func:`~qiskit_fedqml.federation.runs.run.run_federation`.
    """
    started = time.perf_counter()
    with interruptible(), compiling_shown(observer):
        federation = assemble(experiment, observer, None)
        try:
            return _tried(federation, observer, time.perf_counter() - started)
        finally:
            federation.executor.stop()
            federation.registry.dispatcher.patience.stop()
            federation.registry.dispatcher.journal.close()


def _tried(federation: Federation, observer: Observer | None, start_seconds: float) -> DryRun:
    preparing, experiment = preparing_of(observer), federation.experiment
    tasks = _tasks(federation)
    preparing("timing training steps", 0, 0)
    steps = {task.backend: _step_seconds(federation, task) for task in tasks[:_MOST_MACHINES]}
    step_seconds = {name: of.later for name, of in steps.items()}
    preparing("timing a test", 0, 0)
    is_simulated = experiment.backends.assignment.server not in federation.devices
    test = _test_seconds(federation) if is_simulated else _Timed(0.0, 0.0)
    return DryRun(
        size=size_of(federation),
        num_features=federation.data.num_features,
        step_seconds=step_seconds,
        num_machines=len(tasks),
        test_seconds=test.later,
        start_seconds=start_seconds + sum(max(0.0, of.first - of.later) for of in (*steps.values(), test)),
        run_seconds=None if federation.devices else _run_seconds(federation, step_seconds, test.later),
        peak_memory_bytes=peak_memory_bytes(),
        devices=federation.devices,
    )


@dataclass(frozen=True)
class _Timed:
    """How long something took.

    Args:
        first: The first time, which compiles.
        later: Afterwards.
    """

    first: float
    later: float


def _tasks(federation: Federation) -> list[ClientTask]:
    """Return a task for each simulated machine on which a client trains."""
    drawn = federation.algorithm.next_tasks(federation.initial)
    if not drawn:  # where each client is drawn by itself, a round may have none
        name = federation.registry.assign(federation.experiment.federation.clients)[0]
        drawn = [ClientTask(1, 0, name, federation.initial.model, federation.registry.trains(name))]
    tasks = [task for task in drawn if task.trains]
    by_machine = {task.backend: task for task in tasks if task.backend not in federation.devices}
    scheduling = federation.experiment.scheduling
    if tasks and (scheduling is None or scheduling.policy == "assigned"):  # others' clients come in later rounds
        for client, name in enumerate(federation.registry.assign(federation.experiment.federation.clients)):
            if name not in by_machine and name not in federation.devices:
                by_machine[name] = replace(tasks[0], client_id=client, backend=name)
    return list(by_machine.values())


def _step_seconds(federation: Federation, task: ClientTask) -> _Timed:
    """Return how long a training step of a task takes, at first and once all is compiled."""
    experiment, data = federation.experiment, federation.data.clients
    config, blueprint = experiment.federation, federation.evaluator.blueprint
    opened = open_step(config, experiment.privacy)
    worker = Worker(blueprint, federation.registry, data, config, opened, experiment.seed)
    step = worker.step_of(task.server_step, task.client_id)
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
    return _Timed(seconds[0], float(np.median(seconds[1:])))


def _test_seconds(federation: Federation) -> _Timed:
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        federation.evaluator.test_model(federation.initial.model, 0)
        seconds.append(time.perf_counter() - started)
    return _Timed(*seconds)


def _run_seconds(federation: Federation, step_seconds: Mapping[str, float], test_seconds: float) -> float | None:
    if not step_seconds:
        return None
    config, expected = federation.experiment.federation, federation.experiment.expected_examples
    sizes = federation.data.shards.sizes if expected is None else np.full(config.clients, expected)
    others = float(np.mean(list(step_seconds.values())))
    machines = federation.registry.assign(config.clients)
    of_clients = [step_seconds.get(name, others) for name in machines]
    a_client = float((np.ceil(sizes / config.batch_size) * of_clients).mean()) * config.local_epochs
    at_once = min(num_workers(federation.experiment), config.clients_per_round) if config.workers != "auto" else 1
    tests = 1 + len(federation.experiment.evaluation.backends) + _node_tests(config)
    training = ceil(config.clients_per_round / at_once) * a_client
    return config.rounds * (training + tests * test_seconds)


def _node_tests(config: FederationConfig) -> float:
    """Return how many tests of nodes' own models there are in a round, in the mean."""
    every = config.algorithm.gossip.test_nodes_every if isinstance(config.algorithm, Gossip) else None
    return 0.0 if every is None else config.clients / every


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
        "step_backend": next(iter(found.step_seconds), None),
        "step_seconds": next(iter(found.step_seconds.values()), None),
        "step_seconds_by_backend": dict(found.step_seconds),
        "test_seconds": found.test_seconds,
        "start_seconds": found.start_seconds,
        "run_seconds": found.run_seconds,
        "peak_memory_bytes": found.peak_memory_bytes,
        "devices": list(found.devices),
        "warnings": [size.warning] if size.warning else [],
    }
