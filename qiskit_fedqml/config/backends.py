"""The schema of `backends.yaml`: what an entry and the assignment may say."""

from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Tag, field_validator, model_validator

from qiskit_fedqml.config.alternatives import chosen_by
from qiskit_fedqml.config.assignment import Assignment
from qiskit_fedqml.config.blocks import Blocks, blocks_of_clients
from qiskit_fedqml.config.devices import DeviceEntry, IBMEntry, ProviderEntry
from qiskit_fedqml.config.mitigation import Mitigation
from qiskit_fedqml.config.own_machines import ObjectEntry, PythonEntry
from qiskit_fedqml.config.strict import (
    Integer,
    NaturalNumber,
    Number,
    PositiveNumber,
    Seconds,
    Shots,
    StrictModel,
    nearest,
)
from qiskit_fedqml.errors import listed, shown

Probability = Annotated[Number, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(pattern=r"^[\w.-]+$", max_length=100)]
"""A backend's name, which also names files."""


class GateRates(StrictModel):
    """A rate after one-qubit gates (SX and X; RZ is virtual) and one after CX, each from 0 to 1."""

    one_qubit: Probability = 0.0
    """Rate after each SX and X gate."""
    two_qubit: Probability = 0.0
    """Rate after each CX gate."""


class ReadoutRates(StrictModel):
    """Probabilities to read 1 where the qubit was 0, and 0 where it was 1."""

    read_1_if_0: Probability = 0.0
    """Probability to read 1 where the qubit was 0."""
    read_0_if_1: Probability = 0.0
    """Probability to read 0 where the qubit was 1."""


class StatedNoise(StrictModel):
    """Noise by stated rates, the same on every qubit; a single readout number is both errors."""

    depolarizing: GateRates = GateRates()
    """Depolarizing error of gates."""
    amplitude_damping: GateRates = GateRates()
    """Amplitude damping of gates."""
    readout: ReadoutRates = ReadoutRates()
    """Errors of readout; one number is both of them."""

    @field_validator("readout", mode="before")
    @classmethod
    def _both_readout_errors(cls, value: Any) -> Any:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return {"read_1_if_0": value, "read_0_if_1": value} if is_number else value


class CalibrationFile(StrictModel):
    """Noise of a saved calibration; a relative path starts at the folder of the backends file."""

    calibration: str
    """A file that `fedqml backends --save-calibration` wrote; a relative path starts at the backends file's folder."""


def _kind_of_noise(value: Any) -> str | None:
    if isinstance(value, str):
        return "a fake device's name"
    if isinstance(value, CalibrationFile) or (isinstance(value, dict) and "calibration" in value):
        return "calibration file"
    if isinstance(value, dict) and get_close_matches("calibration", map(str, value), n=1):
        return None  # a misspelt key, whose alternatives are not the rates alone
    return "stated rates" if isinstance(value, (dict, StatedNoise)) else None


NoiseEntry = Annotated[
    Annotated[str, Tag("a fake device's name")]
    | Annotated[CalibrationFile, Tag("calibration file")]
    | Annotated[StatedNoise, Tag("stated rates")],
    chosen_by(_kind_of_noise, "must be a fake device's name, {calibration: FILE} or stated rates"),
]


