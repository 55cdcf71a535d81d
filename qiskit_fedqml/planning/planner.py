"""Planning a run on devices, before anything is sent.

The planner goes through the rounds as the run will: the same clients are drawn, hold the same shards and take the same
steps; each evaluation is costed by the backend that would send it. Other settings are planned on the same devices,
which are opened once.
"""

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.array.used import used_backends
from qiskit_fedqml.backends.devices.cost import MOST_JOBS_PER_MINUTE, price
from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.devices import DeviceEntry, IBMEntry, ProviderEntry
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.data.loading import load_dataset
from qiskit_fedqml.data.preparation import share_out
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.model.building import circuit_for
from qiskit_fedqml.planning.ceilings import Ceiling
from qiskit_fedqml.planning.changes import Machines, changed, single_changes
from qiskit_fedqml.planning.limits import ceilings_of
from qiskit_fedqml.planning.plan import DeviceFacts, Plan, Saving
from qiskit_fedqml.planning.rounds import Devices, RoundCosts, Sizes, compiled, drawn_clients
from qiskit_fedqml.planning.work import Item

_MOST_TRAININGS = 1_000_000
"""Clients' rounds in a plan, each of which is an item of its own."""


def plan_experiment(experiment: Experiment) -> Plan:
    """Plan a run: open its devices, read their calibrations, and send nothing.

    Args:
        experiment: What to run.

    Raises:
        ConfigurationError: The assignment names a client that doesn't exist, or no client or test uses a device.
        DataError: The data are missing, or too few.
        BackendError: A device cannot be opened, or the circuit doesn't fit it.
    """
    return Planner.open(experiment).plan()


