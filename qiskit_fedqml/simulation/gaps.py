"""What cannot be used of a machine, because it is broken or nobody published its errors."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

_MOST_WORDS = 6
"""Most qubits or gates that are named for one reason."""


@dataclass(frozen=True)
class Gaps:
    """Qubits and gates that a machine's calibration leaves out, and what follows from figures that it lacks.

    Args:
        qubits: Why a qubit cannot be used, by qubit.
        gates: Why a gate cannot be used, by name and qubits; its qubits can. Without qubits: anywhere.
        relaxation: Which of T1 and T2 are missing, by qubit. The qubit is used: its gates have the errors that are
            published of them, without a part that relaxes by the missing time.
    """

    qubits: Mapping[int, str] = field(default_factory=dict)
    gates: Mapping[tuple[str, tuple[int, ...]], str] = field(default_factory=dict)
    relaxation: Mapping[int, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.qubits or self.gates or self.relaxation)

    def why_not(self, gate: str, qubits: tuple[int, ...]) -> str | None:
        """Return why a gate cannot be used, in words, or None."""
        for qubit in qubits:
            if qubit in self.qubits:
                return f"qubit {qubit} is left out ({self.qubits[qubit]})"
        for on in ((), qubits):
            if (gate, on) in self.gates:
                return f"{gate} on {_joined(on)} is left out ({self.gates[gate, on]})"
        return None

    def left_out(self) -> str:
        """Return what is left out and why; empty if nothing is."""
        by_gate: dict[tuple[str, str], list[str]] = defaultdict(list)
        for (name, qubits), reason in self.gates.items():
            by_gate[name, reason].append(_joined(qubits))
        parts = [f"{_listed('qubit', numbers)} ({reason})" for reason, numbers in _by_reason(self.qubits).items()]
        return ", ".join([*parts, *(f"{name} on {_cut(of)} ({reason})" for (name, reason), of in by_gate.items())])

    def __str__(self) -> str:
        sentences = [f"left out: {text}"] if (text := self.left_out()) else []
        for missing, numbers in _by_reason(self.relaxation).items():
            sentences.append(f"no published {missing} of {_listed('qubit', numbers)}, so no relaxation by them")
        return "; ".join(sentences)


def _by_reason(reasons: Mapping[int, str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for qubit, reason in sorted(reasons.items()):
        found[reason].append(qubit)
    return found


def _listed(noun: str, numbers: list[int]) -> str:
    return f"{noun}{'s' * (len(numbers) != 1)} {_cut([str(number) for number in numbers])}"


def _cut(words: list[str]) -> str:
    shown = words[:_MOST_WORDS] if len(words) > _MOST_WORDS + 1 else words
    more = len(words) - len(shown)
    return ", ".join(shown) + (f" and {more} others" if more else "")


def _joined(qubits: tuple[int, ...]) -> str:
    return "-".join(map(str, qubits)) or "any qubit"
