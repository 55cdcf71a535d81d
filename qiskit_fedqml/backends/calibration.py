"""Calibrations of IBM devices: IBM's own configuration and properties, from a fake device or from a saved file.

This module alone imports qiskit-ibm-runtime's fake devices, when one is first used.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from qiskit.exceptions import QiskitError
from qiskit.providers import BackendV2
from qiskit.transpiler import Target

from qiskit_fedqml.backends.published import Published, check_configuration, published
from qiskit_fedqml.backends.usable import gaps_of, usable_parts
from qiskit_fedqml.config.strict import nearest
from qiskit_fedqml.config.text_files import read_text
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.gaps import Gaps

_NOT_IBMS_FORMAT = (QiskitError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What qiskit-ibm-runtime raises at JSON of another form than it expects."""


@dataclass(frozen=True)
class Calibration:
    """What IBM publishes of a device on one day.

    Args:
        configuration: IBM's configuration of the device (gates, coupling map, …), as JSON values.
        properties: IBM's properties of the day (T1 and T2, gate and readout errors, …), as JSON values.
    """

    configuration: dict[str, Any]
    properties: dict[str, Any]

    @property
    def device(self) -> str:
        """The device's name."""
        return str(self.configuration["backend_name"])

    @property
    def date(self) -> str:
        """When the properties were last updated, as IBM writes it."""
        return str(self.properties["last_update_date"])

    @property
    def num_qubits(self) -> int:
        """Number of qubits of the device."""
        return int(self.configuration["n_qubits"])

    @cached_property
    def figures(self) -> Published:
        """The figures that are published of the device's qubits and gates.

        Raises:
            BackendError: A figure is not possible, or not in IBM's format.
        """
        check_configuration(self.configuration)
        return published(self.properties, self.num_qubits, self.device)

    @cached_property
    def gaps(self) -> Gaps:
        """Qubits and gates that cannot be used: they do not work, or their errors are not published.

        Raises:
            BackendError: A figure is not possible, or not in IBM's format.
        """
        figures = self.figures  # checked first
        return gaps_of(self.configuration, figures)

    @cached_property
    def target(self) -> Target:
        """What can be used of the device, as a transpiler target with gate errors, durations, T1 and T2.

        Raises:
            BackendError: A figure is not possible, or configuration or properties are not in IBM's format.
        """
        from qiskit_ibm_runtime.models import BackendProperties, QasmBackendConfiguration
        from qiskit_ibm_runtime.utils.backend_converter import convert_to_target

        parts = usable_parts(self.configuration, self.properties, self.figures, self.gaps)
        try:
            configuration, properties = json.loads(json.dumps(parts))  # which from_dict changes
            return convert_to_target(
                QasmBackendConfiguration.from_dict(configuration),
                BackendProperties.from_dict(properties),
                include_control_flow=False,
            )
        except _NOT_IBMS_FORMAT as error:
            raise BackendError(f"The calibration of {self.device} is not in IBM's format ({_short(error)}).") from error

    def readout_probabilities(self, qubit: int) -> tuple[float, float]:
        """Return the probabilities to read 1 where the qubit was 0, and 0 where it was 1.

        Raises:
            BackendError: They are not published, or a figure is not possible.
        """
        both = self.figures.readout(qubit)
        if both is None:
            raise BackendError(f"The calibration of {self.device} has no readout error of qubit {qubit}.")
        return both

    def scaled(self, factor: float) -> "Calibration":
        """Return the calibration of a machine whose error rates are ``factor`` times these.

        Gate errors and readout probabilities are multiplied, T1 and T2 divided. A gate error stays at most 1, and a
        probability to read wrongly at most one half, where a readout says nothing.

        Args:
            factor: A finite number above 0.

        Raises:
            BackendError: The factor is none, or a figure is not possible.
        """
        if not 0 < factor < math.inf:
            raise BackendError(f"Argument `factor` must be a number above 0, but got {factor}.")

        def changed(item: dict[str, Any]) -> dict[str, Any]:
            value = item["value"]
            match item["name"]:
                case "T1" | "T2" if value is not None:
                    return {**item, "value": value / factor}
                case "gate_error" if value is not None:
                    return {**item, "value": min(value * factor, 1.0)}
                case "readout_error" | "prob_meas0_prep1" | "prob_meas1_prep0" if value is not None:
                    return {**item, "value": min(value * factor, max(value, 0.5))}
            return item

        _ = self.figures  # the values are numbers
        qubits = [[changed(item) for item in qubit] for qubit in self.properties["qubits"]]
        gates = [{**gate, "parameters": list(map(changed, gate["parameters"]))} for gate in self.properties["gates"]]
        return Calibration(self.configuration, {**self.properties, "qubits": qubits, "gates": gates})

    def as_text(self) -> str:
        """Return the calibration as JSON, as :meth:`save` writes it."""
        return json.dumps({"configuration": self.configuration, "properties": self.properties}, indent=1) + "\n"

    def save(self, path: Path) -> None:
        """Write the calibration as JSON, which :func:`load_calibration` reads.

        Raises:
            BackendError: The file cannot be written.
        """
        try:
            part = path.with_name(path.name + ".part")
            part.write_text(self.as_text(), encoding="utf-8")
            try:
                part.replace(path)
            except OSError:
                part.unlink()
                raise
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a file's name"
            raise BackendError(f"{path!s:.200} cannot be written: {reason}.") from error


