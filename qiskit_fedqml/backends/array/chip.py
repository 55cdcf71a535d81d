"""The chip of a machine: its qubits, where they lie, and which of them are coupled."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from qiskit_fedqml.backends.array.registry import BackendRegistry, find_calibration
from qiskit_fedqml.backends.calibration import Calibration
from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.config.backends import AerEntry, StatedNoise
from qiskit_fedqml.config.devices import ProviderEntry
from qiskit_fedqml.errors import BackendError

Pair = tuple[int, int]


@dataclass(frozen=True)
class Chip:
    """The qubits of a machine, those that do not work included.

    Args:
        num_qubits: Their number.
        couplings: Pairs of coupled qubits, each once and in ascending order.
        coordinates: Column and row of each qubit, rows downwards, as its provider publishes them; else None.
    """

    num_qubits: int
    couplings: tuple[Pair, ...]
    coordinates: tuple[tuple[float, float], ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the chip as plain values: two short texts in place of hundreds of lines."""
        couplings = " ".join(f"{a}-{b}" for a, b in self.couplings)
        values: dict[str, Any] = {"num_qubits": self.num_qubits, "couplings": couplings}
        if self.coordinates is not None:
            values["coordinates"] = " ".join(f"{x:g},{y:g}" for x, y in self.coordinates)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Chip":
        """Read a chip from its plain values.

        Raises:
            KeyError: A value is missing.
            TypeError: One is of another type.
            ValueError: One cannot be read.
        """
        couplings = [tuple(map(int, pair.split("-"))) for pair in values["couplings"].split()]
        coordinates = [tuple(map(float, place.split(","))) for place in values.get("coordinates", "").split()]
        num_qubits = int(values["num_qubits"])
        return cls(num_qubits, _pairs(couplings), _checked(coordinates, num_qubits))


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
        pairs = () if couplings is None else _pairs(couplings.get_edges())
        return Chip(backend.machine.qiskit_backend.num_qubits, pairs) if pairs else None
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


def required_chip(registry: BackendRegistry, name: str) -> Chip:
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
    pairs = _pairs([*published, *listed])
    coordinates = _checked(calibration.configuration.get("coords"), calibration.num_qubits)
    return Chip(calibration.num_qubits, pairs, coordinates) if pairs else None


def _pairs(groups: Iterable[tuple[int, ...]]) -> tuple[Pair, ...]:
    return tuple(sorted({(min(on), max(on)) for on in groups if len(on) == 2}))


def _checked(coordinates: Any, num_qubits: int) -> tuple[tuple[float, float], ...] | None:
    """Return coordinates if there is a place of its own for each qubit."""
    try:
        places = tuple((float(x), float(y)) for x, y in coordinates)
    except (TypeError, ValueError):
        return None
    is_whole = len(set(places)) == len(places) == num_qubits and all(math.isfinite(v) for place in places for v in place)
    return places if is_whole else None
