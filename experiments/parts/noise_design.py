"""What the noise study compares: machines, arrays, shots, strengths of the noise, and mitigation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qiskit_fedqml.errors import ConfigurationError

Machine = Mapping[str, Any]
"""An Aer machine, as an entry of a backends section without its shots."""

SHOTS = 1024
"""Shots where they are not what is studied."""

NOISELESS = "Noiseless"
UNIFORM = "Uniform array"
SKEWED = "Skewed array"


def array(machines: Mapping[str, Machine], shots: int | None = SHOTS) -> dict[str, Any]:
    """Return a backends section in which clients have these machines in turn; the server tests on an ideal one."""
    entries = {name.lower(): {"type": "aer", "shots": shots, **machine} for name, machine in machines.items()}
    return {
        "backends": {"ideal": {"type": "aer"}, **entries},
        "assignment": {"server": "ideal", "default": {"cycle": list(entries)}},
    }


def mitigated(array: str) -> str:
    """Return the name of an array whose readout is mitigated."""
    return f"{array}, readout mitigated"


def _mitigating(machines: Mapping[str, Machine]) -> dict[str, Machine]:
    return {name: {**machine, "mitigation": {"readout": True}} for name, machine in machines.items()}


def with_shots(shots: int | None) -> str:
    """Return the name of the uniform array with so many shots."""
    return UNIFORM if shots == SHOTS else f"Uniform array, {shots or 'exact'}{' shots' if shots else ''}"


def with_factor(factor: float) -> str:
    """Return the name of the uniform array with its error rates multiplied."""
    return UNIFORM if factor == 1.0 else f"Uniform array, rates × {factor:g}"


@dataclass(frozen=True)
class Design:
    """What is compared.

    Args:
        devices: The machines of the uniform array by name, each as it was calibrated.
        skewed: The machines of the skewed array.
        shots_swept: Other shots of the uniform array than ``SHOTS``; None, which stands for exact expectation values,
            must be among them.
        factors: Factors on the error rates of the uniform array; 1 must be among them.

    Raises:
        ConfigurationError: There is no machine in an array, or None or 1 is missing.
    """

    devices: Mapping[str, Machine]
    skewed: Mapping[str, Machine]
    shots_swept: tuple[int | None, ...]
    factors: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.devices or not self.skewed:
            raise ConfigurationError("Arguments `devices` and `skewed` must name a machine each.")
        if None not in self.shots_swept or 1.0 not in self.factors:
            raise ConfigurationError(
                f"Argument `shots_swept` must hold None and `factors` 1, but got {self.shots_swept} and {self.factors}."
            )

    @property
    def finite_shots(self) -> list[int]:
        """All numbers of shots, in order."""
        return sorted({SHOTS, *(shots for shots in self.shots_swept if shots is not None)})

    @property
    def machines_and_arrays(self) -> list[str]:
        """The schemes whose machines are as they were calibrated, or skewed, with ``SHOTS`` shots."""
        return [*(f"{name} alone" for name in self.devices), UNIFORM, mitigated(UNIFORM), SKEWED, mitigated(SKEWED)]

    def schemes(self) -> dict[str, dict[str, Any]]:
        """Return the backends section of each scheme."""
        alone = {f"{name} alone": array({name: machine}) for name, machine in self.devices.items()}
        scaled = {
            with_factor(factor): array({name: {**m, "noise_factor": factor} for name, m in self.devices.items()})
            for factor in self.factors
            if factor != 1.0
        }
        return {
            NOISELESS: {"backends": {"ideal": {"type": "aer"}}},
            **alone,
            UNIFORM: array(self.devices),
            mitigated(UNIFORM): array(_mitigating(self.devices)),
            SKEWED: array(self.skewed),
            mitigated(SKEWED): array(_mitigating(self.skewed)),
            **{with_shots(shots): array(self.devices, shots) for shots in self.shots_swept},
            **scaled,
        }


_GOOD = {
    "Manila": {"noise": "FakeManilaV2"},
    "Nairobi": {"noise": "FakeNairobiV2"},
    "Jakarta": {"noise": "FakeJakartaV2"},
}
_BAD: Machine = {"noise": "FakeQuitoV2", "noise_factor": 4.0}

SKEWED_MACHINES: Mapping[str, Machine] = {**_GOOD, "Quito_x4_a": _BAD, "Quito_x4_b": _BAD}
"""Five machines, two of which are far noisier than the others: Quito with four times its error rates."""

FULL = Design(
    devices={**_GOOD, "Quito": {"noise": "FakeQuitoV2"}},
    skewed=SKEWED_MACHINES,
    shots_swept=(128, 512, 2048, 8192, None),
    factors=(0.5, 1.0, 2.0, 4.0, 8.0),
)
"""The whole study."""

SMALLEST = Design(
    devices={"Manila": {"noise": "FakeManilaV2"}},
    skewed={"Quito": {"noise": "FakeQuitoV2"}},
    shots_swept=(128, None),
    factors=(1.0, 2.0),
)
"""All that the study does, on as few machines as can be."""