@dataclass
class Planner:
    """Devices that are opened and data that are shared out: what stays as it is, whatever settings are planned.

    Args:
        experiment: The experiment.
        registry: Its machines.
        spec: Its circuit.
        shards: Examples of each client.
        num_test: Examples of the server's test set.
        num_validation: Examples of the tuning set.
    """

    experiment: Experiment
    registry: BackendRegistry
    spec: CircuitSpec
    shards: tuple[int, ...]
    num_test: int
    num_validation: int
    _devices: dict[str, tuple[DeviceBackend, Program]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def open(cls, experiment: Experiment) -> "Planner":
        """Open the devices that an experiment uses, and share out its data.

        Raises:
            ConfigurationError: As :func:`plan_experiment`.
            DataError: As :func:`plan_experiment`.
            BackendError: As :func:`plan_experiment`.
        """
        config = experiment.federation
        if (trainings := config.rounds * config.clients_per_round) > _MOST_TRAININGS:
            raise ConfigurationError(
                f"{config.rounds:,} rounds of {config.clients_per_round:,} clients are {trainings:,} trainings; at "
                f"most {_MOST_TRAININGS:,} are planned. Costs grow with the rounds, so plan fewer "
                "(--set federation.rounds=10)."
            )
        registry = BackendRegistry(experiment.backends, Path())
        _, names = used_backends(experiment, registry)
        if not names:
            raise ConfigurationError(
                "There is nothing to plan: no client and no test uses a device (type ibm or backend)."
            )
        dataset = load_dataset(experiment.data, experiment.seed)
        shards, validation = share_out(experiment, dataset)
        spec = circuit_for(experiment.model, len(dataset.classes))
        sizes = tuple(len(shard) for shard in shards)
        planner = cls(experiment, registry, spec, sizes, len(dataset.test), len(validation))
        planner.devices(experiment)  # opened and compiled now, so that a mistake there shows
        return planner

    def plan(self) -> Plan:
        """Plan the experiment as it is, and what single changes would save."""
        devices, items = self.devices(self.experiment), self.items(self.experiment, with_payload=True)
        backends = {name: backend for name, (backend, _) in devices.items()}
        ceilings = ceilings_of(backends, self.experiment.backends.budget_seconds, DeviceBackend.remaining_seconds)
        facts = {name: _facts(*device, ceilings) for name, device in devices.items()}
        plan = Plan(items, facts, self.experiment.federation.rounds, ceilings)
        return replace(plan, savings=tuple(self._savings(plan)))

    def items(self, experiment: Experiment, *, with_payload: bool = False) -> tuple[Item, ...]:
        """Return what all rounds send with an experiment of other settings on the same devices."""
        costs = self.costs(experiment, with_payload=with_payload)
        drawn = drawn_clients(experiment, self.machines(experiment).assignment)
        return tuple(item for round, clients in drawn for item in costs.items(round, clients))

    def costs(self, experiment: Experiment, *, with_payload: bool = False) -> RoundCosts:
        """Return what rounds cost with an experiment of other settings on the same devices."""
        sizes = Sizes.of(experiment, self.shards, self.num_test, self.num_validation)
        return RoundCosts(self.devices(experiment), experiment.federation, sizes, with_payload=with_payload)

    def machines(self, experiment: Experiment) -> Machines:
        """Return who has which machine in an experiment of other settings; none is opened for it."""
        registry = BackendRegistry(experiment.backends, Path(), self.registry.dispatcher)
        return Machines(*used_backends(experiment, registry))

    def devices(self, experiment: Experiment) -> Devices:
        """Return the devices that an experiment of other settings uses, with its entries; none is opened twice."""
        return {name: self._device(name, experiment) for name in self.machines(experiment).devices}

    def _device(self, name: str, experiment: Experiment) -> tuple[DeviceBackend, Program]:
        entry = experiment.backends.backends[name]
        assert isinstance(entry, DeviceEntry)
        key = f"{name} {entry.model_dump_json()}"
        if key not in self._devices:
            opened = self.registry[name]
            assert isinstance(opened, DeviceBackend)
            if entry == opened.entry:
                self._devices[key] = opened, compiled(opened, self.spec, self.experiment)
            elif entry.model_dump(exclude=_SAME_CIRCUIT) == opened.entry.model_dump(exclude=_SAME_CIRCUIT):
                self._devices[key] = _under(opened, entry), self._device(name, self.experiment)[1]
            else:
                backend = _under(opened, entry)
                self._devices[key] = backend, compiled(backend, self.spec, experiment)
            self._devices[key][0].give_blocks_to(
                [client for client, of in enumerate(self.machines(experiment).assignment) if of == name]
            )
        return self._devices[key]

    def _savings(self, plan: Plan) -> list[Saving]:
        """Return changes that would cost less, each planned again."""
        before, found = plan.total().qpu_seconds, []
        for change in single_changes(self.experiment, self.machines(self.experiment)):
            items = self.items(changed(self.experiment, [change]))
            found.append(Saving(change.words, before - sum(item.work.qpu_seconds for item in items)))
        return sorted((saving for saving in found if saving.seconds > 1e-6), key=lambda saving: -saving.seconds)


_SAME_CIRCUIT = {"shots", "test_shots", "rep_delay_seconds", "gradient", "task", "budget_seconds"}
"""Keys of an entry that leave the circuit as it was compiled."""


def _under(opened: DeviceBackend, entry: DeviceEntry) -> DeviceBackend:
    """Return an open device under another entry; nothing is opened for it."""
    machine = copy(opened.machine)
    machine.primitive = opened.machine.primitive.with_entry(entry)
    return DeviceBackend(opened.name, entry, machine, opened.dispatcher)


def _facts(backend: DeviceBackend, program: Program, ceilings: Iterable[Ceiling]) -> DeviceFacts:
    entry = backend.entry
    options = entry.options.keys() if isinstance(entry, IBMEntry) else set()
    asked = options & {"resilience", "twirling"}
    mitigates = isinstance(entry, IBMEntry) and bool(entry.mitigation or entry.resilience_level or asked)
    left = [c.most for c in ceilings if c.is_account and backend.name in c.backends]
    return DeviceFacts(
        device=backend.machine.device,
        account=backend.machine.account,
        angles=len(program.angles),
        outputs=len(program.observables),
        has_price=price(entry, 0, 0, None) is not None,
        budget_seconds=entry.budget_seconds,
        budget_executions=entry.budget_executions if isinstance(entry, ProviderEntry) else None,
        remaining_seconds=min(left, default=None),
        is_lower_bound=mitigates and backend.machine.primitive.is_plain(),
        is_session=isinstance(entry, IBMEntry) and entry.mode == "session",
        jobs_per_minute=MOST_JOBS_PER_MINUTE if isinstance(entry, IBMEntry) else None,
    )
