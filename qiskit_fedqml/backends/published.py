"""The figures that IBM publishes of a device, checked one by one.

A figure that is ``null`` counts as one that is not published. One that no device can have stops everything, with its
name, qubit and gate.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qiskit_fedqml.errors import BackendError

Item = dict[str, Any]
"""A figure in IBM's form: ``name``, ``unit``, ``value`` and ``date``."""
Items = Mapping[str, Item]
"""Figures by their names."""
GateKey = tuple[str, tuple[int, ...]]

_UNITS_OF_TIME = {unit: unit for unit in ("s", "ms", "us", "µs", "ns", "ps")} | {"μs": "us"}
"""Qiskit knows the micro sign (U+00B5), but not the Greek letter (U+03BC)."""
_UNITS_OF_FREQUENCY = {unit: unit for unit in ("Hz", "kHz", "MHz", "GHz")}
_NO_UNIT = {"": ""}


@dataclass(frozen=True)
class _Kind:
    """What values a figure may have: from ``least`` to ``most``, above ``least`` if it is positive."""

    words: str
    units: Mapping[str, str]
    most: float = math.inf
    is_positive: bool = False

    def allows(self, value: float) -> bool:
        return math.isfinite(value) and 0 <= value <= self.most and not (self.is_positive and value == 0)


_PROBABILITY = _Kind("a probability from 0 to 1", _NO_UNIT, most=1.0)
_DURATION = _Kind("a time of at least 0 in s, ms, us, ns or ps", _UNITS_OF_TIME)
_RELAXATION = _Kind("a time above 0 in s, ms, us, ns or ps", _UNITS_OF_TIME, is_positive=True)
_QUBIT_KINDS = {
    "T1": _RELAXATION,
    "T2": _RELAXATION,
    "frequency": _Kind("a frequency in Hz, kHz, MHz or GHz", _UNITS_OF_FREQUENCY),
    "readout_error": _PROBABILITY,
    "prob_meas1_prep0": _PROBABILITY,
    "prob_meas0_prep1": _PROBABILITY,
    "readout_length": _DURATION,
}
_GATE_KINDS = {"gate_error": _PROBABILITY, "gate_length": _DURATION}


@dataclass(frozen=True)
class Published:
    """The figures of a device that the package uses, all of them possible.

    Args:
        qubits: Of each qubit: ``T1``, ``T2``, ``frequency``, ``readout_error``, ``prob_meas1_prep0``,
            ``prob_meas0_prep1`` and ``readout_length``, as far as they are published.
        gates: Of each gate, by name and qubits: ``gate_error`` and ``gate_length``, as far as they are published.
        broken_qubits: Qubits that are marked as not operational.
        broken_gates: Gates that are marked as not operational.
    """

    qubits: tuple[Items, ...]
    gates: Mapping[GateKey, Items]
    broken_qubits: frozenset[int]
    broken_gates: frozenset[GateKey]

    def readout(self, qubit: int) -> tuple[float, float] | None:
        """Return the probabilities to read 1 where the qubit was 0, and 0 where it was 1; None if not published.

        ``readout_error``, which is their mean, replaces one that is missing.
        """
        items = self.qubits[qubit]
        both = [items.get(name, items.get("readout_error")) for name in ("prob_meas1_prep0", "prob_meas0_prep1")]
        if both[0] is None or both[1] is None:
            return None
        return float(both[0]["value"]), float(both[1]["value"])


def check_configuration(configuration: Any) -> None:
    """Check what the package reads of IBM's configuration of a device.

    Raises:
        BackendError: It has no name, no number of qubits, or its gates are not lists of names and of gates.
    """
    if not isinstance(configuration, dict) or not isinstance(configuration.get("backend_name"), str):
        raise BackendError("A calibration's configuration must be an object that names its device (`backend_name`).")
    num_qubits = configuration.get("n_qubits")
    check = _Check(f"The calibration of {configuration['backend_name']:.60}", 0)
    if not isinstance(num_qubits, int) or isinstance(num_qubits, bool) or num_qubits < 1:
        raise check.wrong(f"n_qubits must be a whole number from 1, but is {_short(num_qubits)}")
    basis = check.list_of("its basis_gates", configuration.get("basis_gates"))
    for entry in check.list_of("its configuration's gates", configuration.get("gates")):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise check.wrong(f"a gate of its configuration must be an object with `name`, but is {_short(entry)}")
        for on in check.list_of(f"the qubits of {entry['name']}", entry.get("coupling_map") or []):
            if not is_group_of_qubits(on, num_qubits):
                raise check.wrong(
                    f"{entry['name']} must be on qubits from 0 to {num_qubits - 1}, but is on {_short(on)}"
                )
    if wrong := [name for name in basis if not isinstance(name, str)]:
        raise check.wrong(f"its basis_gates must be names, but one is {_short(wrong[0])}")