class AerEntry(StrictModel):
    """A machine simulated on this computer.

    ``noise`` is None for an ideal machine; ``shots`` is None for exact expectation values. ``simulator`` is ``"sweep"``
    (values and derivatives in two sweeps), ``"aer"`` (every shifted circuit by Aer) or ``"auto"`` (the sweeps where
    they apply, else Aer). ``noise_factor`` multiplies every error rate of the noise: 2 is a machine twice as noisy.
    ``mitigation`` is None for values as the machine gives them. ``blocks`` gives each client a block of the device's
    qubits of its own. ``test_shots`` are the shots of evaluations that train nothing; None takes ``shots``.
    """

    type: Literal["aer"]
    """A machine simulated on this computer."""
    noise: NoiseEntry | None = None
    """A fake device's name, `{calibration: FILE}` or stated rates; none is an ideal machine."""
    noise_factor: Annotated[PositiveNumber, Field(le=1e6)] = 1.0
    """Multiplies every error rate of the noise: 2 is a machine twice as noisy."""
    shots: Shots | None = None
    """Shots of each circuit; none gives exact expectation values."""
    test_shots: Shots | None = None
    """Shots of evaluations that train nothing; none takes `shots`."""
    optimization_level: Annotated[Integer, Field(ge=0, le=3)] = 3
    """The transpiler's effort."""
    transpiler_seed: NaturalNumber = 0
    """The same seed finds the same layout."""
    simulator: Literal["auto", "sweep", "aer"] = "auto"
    """`sweep`: values and derivatives in two sweeps; `aer`: every shifted circuit; `auto`: whichever applies."""
    mitigation: Mitigation | None = None
    """What is done about the machine's errors; none gives values as they are."""
    blocks: Annotated[Blocks | None, BeforeValidator(blocks_of_clients)] = None
    """Gives each client a block of the device's qubits of its own: off or auto."""

    @model_validator(mode="after")
    def _all_has_an_effect(self) -> "AerEntry":
        if self.noise is None and self.noise_factor != 1.0:
            raise ValueError("noise_factor has no effect without noise")
        if self.shots is None and self.test_shots is not None:
            raise ValueError("test_shots has no effect without shots, where all expectation values are exact")
        if self.blocks is not None and not isinstance(self.noise, (str, CalibrationFile)):
            raise ValueError("blocks need the noise of a fake device or of a calibration, which has couplings")
        if self.blocks is not None and self.blocks.spread != "clients":
            raise ValueError("blocks of a simulator hold a client each: their spread must be clients")
        return self

    @model_validator(mode="after")
    def _mitigation_has_noise(self) -> "AerEntry":
        if self.mitigation is None:
            return self
        if self.noise is None:
            raise ValueError("mitigation has no effect without noise")
        if isinstance(self.noise, StatedNoise):
            if self.mitigation.readout and self.noise.readout == ReadoutRates():
                raise ValueError("mitigation.readout has no effect without readout error")
            if self.mitigation.zne and not self.noise.depolarizing.two_qubit + self.noise.amplitude_damping.two_qubit:
                raise ValueError("mitigation.zne has no effect without errors of two-qubit gates")
        return self


BackendEntry = Annotated[AerEntry | IBMEntry | ProviderEntry | PythonEntry | ObjectEntry, Field(discriminator="type")]


class BackendsFile(StrictModel):
    """The whole of `backends.yaml`; ``budget_seconds`` of QPU time are the most that a run may take on all devices."""

    backends: Annotated[dict[Name, BackendEntry], Field(min_length=1, max_length=1000)]
    """The machines, by their names."""
    assignment: Assignment = Assignment()
    """Which client has which machine."""
    budget_seconds: Seconds | None = None
    """The most QPU seconds that a run may take on all devices."""

    @model_validator(mode="after")
    def _names_exist(self) -> "BackendsFile":
        for key, name in self.assignment.names():
            if name not in self.backends:
                raise ValueError(f"assignment.{key} names the backend {shown(name)}{nearest(name, self.backends)}")
        if self.budget_seconds is not None and not any(isinstance(e, DeviceEntry) for e in self.backends.values()):
            raise ValueError("budget_seconds has no effect without a backend of type ibm or backend")
        sessions = [n for n, e in self.backends.items() if isinstance(e, IBMEntry) and e.mode == "session"]
        if self.budget_seconds is not None and sessions:
            raise ValueError(
                f"budget_seconds cannot be kept with mode: session (of {listed(sessions)}), which is charged by the "
                "clock; use batch"
            )
        return self
