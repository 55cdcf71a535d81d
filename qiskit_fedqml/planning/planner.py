"""Planning a run on devices, before anything is sent.

The planner goes through the rounds as the run will: the same clients are drawn, hold the same shards and take the same
steps; each evaluation is costed by the backend that would send it. What a change would save is a plan of its own.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.devices.cost import MOST_JOBS_PER_MINUTE, price
from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.config.devices import DeviceEntry, IBMEntry, ProviderEntry
from qiskit_fedqml.config.experiment import Experiment, FederationConfig
from qiskit_fedqml.config.gradient import Spsa, SpsaOptions
from qiskit_fedqml.data.loading import load_dataset
from qiskit_fedqml.data.preparation import share_out
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.federation.runs.assembly import used_backends
from qiskit_fedqml.federation.sampling import sample_clients
from qiskit_fedqml.model.building import circuit_for
from qiskit_fedqml.model.prediction import TEST_BATCH
from qiskit_fedqml.planning.plan import DeviceFacts, Item, Plan, Saving, Work

_MOST_TRAININGS = 1_000_000
"""Clients' rounds in a plan, each of which is an item of its own."""

Devices = dict[str, tuple[DeviceBackend, Program]]


def plan_experiment(experiment: Experiment) -> Plan:
    """Plan a run: open its devices, read their calibrations, and send nothing.

    Args:
        experiment: What to run.

    Raises:
        ConfigurationError: The assignment names a client that doesn't exist, or no client or test uses a device.
        DataError: The data are missing, or too few.
        BackendError: A device cannot be opened, or the circuit doesn't fit it.
    """
    planner = _planner(experiment)
    items = planner.items(experiment.federation, planner.devices)
    facts = {name: _facts(*device) for name, device in planner.devices.items()}
    plan = Plan(items, facts, experiment.backends.budget_seconds)
    return replace(plan, savings=tuple(_savings(planner, plan)))


@dataclass(frozen=True)
class _Planner:
    """What stays as it is, whatever else is changed.

    Args:
        experiment: The experiment.
        assignment: Name of each client's backend.
        devices: The devices that are used, with the circuit as each runs it.
        tests: Backends of the server's tests in each round, and with how many examples; the server's first.
        num_examples: Of each client.
    """

    experiment: Experiment
    assignment: tuple[str, ...]
    devices: Devices
    tests: tuple[tuple[str, int], ...]
    num_examples: tuple[int, ...]

    def items(self, config: FederationConfig, devices: Devices, *, with_tests: bool = True) -> tuple[Item, ...]:
        """Return what clients and server send with these settings on these devices."""

        @cache
        def evaluation(name: str, num_samples: int, jacobian: bool) -> Work:
            backend, program = devices[name]
            costs = backend.cost(program, num_samples, jacobian=jacobian)
            payload = backend.payload_bytes(program, num_samples, jacobian=jacobian)
            return Work(
                jobs=len(costs),
                circuits=sum(c.circuits for c in costs),
                executions=sum(c.executions for c in costs),
                qpu_seconds=sum(c.seconds or 0.0 for c in costs),
                payload_bytes=payload,
                price_usd=sum(price(backend.entry, c.circuits, c.executions, c.seconds) or 0.0 for c in costs),
            )

        def work(name: str, num_samples: int, *, trains: bool) -> Work:
            size = config.batch_size if trains else TEST_BATCH
            once = sum((evaluation(name, n, trains) for n in _batches(num_samples, size)), Work())
            return once * config.local_epochs if trains else once

        items = []
        for round in range(1, config.rounds + 1):
            chosen = sample_clients(self.experiment.seed, round, config.clients, config.clients_per_round)
            for client in chosen:
                name, samples = self.assignment[client], self.num_examples[client]
                if name in devices:
                    trains = devices[name][0].entry.task == "train"
                    times = config.local_epochs if trains else 1
                    items.append(Item(round, client, name, trains, samples * times, work(name, samples, trains=trains)))
            for name, samples in self.tests:
                if name in devices and with_tests:
                    items.append(Item(round, None, name, False, samples, work(name, samples, trains=False)))
        return tuple(items)


