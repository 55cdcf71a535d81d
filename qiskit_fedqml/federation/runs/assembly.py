"""All that the server steps of a run work on, put together from an experiment."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.array.used import used_backends
from qiskit_fedqml.backends.base import Backend, check_fits, compile_program
from qiskit_fedqml.backends.devices.dispatch import Dispatcher
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.buffered import Buffered
from qiskit_fedqml.config.devices import ProviderEntry
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.own_machines import OwnEntry
from qiskit_fedqml.config.remote import check_here
from qiskit_fedqml.data.preparation import FederatedData, prepare_data
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.federation.algorithms.algorithm import Algorithm
from qiskit_fedqml.federation.algorithms.opening import open_algorithm
from qiskit_fedqml.federation.algorithms.setting import make_setting
from qiskit_fedqml.federation.clients.worker import Worker
from qiskit_fedqml.federation.executors.automatic import AutomaticExecutor
from qiskit_fedqml.federation.executors.devices import DeviceExecutor
from qiskit_fedqml.federation.executors.executor import Executor
from qiskit_fedqml.federation.executors.flights import FlightExecutor
from qiskit_fedqml.federation.executors.parcels import Kit
from qiskit_fedqml.federation.executors.processes import ProcessExecutor, num_workers
from qiskit_fedqml.federation.executors.serial import SerialExecutor
from qiskit_fedqml.federation.executors.shared_data import SharedData
from qiskit_fedqml.federation.executors.training import make_training
from qiskit_fedqml.federation.messages import ClientTask
from qiskit_fedqml.federation.runs.evaluator import Evaluator
from qiskit_fedqml.federation.runs.server_parts import blueprint_of, first_model, make_evaluator
from qiskit_fedqml.federation.scheduling.opening import open_scheduler
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.federation.steps.opening import open_step
from qiskit_fedqml.model.building import Blueprint
from qiskit_fedqml.privacy.spending import PrivacyBudget
from qiskit_fedqml.progress.observer import Observer, preparing_of
from qiskit_fedqml.results.initial import load_initial
from qiskit_fedqml.workers.memory import Memory
from qiskit_fedqml.workers.messages import Setup

logger = logging.getLogger(__name__)


@dataclass
class Federation:
    """All that a run works on; each part can be replaced by another of its protocol.

    Args:
        experiment: The configuration.
        data: The clients' shards and the server's test data.
        registry: The backends.
        devices: Names of the backends that are used and whose jobs wait in a queue.
        algorithm: Says who gets which task, and what becomes of the updates.
        executor: Lets clients work.
        evaluator: Tests the aggregate.
        initial: The server's state before the first step.
        origin: Of the model that ``model.initial`` names: folder, run_id, rounds, SHA-256; None where it names none.
        observer: Notified of what happens, or None.
        is_remote: Whether the clients are elsewhere, so that only a server that reaches them can resume the run.
        privacy: Counts what is released of private data, or None.
    """

    experiment: Experiment
    data: FederatedData
    registry: BackendRegistry
    devices: tuple[str, ...]
    algorithm: Algorithm
    executor: Executor
    evaluator: Evaluator
    initial: ServerState
    origin: dict[str, Any] | None
    observer: Observer | None
    is_remote: bool = False
    privacy: PrivacyBudget | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.experiment.privacy is not None:
            self.privacy = PrivacyBudget(self.experiment.privacy, self.experiment.federation)

    def spending(self, server: ServerState, tasks: Sequence[ClientTask]) -> ServerState:
        """Return the server's state with what tasks will release counted, as it must be before they begin."""
        if self.privacy is None:
            return server
        return replace(server, spent=self.privacy.after(server.spent, [task.client_id for task in tasks]))

    def epsilons(self, server: ServerState) -> dict[str, Any]:
        """Return what a record says of the privacy that was spent; nothing where nobody is protected."""
        if self.privacy is None:
            return {}
        spent = {"epsilon": self.privacy.epsilon(server.spent)}
        if (norms := server.rule.get("norm")) is not None and self.privacy.config.protects_clients:
            spent["max_norm"] = float(norms["used"])
        if self.privacy.config.epsilon is None:
            return spent
        following = self.spending(server, self.algorithm.next_tasks(server))
        return spent | {"next_epsilon": self.privacy.epsilon(following.spent)}

    @property
    def trains_elsewhere(self) -> bool:
        """Whether all clients train in other processes now, so that this one may test a model meanwhile."""
        executor = self.executor
        is_taken_over = isinstance(executor, AutomaticExecutor) and executor.has_taken_over
        return is_taken_over or isinstance(executor, ProcessExecutor)