def load_calibration(path: Path) -> Calibration:
    """Read a saved calibration and check its figures.

    Raises:
        BackendError: The file cannot be read or is not a calibration, or one of its figures is not possible.
    """
    try:
        data = json.loads(read_text(path, BackendError))
        calibration = Calibration(data["configuration"], data["properties"])
        _ = calibration.device, calibration.date
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise BackendError(
            f"{path!s:.200} is not a calibration (JSON with IBM's `configuration` and `properties`): {_short(error)}."
        ) from error
    _ = calibration.figures
    return calibration


def fake_device(name: str) -> BackendV2:
    """Return one of qiskit-ibm-runtime's fake devices.

    Args:
        name: Its class, such as ``"FakeManilaV2"``.

    Raises:
        BackendError: There is no such fake device.
    """
    from qiskit_ibm_runtime import fake_provider

    known = [key for key in dir(fake_provider) if key.startswith("Fake") and not key.startswith("FakeProvider")]
    if name not in known:
        raise BackendError(f"qiskit-ibm-runtime has no fake device {name!r}{nearest(name, known)}")
    return getattr(fake_provider, name)()


@lru_cache(maxsize=16)
def fake_calibration(name: str) -> Calibration:
    """Return the calibration of a fake device, which is read once a process.

    Raises:
        BackendError: There is no such fake device.
    """
    return calibration_of(fake_device(name))


def calibration_of(device: Any) -> Calibration:
    """Return the calibration of a device of qiskit-ibm-runtime, real or fake, that was read last.

    Where marks of qubits and gates that do not work make the device's own ``target`` raise a TypeError
    (qiskit-ibm-runtime 0.51), they are taken off what the device object remembers. The calibration keeps them.

    Raises:
        BackendError: The device publishes none.
    """
    properties = device.properties()
    if properties is None:
        raise BackendError(f"{device.name} publishes no calibration.")
    calibration = Calibration(_plain(device.configuration().to_dict()), _plain(properties.to_dict()))
    if marked := list(_marked(properties)):
        try:
            _ = device.target
        except TypeError:
            for remembered in marked:
                remembered.pop("operational", None)
    return calibration


def refreshed_calibration(device: Any) -> Calibration:
    """Read the calibration of a device of qiskit-ibm-runtime again.

    Where marks of what does not work make it fail, the device's own ``target`` stays that of its earlier calibration.

    Raises:
        BackendError: The device publishes none.
    """
    try:
        device.refresh()
    except TypeError:  # from the marks; the properties have been read by then
        if not list(_marked(device.properties())):
            raise
    return calibration_of(device)


def _marked(properties: Any) -> Iterator[dict[str, Any]]:
    """Yield what qiskit-ibm-runtime remembers of each qubit and gate that has a mark whether it works."""
    for qubit, items in enumerate(properties.qubits):
        if any(item.name == "operational" for item in items):
            yield properties.qubit_property(qubit)
    for gate in properties.gates:
        if any(item.name == "operational" for item in gate.parameters):
            yield properties.gate_property(gate.gate, gate.qubits)


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """Return JSON values alone; dates become ISO text, complex numbers become pairs."""

    def convert(item: Any) -> Any:
        return [item.real, item.imag] if isinstance(item, complex) else str(item)

    result: dict[str, Any] = json.loads(json.dumps(value, default=convert))
    return result


def _short(error: Exception) -> str:
    """Return a foreign error's text in one short line, with its kind where the text alone says little."""
    text = " ".join(str(error).split()).rstrip(".")
    text = text if isinstance(error, json.JSONDecodeError) else f"{type(error).__name__}: {text}"
    return text if len(text) <= 200 else f"{text[:197]}..."