def _planner(experiment: Experiment) -> _Planner:
    config = experiment.federation
    if (trainings := config.rounds * config.clients_per_round) > _MOST_TRAININGS:
        raise ConfigurationError(
            f"{config.rounds:,} rounds of {config.clients_per_round:,} clients are {trainings:,} trainings; at most "
            f"{_MOST_TRAININGS:,} are planned. Costs grow with the rounds, so plan fewer (--set federation.rounds=10)."
        )
    registry = BackendRegistry(experiment.backends, Path())
    assignment, names = used_backends(experiment, registry)
    server = experiment.backends.assignment.server
    if not names:
        raise ConfigurationError("There is nothing to plan: no client and no test uses a device (type ibm or backend).")
    dataset = load_dataset(experiment.data, experiment.seed)
    shards, validation = share_out(experiment, dataset)
    spec = circuit_for(experiment.model, len(dataset.classes))
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])

    def device(name: str) -> tuple[DeviceBackend, Program]:
        backend = registry[name]
        assert isinstance(backend, DeviceBackend)
        program = compile_program(backend, angles.circuit, angles.params, spec.observables)
        is_frozen = experiment.model.quantum == "frozen"
        return backend, program.shifting(angles.driven_by(spec.input_params)) if is_frozen else program

    registry.give_blocks(assignment)
    tests = [(name, len(dataset.test)) for name in (server, *experiment.evaluation.backends)]
    if len(validation):
        tests.append((server, len(validation)))
    num_examples = tuple(len(shard) for shard in shards)
    return _Planner(experiment, assignment, {name: device(name) for name in names}, tuple(tests), num_examples)


def _savings(planner: _Planner, plan: Plan) -> list[Saving]:
    """Return changes that would cost less, each planned again."""
    config, devices = planner.experiment.federation, planner.devices
    spsa = Spsa(spsa=SpsaOptions())
    larger = config.model_copy(update={"batch_size": 2 * config.batch_size})
    changes = {
        "half the shots": (config, _changed(devices, lambda e: {"shots": max(1, e.shots // 2)})),
        "gradient: {spsa: {}} (noisier derivatives)": (config, _changed(devices, lambda _: {"gradient": spsa})),
        "task: evaluate on all devices (clients test there and train nothing)": (
            config,
            _changed(devices, lambda _: {"task": "evaluate"}),
        ),
        f"federation.batch_size: {larger.batch_size} (fewer jobs)": (larger, devices),
        "federation.local_epochs: 1": (config.model_copy(update={"local_epochs": 1}), devices),
    }
    before = plan.total().qpu_seconds
    found = [
        Saving(change, before - sum(item.work.qpu_seconds for item in planner.items(settings, machines)))
        for change, (settings, machines) in changes.items()
    ]
    without_tests = sum(item.work.qpu_seconds for item in planner.items(config, devices, with_tests=False))
    found.append(Saving("no tests of the server on devices", before - without_tests))
    return sorted((saving for saving in found if saving.seconds > 1e-6), key=lambda saving: -saving.seconds)


def _changed(devices: Devices, change: Any) -> Devices:
    """Return the same devices under other entries; nothing is opened for it."""
    changed = {}
    for name, (backend, program) in devices.items():
        entry: DeviceEntry = backend.entry.model_copy(update=change(backend.entry))
        machine = copy(backend.machine)
        machine.primitive = backend.machine.primitive.with_entry(entry)
        changed[name] = (DeviceBackend(name, entry, machine, backend.dispatcher), program)
    return changed


def _facts(backend: DeviceBackend, program: Program) -> DeviceFacts:
    entry = backend.entry
    options = entry.options.keys() if isinstance(entry, IBMEntry) else set()
    asked = options & {"resilience", "twirling"}
    mitigates = isinstance(entry, IBMEntry) and bool(entry.mitigation or entry.resilience_level or asked)
    return DeviceFacts(
        device=backend.machine.device,
        account=backend.machine.account,
        angles=len(program.angles),
        outputs=len(program.observables),
        has_price=price(entry, 0, 0, None) is not None,
        budget_seconds=entry.budget_seconds,
        budget_executions=entry.budget_executions if isinstance(entry, ProviderEntry) else None,
        remaining_seconds=backend.remaining_seconds(),
        is_lower_bound=mitigates and backend.machine.primitive.is_plain(),
        is_session=isinstance(entry, IBMEntry) and entry.mode == "session",
        jobs_per_minute=MOST_JOBS_PER_MINUTE if isinstance(entry, IBMEntry) else None,
    )


def _batches(num_samples: int, size: int) -> Iterator[int]:
    for start in range(0, num_samples, size):
        yield min(size, num_samples - start)