def assemble(
    experiment: Experiment,
    observer: Observer | None,
    journal: Path | None,
    objects: Mapping[str, Backend] | None = None,
) -> Federation:
    """Put together all that a run works on; devices are opened, so that a mistake there shows before anything runs.

    Args:
        experiment: The configuration.
        observer: Notified of what happens, or None.
        journal: The file of the jobs that a run sent before, or None.
        objects: The backends that are objects, by name.

    Raises:
        ConfigurationError: The assignment names a client that doesn't exist, there are more classes than qubits,
            there is no such device, or a part of the user's own cannot be found.
        DataError: Data, weights or features are missing or do not fit.
        BackendError: A device, or the server's backend, cannot be opened.
        ResultError: ``model.initial`` names no finished run whose model fits.
    """
    # Large tensors in huge pages (Linux): with Table I's widths a training step takes two thirds of the time. torch
    # looks for this once, at its first large tensor; it changes no number.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if experiment.model.device == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("`model.device` is 'cuda', but torch finds no CUDA device here; use 'cpu'.")
    check_here(experiment)
    start = load_initial(Path(experiment.model.initial), experiment.model) if experiment.model.initial else None
    step, preparing = open_step(experiment.federation, experiment.privacy), preparing_of(observer)
    registry, assignment, devices = _open_array(experiment, observer, journal, objects)
    preparing("loading data", 0, 0)
    data = prepare_data(experiment, observer.features_extracted if observer else None)
    preparing("building the model", 0, 0)
    blueprint = blueprint_of(experiment, data)
    _check_machines(experiment, registry, assignment, blueprint)
    evaluator = make_evaluator(experiment, blueprint, registry, data)

    config = _training_config(experiment)

    def make_worker(config: FederationConfig = config) -> Worker:
        return Worker(blueprint, registry, data.clients, config, step, experiment.seed, experiment.privacy, preparing)

    simulators = _simulators(experiment, config, assignment, blueprint, data, make_worker)
    stop = registry.dispatcher.patience.stop
    make_device_worker = partial(make_worker, config.model_copy(update={"client_seconds": None}))
    executor: Executor = DeviceExecutor(simulators, devices, make_device_worker, stop) if devices else simulators
    if isinstance(experiment.federation.algorithm, Buffered) and experiment.scheduling is None:
        executor = FlightExecutor(devices, make_device_worker, make_worker, stop, registry.dispatcher.journal)
    model = first_model(evaluator, start, data)
    expected = experiment.expected_examples
    scheduler = open_scheduler(
        experiment, registry, blueprint.spec, assignment, lambda client: expected or len(data.shards[client])
    )
    setting = make_setting(experiment, assignment, registry.trains, model)
    algorithm = open_algorithm(replace(setting, scheduler=scheduler))
    return Federation(
        experiment=experiment,
        data=data,
        registry=registry,
        devices=devices,
        algorithm=algorithm,
        executor=executor,
        evaluator=evaluator,
        initial=algorithm.init(model),
        origin=start.origin if start is not None else None,
        observer=observer,
    )


def _open_array(
    experiment: Experiment, observer: Observer | None, journal: Path | None, objects: Mapping[str, Backend] | None
) -> tuple[BackendRegistry, tuple[str, ...], tuple[str, ...]]:
    """Return the backends, the name of each client's, and the names of the devices, which are open then."""
    registry = BackendRegistry(experiment.backends, Path(), objects=objects)
    assignment, devices = used_backends(experiment, registry)
    registry.dispatcher = Dispatcher(
        Journal(journal if devices else None),
        experiment.backends.budget_seconds,
        observer.job_waiting if observer else None,
    )
    preparing = preparing_of(observer)
    for number, name in enumerate(devices):
        preparing(f"opening {name}", number, len(devices))
        registry[name]
    registry.give_blocks(assignment)
    return registry, assignment, devices


def _check_machines(
    experiment: Experiment, registry: BackendRegistry, assignment: tuple[str, ...], blueprint: Blueprint
) -> None:
    """Check, before anything runs, that machines can take the circuit and say what is asked of them."""
    if blueprint.has_circuit and experiment.federation.on_client_failure == "stop":
        for name in sorted({*assignment, *experiment.evaluation.backends}):
            check_fits(registry[name], blueprint.circuit.circuit, blueprint.circuit.observables)
    if experiment.aggregation.success_exponent:
        for name in sorted({*assignment}):
            if isinstance(experiment.backends.backends[name], ProviderEntry | OwnEntry):
                _check_success_is_known(registry[name], blueprint.circuit)


def _training_config(experiment: Experiment) -> FederationConfig:
    """Return the `federation` section as executors follow it.

    No clients train together where the head or the loss is the user's own, or where they are private: each example has
    its own gradient, and the last bits of one client must not depend on others.
    """
    is_alone = experiment.model.is_own or experiment.privacy is not None
    return experiment.federation.model_copy(update={"lockstep": 1}) if is_alone else experiment.federation


def _simulators(
    experiment: Experiment,
    config: FederationConfig,
    assignment: tuple[str, ...],
    blueprint: Blueprint,
    data: FederatedData,
    make_worker: Callable[[], Worker],
) -> Executor:
    """Return what runs the clients of simulators: this process, or several of their own."""
    if (workers := num_workers(experiment)) == 1:
        return SerialExecutor(make_worker())

    def make_setup(common: Memory) -> Setup:
        shared = SharedData.of(data.clients, common)
        kit = Kit(blueprint, experiment.backends, assignment, shared, config, experiment.seed, experiment.privacy)
        return Setup(make_training, kit, threads=1)

    processes = ProcessExecutor(make_setup, config, data.clients, workers, is_private=experiment.privacy is not None)
    return AutomaticExecutor(make_worker(), processes) if config.workers == "auto" else processes


def _check_success_is_known(backend: Backend, spec: CircuitSpec) -> None:
    """Refuse weights by success probabilities where a device's errors are not published.

    Raises:
        ConfigurationError: They are not.
        BackendError: The circuit doesn't fit the device.
    """
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    program = compile_program(backend, angles.circuit, angles.params, spec.observables)
    if backend.success_probability(program) is None:
        raise ConfigurationError(
            f"`aggregation.success_exponent` cannot weigh clients on backend {backend.name!r}, which does not "
            "state an error of each gate and readout that the circuit uses."
        )