def published(properties: Any, num_qubits: int, device: str) -> Published:
    """Check the properties that IBM publishes of a device.

    Args:
        properties: The properties, as JSON values.
        num_qubits: Number of qubits of the device.
        device: The device's name, for errors.

    Raises:
        BackendError: A figure is not possible, of another type or unit than it should be, or there twice; or the
            properties are not of these qubits.
    """
    check = _Check(f"The calibration of {device:.60}", num_qubits)
    if not isinstance(properties, dict):
        raise check.wrong(f"its properties must be an object, but are {_short(properties)}")
    check.date(properties.get("last_update_date"))
    listed = check.list_of("its qubits", properties.get("qubits"))
    if len(listed) != num_qubits:
        raise check.wrong(f"its figures are of {len(listed)} qubits, but the device has {num_qubits}")
    qubits = [check.figures(f"qubit {number}", items, _QUBIT_KINDS) for number, items in enumerate(listed)]
    gates: dict[GateKey, Items] = {}
    for entry in check.list_of("its gates", properties.get("gates")):
        key = check.gate(entry)
        if key in gates:
            raise check.wrong(f"{name_of(*key)} is listed twice")
        gates[key] = check.figures(name_of(*key), entry.get("parameters"), _GATE_KINDS)
    return Published(
        qubits=tuple(_with_mean(_without_mark(items)) for items in qubits),
        gates={key: _without_mark(items) for key, items in gates.items()},
        broken_qubits=frozenset(number for number, items in enumerate(qubits) if _is_broken(items)),
        broken_gates=frozenset(key for key, items in gates.items() if _is_broken(items)),
    )


def name_of(gate: str, qubits: tuple[int, ...]) -> str:
    """Return a gate in words, such as "cx on qubits 0-1"."""
    return f"{gate} on qubit{'s' * (len(qubits) != 1)} {'-'.join(map(str, qubits))}"


def _is_broken(items: Items) -> bool:
    return "operational" in items and not items["operational"]["value"]


def _without_mark(items: Items) -> Items:
    return {name: item for name, item in items.items() if name != "operational"}


def _with_mean(items: Items) -> Items:
    """Return a qubit's figures with the readout error, where only the two probabilities that it is the mean of are."""
    both = [items.get(name) for name in ("prob_meas1_prep0", "prob_meas0_prep1")]
    if "readout_error" in items or both[0] is None or both[1] is None:
        return items
    mean = {**both[0], "name": "readout_error", "value": (both[0]["value"] + both[1]["value"]) / 2}
    return {**items, "readout_error": mean}


class _Check:
    """Checks what is published of one device; ``what`` begins every error."""

    def __init__(self, what: str, num_qubits: int) -> None:
        self._what, self._num_qubits = what, num_qubits

    def wrong(self, reason: str) -> BackendError:
        return BackendError(f"{self._what} cannot be used: {reason}.")

    def date(self, value: Any) -> None:
        try:
            datetime.fromisoformat(value)
        except (TypeError, ValueError) as error:
            raise self.wrong(f"last_update_date must be a date in ISO format, but is {_short(value)}") from error

    def list_of(self, what: str, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.wrong(f"{what} must be a list, but are {_short(value)}")
        return value

    def gate(self, entry: Any) -> GateKey:
        if not isinstance(entry, dict) or not isinstance(entry.get("gate"), str):
            raise self.wrong(f"a gate must be an object with `gate`, `qubits` and `parameters`, but is {_short(entry)}")
        name, qubits = str(entry["gate"]), entry.get("qubits", [])
        if not is_group_of_qubits(qubits, self._num_qubits):
            numbers = f"different numbers from 0 to {self._num_qubits - 1}"
            raise self.wrong(f"the qubits of {name} must be {numbers}, but are {_short(qubits)}")
        return name, tuple(qubits)

    def figures(self, of: str, items: Any, kinds: Mapping[str, _Kind]) -> dict[str, Item]:
        """Return those of the figures of a qubit or gate that are known by name and have a value."""
        found: dict[str, Item] = {}
        for item in self.list_of(f"the figures of {of}", items):
            if not isinstance(item, dict) or not isinstance(item.get("name"), str) or "value" not in item:
                raise self.wrong(f"a figure of {of} must be an object with `name` and `value`, but is {_short(item)}")
            name, value = item["name"], item["value"]
            if value is None or not (name in kinds or name == "operational"):
                continue
            if name in found:
                raise self.wrong(f"{name} of {of} is listed twice")
            unit = self._flag(of, value) if name == "operational" else self._unit(name, of, item, kinds[name])
            found[name] = {"name": name, "unit": unit, "value": value, "date": str(item.get("date", ""))}
        return found

    def _flag(self, of: str, value: Any) -> str:
        if value not in (0, 1):
            raise self.wrong(f"operational of {of} must be 0 or 1, but is {_short(value)}")
        return ""

    def _unit(self, name: str, of: str, item: Item, kind: _Kind) -> str:
        """Return the unit of a figure, as Qiskit writes it."""
        value, unit = item["value"], item.get("unit", "")
        known = isinstance(unit, str) and unit in kind.units
        if known and isinstance(value, (int, float)) and not isinstance(value, bool) and kind.allows(_float(value)):
            return kind.units[unit]
        with_unit = f"{_short(value)} {unit if known else _short(unit)}" if unit else _short(value)
        raise self.wrong(f"{name} of {of} must be {kind.words}, but is {with_unit}")


def is_group_of_qubits(value: Any, num_qubits: int) -> bool:
    """Return whether a JSON value is a list of different qubits of a device, at least one."""
    if not isinstance(value, list) or not value:
        return False
    numbers = all(isinstance(q, int) and not isinstance(q, bool) and 0 <= q < num_qubits for q in value)
    return numbers and len(set(value)) == len(value)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
