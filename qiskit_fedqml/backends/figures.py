"""What a calibration says of the qubits, couplings and gates that a circuit uses."""

from collections.abc import Sequence
from typing import Any

from qiskit.circuit import Gate, QuantumCircuit
from qiskit.transpiler import Target

from qiskit_fedqml.backends.usable import needs_error


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
        error = _gate_error(target, instruction.operation.name, on)
        if error is None and isinstance(instruction.operation, Gate):
            error = 1.0 if needs_error(instruction.operation.name) else 0.0
        probability *= 1 - (error or 0.0)
    for qubit in measured:
        error = _gate_error(target, "measure", (qubit,))
        probability *= 1 - (1.0 if error is None else error)
    return probability


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
