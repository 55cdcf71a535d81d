"""The chips of an array's machines, and which of their qubits hold a circuit."""

from collections.abc import Iterable
from typing import Any

from qiskit_fedqml.backends.array.registry import BackendRegistry, find_calibration
from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.calibration import Calibration
from qiskit_fedqml.backends.chip import Chip, MachineMap, checked_coordinates, pairs_of
from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.backends.figures import left_out
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.backends import AerEntry, StatedNoise
from qiskit_fedqml.config.devices import ProviderEntry
from qiskit_fedqml.config.own_machines import OwnEntry
from qiskit_fedqml.errors import BackendError


def chip_of(registry: BackendRegistry, name: str) -> Chip | None:
    """Return the chip of a registry's machine; None where its qubits are not coupled in pairs that anybody states.

    Raises:
        BackendError: The machine cannot be opened, or its calibration cannot be read.
    """
    entry = registry.file.backends[name]
    if isinstance(entry, ProviderEntry):
        backend = registry[name]
        assert isinstance(backend, DeviceBackend)
        couplings = backend.machine.qiskit_backend.target.build_coupling_map()
        pairs = () if couplings is None else pairs_of(couplings.get_edges())
        return Chip(backend.machine.qiskit_backend.num_qubits, pairs) if pairs else None
    if isinstance(entry, OwnEntry):
        return None
    if isinstance(entry, AerEntry) and (entry.noise is None or isinstance(entry.noise, StatedNoise)):
        return None
    return _of_calibration(find_calibration(name, registry))


def chips_in_blocks(registry: BackendRegistry, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the chips of those machines that are cut into blocks, as plain values.

    Args:
        registry: The machines.
        names: Their names.

    Raises:
        BackendError: As :func:`chip_of`.
    """
    in_blocks = sorted({name for name in names if registry.file.backends[name].blocks is not None})
    return {name: chip.as_json() for name in in_blocks if (chip := chip_of(registry, name))}


def machine_map(registry: BackendRegistry, name: str, spec: CircuitSpec) -> MachineMap:
    """Return the map of a registry's machine with the blocks of a circuit; without blocks, with its one layout.

    Args:
        registry: The machines.
        name: The machine's name.
        spec: The circuit.

    Raises:
        BackendError: There is no such machine, it cannot be opened, it has no couplings, or the circuit does not fit.
    """
    chip, backend = _required(registry, name), registry[name]
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    program = compile_program(backend, angles.circuit, angles.params, spec.observables)
    programs: Iterable[Program] = program.copies or (program,)
    blocks = {of.qubits: backend.success_probability(of) for of in programs}
    if isinstance(registry.file.backends[name], ProviderEntry):
        assert isinstance(backend, DeviceBackend)
        return MachineMap(name, backend.machine.device, "", chip, blocks)
    calibration = find_calibration(name, registry)
    gaps = tuple(left_out(calibration.gaps, calibration.target))
    return MachineMap(name, calibration.device, calibration.date, chip, blocks, gaps)


def _required(registry: BackendRegistry, name: str) -> Chip:
    """Return the chip of a registry's machine.

    Raises:
        BackendError: There is no such machine, it cannot be opened, or it has no couplings.
    """
    if name not in registry.file.backends:
        registry[name]  # says which there are
    chip = chip_of(registry, name)
    if chip is None:
        raise BackendError(
            f"Backend {name!r} cannot be drawn: it states no couplings of its qubits, as a device, or a simulator with "
            "the noise of one, does."
        )
    return chip


def _of_calibration(calibration: Calibration) -> Chip | None:
    published = [key for _, key in calibration.figures.gates]
    listed = [tuple(on) for gate in calibration.configuration["gates"] for on in gate.get("coupling_map") or ()]
    pairs = pairs_of([*published, *listed])
    coordinates = checked_coordinates(calibration.configuration.get("coords"), calibration.num_qubits)
    return Chip(calibration.num_qubits, pairs, coordinates) if pairs else None
