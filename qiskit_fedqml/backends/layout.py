"""Circuits on a device's qubits, without those that are left out.

Qiskit's layouts take a qubit without gates for one without errors, and put idle qubits there first. So where qubits are
left out the layout is found on the device without them.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.providers import BackendV2
from qiskit.transpiler import Target, generate_preset_pass_manager

from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.gaps import Gaps


def lay_out(
    circuit: QuantumCircuit,
    target: Target,
    gaps: Gaps,
    *,
    optimization_level: int,
    seed: int,
    initial_layout: Sequence[int] | None = None,
    backend: BackendV2 | None = None,
) -> QuantumCircuit:
    """Return a circuit in a device's gates and on its qubits, none of which is left out.

    Args:
        circuit: The circuit.
        target: What can be used of the device.
        gaps: What cannot.
        optimization_level: The transpiler's effort, 0 to 3.
        seed: The transpiler's seed.
        initial_layout: The device's qubit of each of the circuit's; None takes the best that the transpiler finds.
        backend: The device itself, whose provider may have passes of its own.

    Raises:
        BackendError: The circuit doesn't fit what can be used of the device, or the layout doesn't fit both.
    """
    usable = [qubit for qubit in range(target.num_qubits) if qubit not in gaps.qubits]
    without = f" (left out: {text})" if (text := gaps.left_out().split(";")[0]) else ""
    if circuit.num_qubits > len(usable):
        raise BackendError(f"It needs {circuit.num_qubits} qubits, but the device has {len(usable)} to use{without}.")
    options: dict[str, Any] = {"optimization_level": optimization_level, "seed_transpiler": seed}
    if optimization_level == 0 and (gaps.qubits or gaps.gates):
        options["layout_method"] = "sabre"  # at level 0 it would be the first qubits, whether they work or not
    try:
        if initial_layout is not None:
            initial_layout = checked_layout(initial_layout, circuit.num_qubits, target.num_qubits, gaps.qubits)
        elif gaps.qubits or gaps.gates:
            initial_layout = _found_layout(circuit, target, usable, options)
        device = {"backend": backend, "target": target, "initial_layout": initial_layout}
        manager = generate_preset_pass_manager(**device, **options)
        return manager.run(circuit)
    except QiskitError as error:
        raise BackendError(f"{error.message.rstrip('. ')}{without}.") from error


def checked_layout(
    layout: Sequence[int], num_qubits: int, device_qubits: int, left_out: Mapping[int, str] | None = None
) -> list[int]:
    """Return a layout that somebody has chosen.

    Args:
        layout: The device's qubit of each of the circuit's.
        num_qubits: Number of qubits of the circuit.
        device_qubits: Number of qubits of the device.
        left_out: Why a qubit cannot be used.

    Raises:
        BackendError: It does not name a different qubit of the device for each of the circuit's, or one is left out.
    """
    chosen = list(layout)
    numbers = all(isinstance(qubit, int) and not isinstance(qubit, bool) for qubit in chosen)
    if not numbers or len(chosen) != num_qubits or len(set(chosen)) != len(chosen):
        raise BackendError(f"initial_layout must name {num_qubits} different qubits, but is {_shown(chosen)}.")
    for qubit in chosen:
        if not 0 <= qubit < device_qubits:
            raise BackendError(
                f"initial_layout names qubit {qubit}, but the device has qubits 0 to {device_qubits - 1}."
            )
        if left_out and qubit in left_out:
            raise BackendError(f"initial_layout names qubit {qubit}, which is left out ({left_out[qubit]}).")
    return chosen


def of_qubits(target: Target, qubits: Sequence[int]) -> Target:
    """Return a target of some qubits alone, which have the numbers of their places in ``qubits``.

    Bounds of angles are left out: the target is for finding layouts.
    """
    place = {qubit: k for k, qubit in enumerate(qubits)}
    small = Target(
        num_qubits=len(qubits),
        dt=target.dt,
        qubit_properties=[target.qubit_properties[q] for q in qubits] if target.qubit_properties else None,
    )
    for name in target.operation_names:
        properties = target[name]
        if None in (properties or {None: None}):  # everywhere, as control flow
            small.add_instruction(target.operation_from_name(name), name=name)
            continue
        kept = {tuple(place[q] for q in on): of for on, of in properties.items() if place.keys() >= set(on)}
        if kept:
            small.add_instruction(target.operation_from_name(name), kept, name=name)
    return small


def _found_layout(circuit: QuantumCircuit, target: Target, usable: Sequence[int], options: dict[str, Any]) -> list[int]:
    """Return the device's qubit of each of a circuit's, as the transpiler finds them among those that can be used.

    Idle qubits take what is left, the best to read first. The transpiler does not get them to see: Qiskit 2.6's Sabre
    layout panics at idle qubits on a device whose couplings do not connect all of its qubits.
    """
    busy = _busy_qubits(circuit)
    layout: dict[int, int] = {}
    if busy:
        manager = generate_preset_pass_manager(target=of_qubits(target, usable), **options)
        found = manager.run(_of_busy_qubits(circuit, busy)).layout
        # Without couplings there is no layout.
        places = range(len(busy)) if found is None else found.initial_index_layout(filter_ancillas=True)
        layout = {qubit: usable[place] for qubit, place in zip(busy, places, strict=True)}
    readouts = target["measure"] if "measure" in target.operation_names else {}
    left = [qubit for qubit in usable if qubit not in layout.values()]
    best = iter(sorted(left, key=lambda qubit: getattr(readouts.get((qubit,)), "error", None) or 0.0))
    return [layout[qubit] if qubit in layout else next(best) for qubit in range(circuit.num_qubits)]


def _busy_qubits(circuit: QuantumCircuit) -> list[int]:
    return sorted({circuit.find_bit(q).index for i in circuit.data if i.operation.name != "barrier" for q in i.qubits})


def _of_busy_qubits(circuit: QuantumCircuit, busy: Sequence[int]) -> QuantumCircuit:
    small = QuantumCircuit([circuit.qubits[qubit] for qubit in busy], circuit.clbits)
    for instruction in circuit.data:
        if instruction.operation.name != "barrier":
            small.append(instruction)
    return small


def _shown(numbers: Collection[int]) -> str:
    text = str(list(numbers))
    return text if len(text) <= 60 else f"{text[:57]}..."
