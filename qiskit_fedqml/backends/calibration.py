"""Calibrations of IBM devices: IBM's own configuration and properties, from a fake device or from a saved file.

This module alone imports qiskit-ibm-runtime's fake devices, when one is first used.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qiskit.providers import BackendV2
from qiskit.transpiler import Target

from qiskit_fedqml.config.strict import nearest
from qiskit_fedqml.errors import BackendError


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
    def target(self) -> Target:
        """The device as a transpiler target with gate errors, durations, T1 and T2.

        Raises what qiskit-ibm-runtime raises where configuration or properties are not IBM's format.
        """
        from qiskit_ibm_runtime.models import BackendProperties, QasmBackendConfiguration
        from qiskit_ibm_runtime.utils.backend_converter import convert_to_target

        configuration = QasmBackendConfiguration.from_dict(json.loads(json.dumps(self.configuration)))
        properties = BackendProperties.from_dict(json.loads(json.dumps(self.properties)))
        return convert_to_target(configuration, properties, include_control_flow=False)

    def readout_probabilities(self, qubit: int) -> tuple[float, float]:
        """Return the probabilities to read 1 where the qubit was 0, and 0 where it was 1."""
        values = {item["name"]: item["value"] for item in self.properties["qubits"][qubit]}
        symmetric = values.get("readout_error", 0.0)
        return float(values.get("prob_meas1_prep0", symmetric)), float(values.get("prob_meas0_prep1", symmetric))

    def scaled(self, factor: float) -> "Calibration":
        """Return the calibration of a machine whose error rates are ``factor`` times these.

        Gate errors and readout probabilities are multiplied, T1 and T2 divided. A gate error stays at most 1, and a
        probability to read wrongly at most one half, where a readout tells nothing.
        """

        def changed(item: dict[str, Any]) -> dict[str, Any]:
            match item["name"]:
                case "T1" | "T2":
                    return {**item, "value": item["value"] / factor}
                case "gate_error":
                    return {**item, "value": min(item["value"] * factor, 1.0)}
                case "readout_error" | "prob_meas0_prep1" | "prob_meas1_prep0":
                    return {**item, "value": min(item["value"] * factor, max(item["value"], 0.5))}
            return item

        qubits = [[changed(item) for item in qubit] for qubit in self.properties["qubits"]]
        gates = [{**gate, "parameters": list(map(changed, gate["parameters"]))} for gate in self.properties["gates"]]
        return Calibration(self.configuration, {**self.properties, "qubits": qubits, "gates": gates})

    def save(self, path: Path) -> None:
        """Write the calibration as JSON, which :func:`load_calibration` reads.

        Raises:
            BackendError: The file cannot be written.
        """
        text = json.dumps({"configuration": self.configuration, "properties": self.properties}, indent=1)
        part = path.with_name(path.name + ".part")
        try:
            part.write_text(text + "\n", encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise BackendError(f"{path} cannot be written: {error.strerror}.") from error


def load_calibration(path: Path) -> Calibration:
    """Read a saved calibration.

    Raises:
        BackendError: The file cannot be read or is not a calibration.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        calibration = Calibration(data["configuration"], data["properties"])
        if len(calibration.properties["qubits"]) != calibration.num_qubits or not (
            calibration.date and calibration.device
        ):
            raise ValueError("its properties do not cover its qubits")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackendError(
            f"{path} is not a calibration (JSON with IBM's `configuration` and `properties`): {error!r}."
        ) from error
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


def fake_calibration(name: str) -> Calibration:
    """Return the calibration of a fake device.

    Raises:
        BackendError: There is no such fake device.
    """
    return calibration_of(fake_device(name))


def calibration_of(device: Any) -> Calibration:
    """Return the calibration of a device of qiskit-ibm-runtime, real or fake, that was read last.

    Raises:
        BackendError: The device publishes none.
    """
    properties = device.properties()
    if properties is None:
        raise BackendError(f"{device.name} publishes no calibration.")
    return Calibration(_plain(device.configuration().to_dict()), _plain(properties.to_dict()))


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """Return JSON values alone; dates become ISO text, complex numbers become pairs."""

    def convert(item: Any) -> Any:
        return [item.real, item.imag] if isinstance(item, complex) else str(item)

    result: dict[str, Any] = json.loads(json.dumps(value, default=convert))
    return result
