"""Whether a device can play a circuit, and how long that takes."""

from collections.abc import Iterable

from qiskit import QuantumCircuit
from qiskit.transpiler import Target


def circuit_seconds(circuit: QuantumCircuit, target: Target, measured: Iterable[int] = ()) -> float:
    """Return the seconds from a circuit's first gate to the end of its last measurement.

    Every instruction starts when all of its qubits are free, and a barrier makes its qubits wait for each other; the
    length is the critical path's, so it is that of an as-late-as-possible schedule too. Parameters need no values.

    Args:
        circuit: A circuit in the target's gates on its physical qubits; boxes are opened.
        target: The device, with the durations of its gates.
        measured: Qubits to be measured after the circuit, where it holds no measurements itself.
    """
    free_at = [0.0] * max(circuit.num_qubits, target.num_qubits)
    _play(circuit, list(range(circuit.num_qubits)), target, free_at)
    for qubit in measured:
        free_at[qubit] += _seconds("measure", (qubit,), target)
    return max(free_at, default=0.0)


def check_supported(circuit: QuantumCircuit, target: Target) -> None:
    """Refuse a circuit that the device cannot play as it is.

    Raises:
        ValueError: An instruction is not in the target.
    """
    for instruction in circuit.data:
        operation = instruction.operation
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        if operation.name in {"barrier", "box"}:
            continue
        if not target.instruction_supported(operation.name, qubits):
            raise ValueError(f"The instruction {operation.name} on qubits {qubits} is not supported by the target.")


def _play(circuit: QuantumCircuit, physical: list[int], target: Target, free_at: list[float]) -> None:
    for instruction in circuit.data:
        operation = instruction.operation
        qubits = tuple(physical[circuit.find_bit(qubit).index] for qubit in instruction.qubits)
        if not qubits:
            continue
        start = max(free_at[qubit] for qubit in qubits)
        if operation.name == "box":
            for qubit in qubits:
                free_at[qubit] = start
            _play(operation.body, list(qubits), target, free_at)
            start, seconds = max(free_at[qubit] for qubit in qubits), 0.0
        elif operation.name == "delay":
            seconds = _delay_seconds(operation, target)
        else:
            seconds = _seconds(operation.name, qubits, target)
        for qubit in qubits:
            free_at[qubit] = start + seconds


def _seconds(name: str, qubits: tuple[int, ...], target: Target) -> float:
    if name == "barrier" or name not in target.operation_names:
        return 0.0
    properties = target[name].get(qubits)
    return (properties.duration if properties is not None else None) or 0.0


def _delay_seconds(delay, target: Target) -> float:
    scale = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12, "dt": target.dt or 0.0}
    return float(delay.duration) * scale[delay.unit]
