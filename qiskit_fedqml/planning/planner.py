"""Planning a run on devices, before anything is sent.

The planner goes through the rounds as the run will: the same clients are drawn, hold the same shards and take the same
steps; each evaluation is costed by the backend that would send it. Other settings are planned on the same devices,
which are opened once.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.array.used import used_backends
from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.config.buffered import Buffered
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.data.loading import load_dataset
from qiskit_fedqml.data.preparation import share_out
from qiskit_fedqml.errors import BackendError, ConfigurationError
from qiskit_fedqml.model.circuit import circuit_for
from qiskit_fedqml.planning.changes import Change, Key, Machines, changed
from qiskit_fedqml.planning.compiled import Devices
from qiskit_fedqml.planning.describing import facts_of
from qiskit_fedqml.planning.limits import ceilings_of
from qiskit_fedqml.planning.open_devices import OpenDevices
from qiskit_fedqml.planning.plan import Plan
from qiskit_fedqml.planning.rounds import Known, RoundCosts, Sizes, drawn_clients
from qiskit_fedqml.planning.savings import savings
from qiskit_fedqml.planning.work import Item, Work, work_of
from qiskit_fedqml.results.initial import load_initial

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
        ResultError: ``model.initial`` names no finished run whose model fits.
    """
    return Planner.open(experiment).plan()


@dataclass
class Planner:
    """Devices that are opened and data that are shared out: what stays as it is, whatever settings are planned.

    Args:
        experiment: The experiment.
        open_devices: Its devices.
        shards: Examples of each client.
        num_test: Examples of the server's test set.
        num_validation: Examples of the tuning set.
    """

    experiment: Experiment
    open_devices: OpenDevices
    shards: tuple[int, ...]
    num_test: int
    num_validation: int
    _evaluations: Known = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def open(cls, experiment: Experiment) -> "Planner":
        """Open the devices that an experiment uses, and share out its data.

        Raises:
            ConfigurationError: As :func:`plan_experiment`.
            DataError: As :func:`plan_experiment`.
            BackendError: As :func:`plan_experiment`.
            ResultError: As :func:`plan_experiment`.
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
        if experiment.model.initial is not None:
            load_initial(Path(experiment.model.initial), experiment.model)  # so that a mistake there shows before a run
        dataset = load_dataset(experiment.data, experiment.seed)
        shards, validation = share_out(experiment, dataset)
        spec = circuit_for(experiment.model, len(dataset.classes))
        sizes = tuple(shards.sizes.tolist())
        devices = OpenDevices(registry, spec, experiment.model.derivatives)
        planner = cls(experiment, devices, sizes, len(dataset.test), len(validation))
        planner.devices(experiment)  # opened and compiled now, so that a mistake there shows
        return planner

    def plan(self) -> Plan:
        """Plan the experiment as it is, what single changes would save, and what blocks save already."""
        devices, items = self.devices(self.experiment), self.items(self.experiment, with_payload=True)
        backends = {name: backend for name, (backend, _) in devices.items()}
        ceilings = ceilings_of(backends, self.experiment.backends.budget_seconds, DeviceBackend.remaining_seconds)
        unpacked = self._unpacked()
        facts = {name: facts_of(*device, ceilings, unpacked.get(name)) for name, device in devices.items()}
        config = self.experiment.federation
        plan = Plan(items, facts, config.rounds, ceilings, is_buffered=isinstance(config.algorithm, Buffered))
        return replace(plan, savings=tuple(savings(self, plan.total())))

    def items(self, experiment: Experiment, *, with_payload: bool = False) -> tuple[Item, ...]:
        """Return what all rounds send with an experiment of other settings on the same devices."""
        costs = self.costs(experiment, with_payload=with_payload)
        drawn = drawn_clients(experiment, self.machines(experiment).assignment)
        return tuple(item for round, clients in drawn for item in costs.items(round, clients))

    def costs(self, experiment: Experiment, *, with_payload: bool = False) -> RoundCosts:
        """Return what rounds cost with an experiment of other settings on the same devices."""
        sizes = Sizes.of(experiment, self.shards, self.num_test, self.num_validation)
        known = {} if with_payload else self._evaluations
        return RoundCosts(
            self.devices(experiment), experiment.federation, sizes, with_payload=with_payload, known=known
        )

    def machines(self, experiment: Experiment) -> Machines:
        """Return who has which machine in an experiment of other settings; none is opened for it."""
        return self.open_devices.machines(experiment)

    def changeable(self) -> Machines:
        """Return who has which machine, and which of them would hold several copies of the circuit."""
        return replace(self.machines(self.experiment), copies=self.open_devices.copies(self.experiment))

    def devices(self, experiment: Experiment) -> Devices:
        """Return the devices that an experiment of other settings uses, with its entries; none is opened twice.

        Raises:
            BackendError: A device cannot take the circuit with its settings.
        """
        return self.open_devices.used_by(experiment)

    def budget(self, seconds: float) -> float | None:
        """Return the budget that keeps a run within so many QPU seconds; None where its devices can have none."""
        own = self.experiment.backends.budget_seconds
        if not self.open_devices.keep_seconds(self.experiment):
            return None
        return seconds if own is None else min(seconds, own)

    def _unpacked(self) -> dict[str, Work]:
        """Return the work of each backend if none had blocks or sent joint jobs; nothing where none has blocks."""
        entries = {name: backend.entry for name, (backend, _) in self.devices(self.experiment).items()}
        packed = [name for name, entry in entries.items() if entry.blocks is not None]
        if not packed:
            return {}
        settings: dict[Key, Any] = {("aggregation", "success_exponent"): 0.0}  # costs nothing, and may need blocks
        for name in packed:
            settings["backends", "backends", name, "blocks"] = None
            settings["backends", "backends", name, "joint"] = False
        try:
            return work_of(self.items(changed(self.experiment, [Change("no blocks", settings, 0.0)])))
        except (ConfigurationError, BackendError):  # the circuit cannot run so
            return {}
