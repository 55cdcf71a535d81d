"""Crosstalk that is always there: ZZ coupling between qubits of a circuit whose gates take their time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit.circuit import CircuitInstruction, Gate, QuantumCircuit
from qiskit.circuit.library import RXGate, UnitaryGate
from qiskit.converters import circuit_to_dag
from qiskit.quantum_info import SuperOp
from qiskit.transpiler import Target

from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.noise import Noise

_TURNS = {"sx": np.pi / 2, "x": np.pi}
_DIAGONAL = {"rz", "cz", "id", "barrier"}


@dataclass(frozen=True)
class Interaction:
    """An energy hν of the states in which all of some qubits are 1.

    Of two qubits this is ZZ coupling, H/h = ν |11⟩⟨11| = ν/4 · (ZZ − ZI − IZ + II): ν is how far one qubit's frequency
    moves when the other one is excited (as `ZZRamsey` of qiskit-experiments measures it). The terms of a single Z are
    there because a qubit's frequency is calibrated with its neighbours in their ground state. Of one qubit it is an
    error of its frequency.

    Args:
        qubits: One qubit or two.
        kilohertz: ν.
    """

    qubits: tuple[int, ...]
    kilohertz: float

    def during(self, seconds: float) -> Gate:
        """Return what it does in a time, as a matrix, which no noise model has an error for."""
        phases = np.ones(2 ** len(self.qubits), dtype=complex)
        phases[-1] = np.exp(-2j * np.pi * 1e3 * self.kilohertz * seconds)
        return UnitaryGate(np.diag(phases))


def along(path: Sequence[int], kilohertz: float, second_order: float, *, calibrated: bool = True) -> list[Interaction]:
    """Return the crosstalk between two qubits that are coupled, or that an idle qubit lies between.

    The idle qubit stays in its ground state, so that it need not be simulated.

    Args:
        path: The two qubits, or the first, the idle and the last one.
        kilohertz: ν of each coupling of the path.
        second_order: Strength of the coupling through an idle qubit, in ν.
        calibrated: Whether frequencies are those with idle neighbours. If not, the coupling is ν/4 · ZZ, and an idle
            qubit shifts the frequency of each of its neighbours by ν/2.
    """
    first, *idle, last = path
    if not idle:
        return [Interaction((first, last), kilohertz)]
    shifts = [] if calibrated else [Interaction((qubit,), -kilohertz / 2) for qubit in (first, last)]
    return [Interaction((first, last), second_order * kilohertz), *shifts]


@dataclass(frozen=True)
class _Timed:
    """An instruction with its times in seconds before the circuit's end, which are negative."""

    start: float
    stop: float
    instruction: CircuitInstruction
    qubits: tuple[int, ...]


def schedule(circuit: QuantumCircuit, target: Target) -> list[_Timed]:
    """Return a circuit's instructions in their order, each as late as it can be."""
    free = [0.0] * circuit.num_qubits
    found = []
    for instruction in reversed(circuit.data):
        qubits = tuple(circuit.find_bit(q).index for q in instruction.qubits)
        name = instruction.operation.name
        seconds = 0.0 if name == "barrier" else target[name][qubits].duration
        stop = min(free[qubit] for qubit in qubits)
        for qubit in qubits:
            free[qubit] = stop - seconds
        found.append(_Timed(stop - seconds, stop, instruction, qubits))
    return found[::-1]


def with_crosstalk(
    circuit: QuantumCircuit, target: Target, noise: Noise, interactions: Sequence[Interaction], slices: int = 4
) -> QuantumCircuit:
    """Return a circuit with the interactions that act during all of its time.

    Gates run as late as they can. On interacting qubits SX and X are cut into turns of equal times, each of which acts
    in the middle of its own, while interactions act between them (a Trotter formula of second order); CZ and RZ commute
    with interactions. A gate's error acts at its end.

    Args:
        circuit: The circuit in the gates of the device.
        target: The device, with its gates' durations.
        noise: The device's errors.
        interactions: The interactions, on the circuit's qubits.
        slices: Parts of each SX and X.

    Raises:
        BackendError: A gate on an interacting qubit is neither diagonal nor SX or X.
    """
    interactions = [each for each in interactions if each.kilohertz]
    if not interactions:
        return circuit
    timed = schedule(circuit, target)
    touched = {qubit for each in interactions for qubit in each.qubits}
    actions = [action for one in timed for action in _actions(one, touched, noise, slices)]
    result = circuit.copy_empty_like()
    clocks = dict.fromkeys(interactions, min(one.start for one in timed))

    def let_act(until: float, on: set[int]) -> None:
        for each, since in clocks.items():
            if until > since and on.intersection(each.qubits):
                result.append(each.during(until - since), each.qubits)
                clocks[each] = until

    for time, operation, qubits in sorted(actions, key=lambda action: action[0]):
        if operation.name not in {"rz", "barrier"}:
            let_act(time, set(qubits))
        result.append(operation, qubits)
    let_act(0.0, touched)
    return _qubit_after_qubit(result)


def _qubit_after_qubit(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with gates on its first qubits as early as they can come: Aer fuses more, in half the time."""
    ordered, dag = circuit.copy_empty_like(), circuit_to_dag(circuit)

    def last_qubit(node: Any) -> str:
        qubits = getattr(node, "qargs", ())  # the ends of wires have none
        return f"{max((dag.find_bit(qubit).index for qubit in qubits), default=0):06d}"

    for node in dag.topological_op_nodes(key=last_qubit):
        ordered.append(node.op, node.qargs)
    return ordered


def _actions(one: _Timed, touched: set[int], noise: Noise, slices: int) -> Iterator[tuple[float, Any, tuple[int, ...]]]:
    """Yield what a gate does and when."""
    name, (qubit, *_) = one.instruction.operation.name, one.qubits
    if touched.isdisjoint(one.qubits) or name in _DIAGONAL:
        yield one.stop, one.instruction.operation, one.qubits
        return
    if name not in _TURNS:
        raise BackendError(f"Crosstalk can be put between SX, X, RZ and CZ gates, but the circuit has {name!r}.")
    turn = UnitaryGate(RXGate(_TURNS[name] / slices).to_matrix())
    for part in range(slices):
        yield one.start + (part + 0.5) / slices * (one.stop - one.start), turn, (qubit,)
    if error := noise.error_after(name, (qubit,)):
        yield one.stop, SuperOp(error).to_instruction(), (qubit,)
