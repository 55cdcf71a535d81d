"""From a transpiled circuit and a machine's noise to three kinds of instruction: rotations, unitaries and channels.

A rotation is exp(−iθP/2) of a Pauli string P by an angle that depends on parameters; all else is fixed. The error of a
gate follows it as a channel, as in Aer: found by the gate's label or name, and by its qubits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Instruction, ParameterExpression, QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Choi, Operator, SuperOp
from qiskit_aer import AerSimulator

from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.noise import Noise
from qiskit_fedqml.simulation.operations import (
    Channel,
    Operation,
    Rotation,
    Unitary,
    pauli_index,
    pauli_matrices,
)

AXES = {
    "rx": "X",
    "ry": "Y",
    "rz": "Z",
    "p": "Z",
    "u1": "Z",
    "rxx": "XX",
    "ryy": "YY",
    "rzz": "ZZ",
    "rzx": "ZX",
}
"""The Pauli string of each parameterised gate, the first letter for the gate's first qubit; phases are left out."""
_CHANNELS = ("kraus", "superop", "quantum_channel")
_PHYSICAL = 1e-6
"""How far a channel may be from trace-preserving and completely positive; calibrations are rounded."""


class UnsupportedError(BackendError):
    """The sweeps cannot express a circuit or its noise, which Aer may be able to."""


@dataclass(frozen=True)
class Lowered:
    """A circuit's instructions, and the angles of its rotations as expressions of its parameters."""

    operations: list[Operation]
    angles: list[ParameterExpression]


def lower(circuit: QuantumCircuit, noise: Noise | None) -> Lowered:
    """Turn a circuit in a machine's gates, with the machine's noise, into rotations, unitaries and channels.

    Args:
        circuit: The circuit, without measurements.
        noise: The machine's noise, or None.

    Raises:
        UnsupportedError: An instruction or its error cannot be expressed.
        BackendError: A channel is not physical.
    """
    return _Lowering(noise).run(circuit)


class _Lowering:
    def __init__(self, noise: Noise | None) -> None:
        self._noise = noise
        self._angles: list[ParameterExpression] = []

    def run(self, circuit: QuantumCircuit) -> Lowered:
        qubits = tuple(range(circuit.num_qubits))
        return Lowered(list(self._circuit(circuit, qubits, noisy=self._noise is not None)), self._angles)

    def _circuit(self, circuit: QuantumCircuit, qubits: tuple[int, ...], noisy: bool) -> Iterator[Operation]:
        for instruction in circuit.data:
            targets = tuple(qubits[circuit.find_bit(q).index] for q in instruction.qubits)
            operation = instruction.operation
            if instruction.clbits or getattr(operation, "blocks", ()):
                raise UnsupportedError(f"the circuit has {operation.name!r}, which uses classical bits")
            # A composite instruction is what is in it; Aer's own gates are done at once, with one error.
            inner_noise = noisy and operation.name not in native_names()
            yield from self._instruction(operation, targets, inner_noise)
            if noisy and self._noise is not None:
                yield from self._error_after(self._noise, operation, targets)

    def _error_after(self, noise: Noise, operation: Instruction, qubits: tuple[int, ...]) -> Iterator[Channel]:
        """Find the error as Aer does: by label where a gate has one, by name for the rest, for channels none."""
        if operation.name in ("barrier", *_CHANNELS):
            return
        if operation.name == "pauli":
            raise UnsupportedError("the circuit has a 'pauli' instruction, whose errors Aer finds by its string")
        name = operation.name if operation.name in ("reset", "delay", "diagonal") else operation.label or operation.name
        error = noise.error_after(name, qubits)
        if error is None:
            return
        of = (name, qubits) if (name, qubits) in noise.gate_errors else (name, ())
        what = f"the error of {operation.name!r} on qubits {qubits}"
        if of not in noise.transfers:
            noise.transfers[of] = _transfer_of(error, what)
        yield _channel(noise.transfers[of], qubits, what)

    def _instruction(self, operation: Instruction, qubits: tuple[int, ...], noisy: bool) -> Iterator[Operation]:
        name = operation.name
        if name in ("barrier", "delay", "id", "global_phase"):
            return
        if operation.is_parameterized():
            if name in AXES:
                yield self._rotation(AXES[name], qubits, operation.params[0])
            elif name in ("u", "u3"):
                theta, phi, lam = operation.params
                yield self._rotation("Z", qubits, lam)
                yield self._rotation("Y", qubits, theta)
                yield self._rotation("Z", qubits, phi)
            else:
                yield from self._definition(operation, qubits, noisy)
        elif len(qubits) <= 2 and not noisy and (matrix := _matrix(operation)) is not None:
            if not np.isfinite(matrix).all():
                raise BackendError(f"Gate {name!r} on qubits {qubits} has an angle that is not finite.")
            yield Unitary(matrix, qubits)
        elif name in ("reset", *_CHANNELS):
            what = f"the channel {name!r} on qubits {qubits}"
            yield _channel(_transfer_of(operation, what), qubits, what)
        else:
            yield from self._definition(operation, qubits, noisy)

    def _definition(self, operation: Instruction, qubits: tuple[int, ...], noisy: bool) -> Iterator[Operation]:
        if operation.name == "PauliEvolution":
            raise UnsupportedError("the circuit has a PauliEvolution gate, whose synthesis a transpiler must choose")
        try:
            definition = operation.definition
        except (QiskitError, TypeError, ValueError) as error:
            raise UnsupportedError(f"the circuit has {operation.name!r}, which has no definition: {error}") from error
        if definition is None:
            raise UnsupportedError(f"the circuit has {operation.name!r}, which is no gate of one or two qubits")
        yield from self._circuit(definition, qubits, noisy)

    def _rotation(self, pauli: str, qubits: tuple[int, ...], angle: ParameterExpression | float) -> Operation:
        if isinstance(angle, ParameterExpression) and angle.parameters:
            self._angles.append(angle)
            return Rotation(pauli, qubits, len(self._angles) - 1)
        half = float(angle) / 2
        generator = pauli_matrices(len(qubits))[pauli_index(pauli)]
        return Unitary(np.cos(half) * np.eye(len(generator)) - 1j * np.sin(half) * generator, qubits)


