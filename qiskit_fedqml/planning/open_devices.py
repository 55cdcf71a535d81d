"""Devices that are opened once and planned under any entries: no other settings open one again."""

from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.array.used import used_backends
from qiskit_fedqml.backends.devices.cost import unstated_durations
from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.blocks import Blocks
from qiskit_fedqml.config.circuit import Wanted
from qiskit_fedqml.config.devices import DeviceEntry, IBMEntry, ProviderEntry
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.planning.changes import Machines
from qiskit_fedqml.planning.compiled import Devices, compiled

_SAME_CIRCUIT = {"shots", "test_shots", "rep_delay_seconds", "gradient", "task", "joint", "budget_seconds"}
"""Keys of an entry that leave the circuit as it was compiled."""


@dataclass
class OpenDevices:
    """The devices of an experiment, with the circuit compiled for each.

    Args:
        registry: The machines.
        spec: The circuit.
        of: Of which of its parameters training takes derivatives.
    """

    registry: BackendRegistry
    spec: CircuitSpec
    of: Wanted
    _devices: dict[Hashable, tuple[DeviceBackend, Program]] = field(default_factory=dict, init=False, repr=False)
    _programs: dict[Hashable, Program] = field(default_factory=dict, init=False, repr=False)

    def machines(self, experiment: Experiment) -> Machines:
        """Return who has which machine in an experiment; none is opened for it."""
        registry = BackendRegistry(experiment.backends, Path(), self.registry.dispatcher)
        return Machines(*used_backends(experiment, registry))

    def used_by(self, experiment: Experiment) -> Devices:
        """Return the devices that an experiment uses, with its entries.

        Raises:
            BackendError: A device cannot be opened, or cannot take the circuit.
        """
        machines, found = self.machines(experiment), {}
        for name in machines.devices:
            entry = experiment.backends.backends[name]
            assert isinstance(entry, DeviceEntry)
            found[name] = self._under(name, entry, machines.clients_of(name))
        return found

    def keep_seconds(self, experiment: Experiment) -> bool:
        """Return whether a run on the devices of an experiment can have a budget of QPU seconds.

        A session, which is charged by the clock, cannot keep one, nor a provider's machine that states no durations.
        """
        if any(isinstance(e, IBMEntry) and e.mode == "session" for e in experiment.backends.backends.values()):
            return False
        return not any(
            isinstance(backend.entry, ProviderEntry) and unstated_durations(backend.machine.qiskit_backend.target)
            for backend, _ in self.used_by(experiment).values()
        )

    def copies(self, experiment: Experiment) -> dict[str, int]:
        """Return how many copies of the circuit devices without blocks would hold, of those that hold several.

        The circuit is laid out for it, unless a device is too small.

        Raises:
            BackendError: As :meth:`used_by`.
        """
        machines, found = self.machines(experiment), dict[str, int]()
        for name, (backend, _) in self.used_by(experiment).items():
            num_qubits = backend.machine.qiskit_backend.num_qubits
            has_layout = backend.entry.blocks is not None or backend.entry.initial_layout is not None
            if has_layout or num_qubits < 2 * self.spec.circuit.num_qubits:
                continue
            packed = backend.entry.model_copy(update={"blocks": Blocks()})
            with suppress(BackendError):  # it states no errors by which blocks could be chosen
                found[name] = len(self._under(name, packed, machines.clients_of(name))[1].copies)
        return {name: number for name, number in found.items() if number > 1}

    def _under(self, name: str, entry: DeviceEntry, clients: tuple[int, ...]) -> tuple[DeviceBackend, Program]:
        """Return a device under an entry, whose blocks these clients share, and the circuit as it runs there."""
        has_own_blocks = entry.blocks is not None and entry.blocks.spread == "clients"
        key = name, entry.model_dump_json(), clients if has_own_blocks else ()
        if key not in self._devices:
            opened = self.registry[name]
            assert isinstance(opened, DeviceBackend)
            backend = opened if entry == opened.entry and not has_own_blocks else opened.with_entry(entry)
            backend.give_blocks_to(clients)
            self._devices[key] = backend, self._program(backend)
        return self._devices[key]

    def _program(self, backend: DeviceBackend) -> Program:
        """Return the circuit as a device runs it: the same for all entries that agree in what it depends on."""
        key = backend.name, backend.entry.model_dump_json(exclude=_SAME_CIRCUIT)
        if key not in self._programs:
            self._programs[key] = compiled(backend, self.spec, self.of)
        return self._programs[key]
