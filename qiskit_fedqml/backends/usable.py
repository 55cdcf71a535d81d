"""What can be used of a device: the qubits and gates that work, and whose errors are published.

A gate without a published error would be simulated without error, and so become the transpiler's favourite.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from qiskit.circuit import Gate
from qiskit.circuit.library import get_standard_gate_name_mapping

from qiskit_fedqml.backends.published import GateKey, Items, Published
from qiskit_fedqml.simulation.gaps import Gaps

VIRTUAL_GATES = frozenset({"rz", "p", "u1", "z", "s", "sdg", "t", "tdg"})
"""Gates about Z, which devices do in software by shifting the phase of later pulses (McKay et al., Phys. Rev. A 96,
022330): they have no error, also where none is published."""


_NEVER_INSERTED = frozenset({"id", "reset", "delay"})
"""What a transpiler keeps, but never makes of anything else."""
_UNKNOWN = "no published error"
_OPERATIONAL = {"name": "operational", "unit": "", "value": 1, "date": ""}


@cache
def needs_error(name: str) -> bool:
    """Return whether an instruction is a gate that a device does with pulses, so that it has an error.

    Delays and resets are no gates; no device publishes errors of theirs.
    """
    instruction = get_standard_gate_name_mapping().get(name)
    return name not in VIRTUAL_GATES and (instruction is None or isinstance(instruction, Gate))


def gaps_of(configuration: Mapping[str, Any], figures: Published) -> Gaps:
    """Return what cannot be used of a device.

    A qubit is left out if it does not work, its readout error is not published, or one of its one-qubit gates is left
    out, because the transpiler may need that gate on any qubit.

    Args:
        configuration: IBM's configuration, whose ``basis_gates`` and ``gates`` are lists of names and of gates.
        figures: What is published of the device.
    """
    qubits = {q: reason for q in range(len(figures.qubits)) if (reason := _fault_of_qubit(figures, q))}
    gates: dict[GateKey, str] = {}
    for name in dict.fromkeys([*configuration["basis_gates"], "reset"]):
        instances = _instances(configuration, figures, name)
        wrong = {key: reason for key in instances if (reason := _fault(figures, key))}
        if needs_error(name) and len(wrong) == len(instances):
            gates[name, ()] = next(iter(wrong.values()), _UNKNOWN)
            continue
        gates |= wrong
        for (_, on), reason in wrong.items():
            if len(on) == 1 and name not in _NEVER_INSERTED:
                qubits.setdefault(on[0], f"{reason} of {name}" if reason == _UNKNOWN else f"{name} {reason}")
    return Gaps(
        qubits=qubits,
        gates={(name, on): reason for (name, on), reason in gates.items() if qubits.keys().isdisjoint(on)},
        relaxation={
            q: " and ".join(missing)
            for q, items in enumerate(figures.qubits)
            if q not in qubits and (missing := [name for name in ("T1", "T2") if name not in items])
        },
    )


def usable_parts(
    configuration: Mapping[str, Any], properties: Mapping[str, Any], figures: Published, gaps: Gaps
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return configuration and properties without what is left out.

    They have no marks of what does not work either, which make qiskit-ibm-runtime 0.51 raise a TypeError.
    """

    def works(name: str, on: Iterable[int]) -> bool:
        return gaps.why_not(name, tuple(on)) is None

    entries = [
        {**entry, "coupling_map": [on for on in pairs if works(entry["name"], on)]}
        if (pairs := entry.get("coupling_map"))
        else entry
        for entry in configuration["gates"]
    ]
    # A gate without qubits would be one on any qubits.
    instances = {name: _instances(configuration, figures, name) for name in configuration["basis_gates"]}
    basis = [name for name, of in instances.items() if any(works(*key) for key in of) or not (of or needs_error(name))]
    return {**configuration, "basis_gates": basis, "gates": entries}, {
        **properties,
        # A qubit without any figure would shift those of the qubits behind it.
        "qubits": [[*items.values(), _OPERATIONAL] for items in figures.qubits],
        "gates": [_as_gate(key, items) for key, items in figures.gates.items() if works(*key)],
        "general": [],
    }


def _as_gate(key: GateKey, items: Items) -> dict[str, Any]:
    return {"gate": key[0], "qubits": list(key[1]), "parameters": list(items.values())}


def _instances(configuration: Mapping[str, Any], figures: Published, name: str) -> list[GateKey]:
    """Return a gate on each group of qubits that has it, by the configuration or by the properties."""
    listed = [tuple(on) for g in configuration["gates"] if g["name"] == name for on in g.get("coupling_map") or ()]
    return list(dict.fromkeys([*((name, on) for on in listed), *(key for key in figures.gates if key[0] == name)]))


def _fault(figures: Published, key: GateKey) -> str | None:
    if key in figures.broken_gates:
        return "not operational"
    is_unknown = needs_error(key[0]) and "gate_error" not in figures.gates.get(key, {})
    return _UNKNOWN if is_unknown else None


def _fault_of_qubit(figures: Published, qubit: int) -> str | None:
    if qubit in figures.broken_qubits or ("measure", (qubit,)) in figures.broken_gates:
        return "not operational"
    return "no published readout error" if figures.readout(qubit) is None else None