def _channel(transfer: NDArray[np.float64], qubits: tuple[int, ...], what: str) -> Channel:
    if len(transfer) != 4 ** len(qubits):
        raise UnsupportedError(f"{what} is of another number of qubits")
    return Channel(transfer, qubits)


def _transfer_of(channel: object, what: str) -> NDArray[np.float64]:
    """Return a channel's Pauli transfer matrix."""
    try:
        superop = SuperOp(channel)
    except (QiskitError, TypeError, ValueError, AttributeError) as error:
        raise UnsupportedError(f"{what} has no superoperator: {error}") from error
    if superop.num_qubits is None or superop.num_qubits > 2:
        raise UnsupportedError(f"{what} acts on {superop.num_qubits} qubits; one and two can be expressed")
    _check_physical(superop, what)
    return _transfer_of_superop(superop)


def _transfer_of_superop(superop: SuperOp) -> NDArray[np.float64]:
    paulis = pauli_matrices(superop.num_qubits)
    dimension = 2**superop.num_qubits
    columns = paulis.transpose(0, 2, 1).reshape(len(paulis), -1).T  # each Pauli stacked column by column
    images = (superop.data @ columns).T.reshape(-1, dimension, dimension).transpose(0, 2, 1)
    return np.einsum("iab,jba->ij", paulis, images).real / dimension


def _check_physical(superop: SuperOp, what: str) -> None:
    data = superop.data
    if not np.isfinite(data).all():
        raise BackendError(f"{what[0].upper()}{what[1:]} is not physical: it has NaN or infinite entries.")
    dimension = 2**superop.num_qubits
    kept = np.eye(dimension).reshape(-1) @ data
    lost = float(np.abs(kept - np.eye(dimension).reshape(-1)).max())
    if lost > _PHYSICAL:
        raise BackendError(f"{what[0].upper()}{what[1:]} is not physical: it changes the trace by up to {lost:.2g}.")
    least = float(np.linalg.eigvalsh(Choi(superop).data).min())
    if least < -_PHYSICAL:
        raise BackendError(
            f"{what[0].upper()}{what[1:]} is not physical: it is not completely positive (its Choi matrix has the "
            f"eigenvalue {least:.2g})."
        )


def _matrix(operation: Instruction) -> NDArray[np.complex128] | None:
    """Return a gate's matrix, or None if it is not unitary."""
    try:
        return np.asarray(Operator(operation).data, dtype=complex)
    except (QiskitError, TypeError, ValueError, AttributeError):
        return None


@cache
def native_names() -> frozenset[str]:
    """Return the names of the gates that Aer simulates as they are, whatever they are made of."""
    return frozenset(AerSimulator(method="density_matrix").configuration().basis_gates) | {"u1", "u2", "u3"}
