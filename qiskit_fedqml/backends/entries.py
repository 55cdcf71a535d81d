"""The schema of `backends.yaml`: what an entry and the assignment may say."""

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from qiskit_fedqml.configuration import Integer, NaturalNumber, Number, PositiveInteger, StrictModel, nearest

Probability = Annotated[Number, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(pattern=r"^[\w.-]+$")]
"""A backend's name, which also names files."""


class GateRates(StrictModel):
    """A rate after one-qubit gates (SX and X; RZ is virtual) and one after CX, each from 0 to 1."""

    one_qubit: Probability = 0.0
    two_qubit: Probability = 0.0


class ReadoutRates(StrictModel):
    """Probabilities to read 1 where the qubit was 0, and 0 where it was 1."""

    read_1_if_0: Probability = 0.0
    read_0_if_1: Probability = 0.0


class StatedNoise(StrictModel):
    """Noise by stated rates, the same on every qubit; a single readout number stands for both errors."""

    depolarizing: GateRates = GateRates()
    amplitude_damping: GateRates = GateRates()
    readout: ReadoutRates = ReadoutRates()

    @field_validator("readout", mode="before")
    @classmethod
    def _both_readout_errors(cls, value: Any) -> Any:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return {"read_1_if_0": value, "read_0_if_1": value} if is_number else value


class CalibrationFile(StrictModel):
    """Noise of a saved calibration; a relative path starts at the folder of the backends file."""

    calibration: str


def _kind_of_noise(value: Any) -> str | None:
    if isinstance(value, str):
        return "a fake device's name"
    if isinstance(value, CalibrationFile) or (isinstance(value, dict) and "calibration" in value):
        return "calibration file"
    return "stated rates" if isinstance(value, (dict, StatedNoise)) else None


NoiseEntry = Annotated[
    Annotated[str, Tag("a fake device's name")]
    | Annotated[CalibrationFile, Tag("calibration file")]
    | Annotated[StatedNoise, Tag("stated rates")],
    Discriminator(
        _kind_of_noise,
        custom_error_type="noise",
        custom_error_message="must be a fake device's name, {calibration: FILE}, or stated rates",
    ),
]


class AerEntry(StrictModel):
    """A machine simulated on this computer.

    ``noise`` is None for an ideal machine; ``shots`` is None for exact expectation values. ``simulator`` is ``"sweep"``
    (values and derivatives in two sweeps), ``"aer"`` (every shifted circuit by Aer) or ``"auto"`` (the sweeps where
    they apply, else Aer).
    """

    type: Literal["aer"]
    noise: NoiseEntry | None = None
    shots: PositiveInteger | None = None
    optimization_level: Annotated[Integer, Field(ge=0, le=3)] = 3
    transpiler_seed: NaturalNumber = 0
    simulator: Literal["auto", "sweep", "aer"] = "auto"


class IBMEntry(StrictModel):
    """An IBM Quantum device."""

    type: Literal["ibm"]
    device: str
    shots: PositiveInteger = 1024


BackendEntry = Annotated[AerEntry | IBMEntry, Field(discriminator="type")]


class Cycle(StrictModel):
    """Client i has the backend i modulo the length."""

    cycle: Annotated[tuple[str, ...], Field(min_length=1)]


class Random(StrictModel):
    """Each client has one of the backends, drawn with equal chances from ``seed`` and the client's id."""

    random: Annotated[tuple[str, ...], Field(min_length=1)]
    seed: Integer = 0


def _kind_of_default(value: Any) -> str | None:
    if isinstance(value, str):
        return "name"
    if isinstance(value, Cycle) or (isinstance(value, dict) and "cycle" in value):
        return "cycle"
    return "random" if isinstance(value, Random) or (isinstance(value, dict) and "random" in value) else None


class Assignment(StrictModel):
    """Which backend each client has.

    ``server`` evaluates the aggregate, ``clients`` names ids (from 0) or inclusive ranges such as ``"1-49"``, and
    ``default`` serves all other clients.
    """

    server: str = "ideal"
    default: Annotated[
        Annotated[str, Tag("name")] | Annotated[Cycle, Tag("cycle")] | Annotated[Random, Tag("random")],
        Discriminator(
            _kind_of_default,
            custom_error_type="default",
            custom_error_message="must be a backend's name, {cycle: [NAME, …]}, or {random: [NAME, …], seed: N}",
        ),
    ] = "ideal"
    clients: dict[int | str, str] = Field(default_factory=dict)

    @field_validator("clients")
    @classmethod
    def _ranges_are_disjoint(cls, value: dict[int | str, str]) -> dict[int | str, str]:
        by_first = sorted(value, key=lambda key: clients_of(key).start)
        for key, following in pairwise(by_first):
            first = clients_of(following).start
            if first in clients_of(key):
                raise ValueError(f"client {first} is named by both {key!r} and {following!r}")
        return value

    def names(self) -> list[tuple[str, str]]:
        """Return each backend name that is used, with the key that uses it."""
        default = self.default
        several = default.cycle if isinstance(default, Cycle) else default.random if isinstance(default, Random) else ()
        defaults = (default,) if isinstance(default, str) else several
        named = [("server", self.server), *(("default", n) for n in defaults)]
        return [*named, *((f"clients.{key}", name) for key, name in self.clients.items())]


def clients_of(key: int | str) -> range:
    """Return the client ids that a key of ``assignment.clients`` names.

    Raises:
        ValueError: The key is neither an id from 0 nor an inclusive range "FIRST-LAST".
    """
    first, _, last = str(key).partition("-")
    if not first.isdecimal() or not (last or first).isdecimal():
        raise ValueError(f"{key!r} must be a client's id from 0 or an inclusive range such as '1-49'")
    ids = range(int(first), int(last or first) + 1)
    if not ids:
        raise ValueError(f"range {key!r} is empty")
    return ids


class BackendsFile(StrictModel):
    """The whole of `backends.yaml`."""

    backends: Annotated[dict[Name, BackendEntry], Field(min_length=1)]
    assignment: Assignment = Assignment()

    @model_validator(mode="after")
    def _names_exist(self) -> "BackendsFile":
        for key, name in self.assignment.names():
            if name not in self.backends:
                raise ValueError(f"assignment.{key} names the backend {name!r}{nearest(name, self.backends)}")
        return self
