"""What a circuit is, in a digest, by which one that a function makes is known again."""

from hashlib import sha256

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Operation
from qiskit.quantum_info import Operator

from qiskit_fedqml.circuits.spec import CircuitSpec

_LARGEST_MATRIX = 8
"""Qubits of the largest gate that is known by its matrix; a larger one is known by its definition."""


def circuit_digest(spec: CircuitSpec) -> str:
    """Return the SHA-256 of a circuit's gates, of its parameters' names and roles, and of its observables."""
    digest = sha256()
    lines = [
        *_lines(spec.circuit),
        f"inputs {[p.name for p in spec.input_params]}",
        f"weights {[p.name for p in spec.weight_params]}",
        *(f"observable {observable.simplify().to_list()}" for observable in spec.observables),
    ]
    for line in lines:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def _lines(circuit: QuantumCircuit) -> list[str]:
    lines = [f"qubits {circuit.num_qubits} phase {circuit.global_phase}"]
    for instruction in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
        lines += [f"{instruction.operation.name} {qubits}", *_inside(instruction.operation)]
    return lines


def _inside(operation: Operation) -> list[str]:
    """Return what an operation is beyond its name: parameters, and matrix or definition."""
    params = getattr(operation, "params", [])
    blocks = [line for block in params if isinstance(block, QuantumCircuit) for line in _lines(block)]
    plain = [str(param) for param in params if not isinstance(param, (QuantumCircuit, np.ndarray))]
    if any(getattr(param, "parameters", None) for param in params) or blocks:
        definition = getattr(operation, "definition", None)
        return [*plain, *blocks, *(_lines(definition) if definition is not None and not blocks else [])]
    if operation.num_qubits <= _LARGEST_MATRIX and getattr(operation, "to_matrix", None) is not None:
        return [*plain, str(np.round(Operator(operation).data, 9).tolist())]
    definition = getattr(operation, "definition", None)
    return [*plain, *(_lines(definition) if definition is not None else [])]
