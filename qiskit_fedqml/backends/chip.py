"""The chip of a machine, and what a map of it shows: blocks that hold a circuit, and what is idle or left out."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

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
        return cls(num_qubits, pairs_of(couplings), checked_coordinates(coordinates, num_qubits))


@dataclass(frozen=True)
class MachineMap:
    """A machine with the blocks of a circuit.

    Args:
        machine: The backend's name.
        device: The device.
        date: When it was calibrated, as IBM writes it; empty where nobody says it.
        chip: Its qubits and couplings.
        blocks: The estimated success probability of each block, from 0 to 1, by its qubits; None where it is unknown.
        left_out: Qubits and couplings that cannot be used, such as ``"17"`` and ``"3-4"``.
    """

    machine: str
    device: str
    date: str
    chip: Chip
    blocks: Mapping[tuple[int, ...], float | None]
    left_out: tuple[str, ...] = ()

    @cached_property
    def faulty_qubits(self) -> tuple[int, ...]:
        """The qubits that cannot be used."""
        return tuple(int(text) for text in self.left_out if "-" not in text)

    @cached_property
    def faulty_couplings(self) -> frozenset[Pair]:
        """The couplings that cannot be used, those of such qubits included."""
        named = {tuple(sorted(map(int, text.split("-")))) for text in self.left_out if "-" in text}
        return frozenset(c for c in self.chip.couplings if c in named or not set(c).isdisjoint(self.faulty_qubits))

    @cached_property
    def idle_qubits(self) -> tuple[int, ...]:
        """The qubits that could be used, but are in no block."""
        busy = {qubit for block in self.blocks for qubit in block}.union(self.faulty_qubits)
        return tuple(qubit for qubit in range(self.chip.num_qubits) if qubit not in busy)

    @cached_property
    def successes(self) -> tuple[float, ...]:
        """The success probabilities that are known."""
        return tuple(p for p in self.blocks.values() if p is not None)

    @property
    def title(self) -> str:
        """What is drawn, in words."""
        device = "" if self.device == self.machine else f" ({self.device})"
        return f"{self.machine}{device}{f', calibrated {self.date[:10]}' if self.date else ''}"

    @property
    def summary(self) -> str:
        """The blocks and the rest, in one sentence."""
        sizes = sorted({len(block) for block in self.blocks})
        size = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        blocks = _count(len(self.blocks), "block")
        success = "success probability unknown"
        if len(self.successes) == 1:
            success = f"success probability {self.successes[0]:.1%}"
        elif self.successes:
            success = f"success probability: mean {fmean(self.successes):.1%}, worst {min(self.successes):.1%}"
        couplings = sum("-" in text for text in self.left_out)
        faulty = [_count(number, of) for number, of in ((len(self.faulty_qubits), "qubit"), (couplings, "coupling"))]
        left_out = f", {' and '.join(t for t in faulty if t[:2] != '0 ')} left out" if self.left_out else ""
        return f"{blocks} of {size} qubits, {success}. {_count(len(self.idle_qubits), 'qubit')} idle{left_out}."


def pairs_of(groups: Iterable[tuple[int, ...]]) -> tuple[Pair, ...]:
    """Return the pairs among groups of qubits, each once and in ascending order."""
    return tuple(sorted({(min(on), max(on)) for on in groups if len(on) == 2}))


def checked_coordinates(coordinates: Any, num_qubits: int) -> tuple[tuple[float, float], ...] | None:
    """Return coordinates if there is a place of its own for each qubit."""
    try:
        places = tuple((float(x), float(y)) for x, y in coordinates)
    except (TypeError, ValueError):
        return None
    is_whole = len(set(places)) == len(places) == num_qubits and all(
        math.isfinite(v) for place in places for v in place
    )
    return places if is_whole else None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
