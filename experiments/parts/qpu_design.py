"""What the study of QPU time compares: shots, gradients, and many copies of the circuit or one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

Settings = Mapping[str, Any]
"""Values by dotted key of an experiment file."""

NOISELESS = "Noiseless"
PACKED = "Packed"
UNPACKED = "One copy"
PACKED_SPSA = "Packed, SPSA"
UNPACKED_SPSA = "One copy, SPSA"
SMALL_BATCHES = "Packed, batches of 8"
"""As many steps and executions as batches of whole shards have with a quarter of the shots and four local epochs."""


def packed_shifts(fraction: float) -> str:
    """Return the name of packed training with a random part of the shifts."""
    return f"Packed, {fraction:.0%} of shifts"


@dataclass(frozen=True)
class Way:
    """A way to spend QPU time.

    Args:
        family: How derivatives are asked for, and how many copies of the circuit run side by side.
        shots: Shots of each circuit.
        settings: What makes an experiment on the device train so.
        simulated: What trains so on a simulator with the device's noise; None where the device's jobs are rehearsed.
    """

    family: str
    shots: int
    settings: Settings
    simulated: Settings | None = None

    @property
    def name(self) -> str:
        """What its runs are called."""
        return f"{self.family}, {self.shots} shots"


@dataclass(frozen=True)
class Design:
    """What is compared on one device.

    Args:
        backend: The name of the device's entry in the experiment file.
        device: The fake device.
        packed: Shots of packed training with all shifts.
        shifted: Shots of packed training with random shifts, by their fraction.
        small_batches: Shots of packed training with batches of 8 and one local epoch.
        spsa: Shots of packed training with SPSA.
        unpacked: Shots of training with one copy of the circuit.
        unpacked_spsa: Shots of training with one copy of the circuit and SPSA.
    """

    backend: str
    device: str
    packed: tuple[int, ...]
    shifted: Mapping[float, tuple[int, ...]]
    small_batches: tuple[int, ...]
    spsa: tuple[int, ...]
    unpacked: tuple[int, ...]
    unpacked_spsa: tuple[int, ...]

    @cached_property
    def ways(self) -> tuple[Way, ...]:
        """All ways, family by family."""
        found = [self._way(PACKED, shots) for shots in self.packed]
        for fraction, some in self.shifted.items():
            gradient = {"random_shifts": {"fraction": fraction}}
            found += [self._way(packed_shifts(fraction), shots, gradient=gradient) for shots in some]
        found += [self._in_small_batches(shots) for shots in self.small_batches]
        found += [self._way(PACKED_SPSA, shots, gradient={"spsa": {}}) for shots in self.spsa]
        found += [self._one_copy(shots) for shots in self.unpacked]
        one = {"blocks": "off", "joint": False, "gradient": {"spsa": {}}}
        return (*found, *(self._way(UNPACKED_SPSA, shots, **one) for shots in self.unpacked_spsa))

    @property
    def families(self) -> tuple[str, ...]:
        """The families, in order."""
        return tuple(dict.fromkeys(way.family for way in self.ways))

    def of(self, family: str) -> list[Way]:
        """Return the ways of a family, from few shots to many."""
        return sorted((way for way in self.ways if way.family == family), key=lambda way: way.shots)

    def _way(self, family: str, shots: int, **entry: Any) -> Way:
        values = {"device": self.device, "shots": shots, "budget_seconds": None, **entry}
        return Way(family, shots, {f"backends.backends.{self.backend}.{key}": value for key, value in values.items()})

    def _in_small_batches(self, shots: int) -> Way:
        way = self._way(SMALL_BATCHES, shots)
        return replace(way, settings={**way.settings, "federation.batch_size": 8, "federation.local_epochs": 1})

    def _one_copy(self, shots: int) -> Way:
        """Return training with one copy, whose jobs would take hours to rehearse: its noise and shots are simulated."""
        way = self._way(UNPACKED, shots, blocks="off", joint=False)
        noisy = {"type": "aer", "noise": self.device, "shots": shots}
        return Way(way.family, shots, way.settings, {f"backends.backends.{self.backend}": noisy})


FULL = Design(
    backend="fez",
    device="FakeFez",
    packed=(4, 8, 16, 32, 64, 128, 256, 512),
    shifted={0.5: (16, 64, 256), 0.25: (16, 64, 256)},
    small_batches=(64,),
    spsa=(16, 64, 256, 512),
    unpacked=(4, 16, 64, 512),
    unpacked_spsa=(),
)
"""The whole study."""

SMALLEST = Design(
    backend="fez",
    device="FakeGuadalupeV2",
    packed=(16, 64),
    shifted={0.5: (64,)},
    small_batches=(64,),
    spsa=(64,),
    unpacked=(64,),
    unpacked_spsa=(16,),
)
"""All that the study does, on a device of 16 qubits."""
