"""What a calibration says of the qubits, couplings and gates that a circuit uses."""

from collections.abc import Sequence
from typing import Any

from qiskit.circuit import Gate, QuantumCircuit
from qiskit.transpiler import Target

from qiskit_fedqml.backends.usable import needs_error
from qiskit_fedqml.simulation.gaps import Gaps


def figures_of(circuit: QuantumCircuit, measured: Sequence[int], target: Target) -> dict[str, Any]:
    """Return figures of the qubits and couplings that a transpiled circuit uses, as plain values.

    Args:
        circuit: The circuit in the device's gates.
        measured: The qubits that are measured at its end.
        target: The device with its calibration.

    Returns:
        ``qubits`` with T1 and T2 in seconds, error of SX, and of readout where it is measured; ``couplings`` with the
        error of the two-qubit gate; and ``success_probability``. None is what the calibration doesn't state.
    """
    used = {circuit.find_bit(q).index for i in circuit.data for q in i.qubits}
    couplings = {
        tuple(circuit.find_bit(q).index for q in i.qubits): i.operation.name
        for i in circuit.data
        if i.operation.num_qubits == 2 and i.operation.name != "barrier"
    }
    return {
        "qubits": {str(q): _qubit_figures(target, q, q in measured) for q in sorted(used | set(measured))},
        "couplings": {"-".join(map(str, on)): _gate_error(target, name, on) for on, name in sorted(couplings.items())},
        "success_probability": success_probability(circuit, target, measured),
    }


def success_probability(circuit: QuantumCircuit, target: Target, measured: Sequence[int] = ()) -> float:
    """Return the chance that no gate and no readout errs, Π(1 − ε), by the calibration.

    Args:
        circuit: The circuit in the device's gates.
        target: The device with its calibration.
        measured: The qubits that are measured at its end.

    Returns:
        From 0 to 1; 0 where an error is not published or not a probability, since nothing is promised then. Virtual
        gates, delays and resets count as free of errors where none is published.
    """
    probability = 1.0
    for instruction in circuit.data:
        on = tuple(circuit.find_bit(q).index for q in instruction.qubits)
        probability *= 1 - error_of(target, instruction.operation.name, on)
    for qubit in measured:
        probability *= 1 - error_of(target, "measure", (qubit,))
    return probability


def error_of(target: Target, name: str, on: tuple[int, ...]) -> float:
    """Return the chance that an instruction errs, as :func:`success_probability` counts it.

    Args:
        target: The device with its calibration.
        name: The instruction's name; ``"measure"`` for a readout.
        on: Its qubits.
    """
    error = _gate_error(target, name, on)
    if error is not None or name == "barrier":
        return error or 0.0
    return 1.0 if name == "measure" or needs_error(name) else 0.0


def states_errors(circuit: QuantumCircuit, measured: Sequence[int], target: Target) -> bool:
    """Return whether a target states an error of each gate that a circuit needs pulses for, and of each readout.

    Args:
        circuit: The circuit in the target's gates.
        measured: The qubits that are measured at its end.
        target: The device.
    """
    gates = {
        (i.operation.name, tuple(circuit.find_bit(q).index for q in i.qubits))
        for i in circuit.data
        if isinstance(i.operation, Gate) and needs_error(i.operation.name)
    }
    needed = gates | {("measure", (qubit,)) for qubit in measured}
    return all(_gate_error(target, name, on) is not None for name, on in needed)


def unstated_errors(target: Target) -> list[str]:
    """Return of what a target states no error on any qubits, so that no circuit's success can be estimated.

    Args:
        target: The device.

    Returns:
        The gates of one or two qubits that a device does with pulses, where none of as many qubits has an error; and
        ``"measure"``.
    """
    kinds: dict[int, list[str]] = {1: [], 2: []}
    for name in target.operation_names:
        operation = target.operation_from_name(name)
        if isinstance(operation, Gate) and operation.num_qubits in kinds and needs_error(name):
            kinds[operation.num_qubits].append(name)
    found = [*kinds.values(), ["measure"]]
    return [name for names in found if not any(_states_any(target, name) for name in names) for name in names]


def left_out(gaps: Gaps, target: Target) -> list[str]:
    """Return the qubits and couplings that cannot be used, such as ``"17"`` and ``"3-4"``.

    Args:
        gaps: What the calibration leaves out.
        target: What can be used of the device: a coupling with another gate is not left out.
    """
    usable = {frozenset(on) for on in target.qargs or () if on is not None}
    couplings = {tuple(sorted(on)) for _, on in gaps.gates if len(on) == 2 and frozenset(on) not in usable}
    return [*map(str, sorted(gaps.qubits)), *("-".join(map(str, on)) for on in sorted(couplings))]


def _states_any(target: Target, name: str) -> bool:
    instances = (target[name] if name in target.operation_names else None) or {}
    return any(on is not None and _gate_error(target, name, on) is not None for on in instances)


def _gate_error(target: Target, name: str, on: tuple[int, ...]) -> float | None:
    """Return the error that a calibration states of a gate; None where it states none, or no probability."""
    properties = target[name].get(on) if name in target.operation_names else None
    if properties is None or properties.error is None or not 0 <= properties.error <= 1:
        return None
    return float(properties.error)


def _qubit_figures(target: Target, qubit: int, is_measured: bool) -> dict[str, float | None]:
    properties = target.qubit_properties[qubit] if target.qubit_properties else None
    figures = {
        "t1_seconds": getattr(properties, "t1", None),
        "t2_seconds": getattr(properties, "t2", None),
        "sx_error": _gate_error(target, "sx", (qubit,)),
    }
    return {**figures, "readout_error": _gate_error(target, "measure", (qubit,))} if is_measured else figures
