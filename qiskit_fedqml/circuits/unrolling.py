"""Circuits with loops, boxes and abstract operations written out, so that every gate is in the circuit itself.

Qiskit keeps the body of a loop or a box as a circuit of its own, and an annotated operation as its base and modifiers;
both hide parameters from whoever goes through the gates.
"""

from collections.abc import Sequence

from qiskit.circuit import (
    BoxOp,
    BreakLoopOp,
    CircuitInstruction,
    ContinueLoopOp,
    ControlFlowOp,
    ForLoopOp,
    Gate,
    Instruction,
    Operation,
    QuantumCircuit,
    Qubit,
)
from qiskit.exceptions import QiskitError
from qiskit.transpiler.passes import HighLevelSynthesis

from qiskit_fedqml.circuits.sizes import check_gates, check_qubits
from qiskit_fedqml.errors import CircuitError

_CONTROL_FLOW = (ControlFlowOp, BreakLoopOp, ContinueLoopOp)
_COMPOSITE = (Gate, Instruction)
"""What circuits become as instructions; Qiskit's own gates are subclasses."""


def unrolled(circuit: QuantumCircuit) -> QuantumCircuit:
    """Write out loops over fixed values, boxes, and what is no instruction; return the circuit itself if it has none.

    No instructions are annotated operations (inverses, powers and controls to be synthesised) and Cliffords.

    Args:
        circuit: Any circuit; it is not changed.

    Raises:
        CircuitError: It has too many qubits or gates, or control flow whose course is known only when it runs, or an
            operation cannot be synthesised.
    """
    check_qubits(circuit.num_qubits)
    check_gates(_size(circuit))
    if not _is_hiding(circuit):
        return circuit
    result = circuit.copy_empty_like()
    _append(circuit, result, circuit.qubits)
    result._layout = circuit.layout  # copy_empty_like drops the layout of a circuit that was transpiled already
    return result


def _is_hiding(circuit: QuantumCircuit) -> bool:
    for instruction in circuit.data:
        operation = instruction.operation
        if isinstance(operation, _CONTROL_FLOW) or not isinstance(operation, Instruction):
            return True
        definition = _composite_definition(operation)
        if definition is not None and _is_hiding(definition):
            return True
    return False


def _composite_definition(operation: Operation) -> QuantumCircuit | None:
    """Return what a composite instruction stands for; None for Qiskit's own gates, which hide nothing."""
    return operation.definition if type(operation) in _COMPOSITE else None


def _size(circuit: QuantumCircuit) -> int:
    """Return the number of instructions with all loops written out."""
    total = len(circuit.data)
    for instruction in circuit.data:
        operation = instruction.operation
        if isinstance(operation, ForLoopOp):
            total += len(operation.params[0]) * _size(operation.blocks[0])
        elif isinstance(operation, BoxOp):
            total += _size(operation.blocks[0])
    return total


def _append(source: QuantumCircuit, target: QuantumCircuit, qubits: Sequence[Qubit]) -> None:
    """Append a circuit's instructions to another circuit, on these of its qubits."""
    of_target = dict(zip(source.qubits, qubits, strict=True))
    for instruction in source.data:
        operation, on = instruction.operation, [of_target[q] for q in instruction.qubits]
        definition = _composite_definition(operation)
        if isinstance(operation, ForLoopOp):
            values, variable, body = operation.params
            for value in values:
                _append(body.assign_parameters({variable: value}) if variable else body, target, on)
        elif isinstance(operation, BoxOp) and not operation.annotations:
            _append(operation.blocks[0], target, on)
        elif not isinstance(operation, Instruction):
            _append(_synthesised(operation), target, on)
        elif isinstance(operation, _CONTROL_FLOW):
            what = "box with annotations" if isinstance(operation, BoxOp) else operation.name
            raise CircuitError(
                f"The circuit must not have a {what!r}: of control flow, only loops over fixed values that run through "
                "and plain boxes can be written out."
            )
        elif definition is not None and _is_hiding(definition):
            _append(definition, target, on)
        else:
            target.append(CircuitInstruction(operation, on, instruction.clbits))


def _synthesised(operation: Operation) -> QuantumCircuit:
    alone = QuantumCircuit(operation.num_qubits)
    alone.append(operation, alone.qubits)
    try:
        return HighLevelSynthesis()(alone)
    except QiskitError as error:
        what = f"{operation.base_op.name!r} with modifiers" if hasattr(operation, "base_op") else repr(operation.name)
        raise CircuitError(f"Operation {what} has no circuit: {error.message}") from error
