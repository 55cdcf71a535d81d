"""Large devices on a small computer: leave out the qubits that take no part.

An executor program measures every qubit of the device after a parametrized basis rotation, so a simulator cannot cut
the idle ones away by itself, and 133 qubits need more memory than there is.
"""

import copy

import rustworkx as rx
from qiskit import QuantumCircuit
from samplomatic.quantum_program import CircuitItem, QuantumProgramItem

SMALL_DEVICE = 12
"""Up to this number of qubits programs run as they are, as in local testing mode."""


def observed_qubits(passthrough_data) -> set[int]:
    """Return the qubits on which some observable named in a program's passthrough data acts."""
    if isinstance(passthrough_data, dict):
        found = _labels(passthrough_data["observables"]) if "observables" in passthrough_data else set()
        return found.union(*map(observed_qubits, passthrough_data.values()))
    if isinstance(passthrough_data, (list, tuple)):
        return set().union(*map(observed_qubits, passthrough_data))
    return set()


def connected_parts(item: QuantumProgramItem, observed: set[int]) -> list[set[int]]:
    """Return the groups of qubits that gates connect, and each other qubit on which an observable acts.

    A qubit takes no part where no gate couples it to another one and no observable acts on it. Single-qubit gates do
    not count: those in front of a measurement are merged into its basis rotation, so they cannot be told from it.
    """
    graph = rx.PyGraph()
    graph.add_nodes_from(range(item.circuit.num_qubits))
    coupled = set(observed)
    for instruction in item.circuit.data:
        if len(instruction.qubits) > 1 and instruction.operation.name != "barrier":
            first, *others = sorted(_indices(item.circuit, instruction))
            graph.add_edges_from_no_data([(first, other) for other in others])
            coupled |= {first, *others}
    return [set(part) for part in rx.connected_components(graph) if not coupled.isdisjoint(part)]


def on_qubits(item: QuantumProgramItem, kept: list[int]) -> QuantumProgramItem:
    """Return an item on some of its qubits alone, which have the numbers of their places; other qubits' bits read 0."""
    circuit, place = item.circuit, {qubit: number for number, qubit in enumerate(kept)}
    smaller = QuantumCircuit(len(kept))
    for register in circuit.cregs:
        smaller.add_register(register)
    for instruction in circuit.data:
        indices = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
        if instruction.operation.name != "barrier" and place.keys() >= set(indices):
            smaller.append(instruction.operation, [place[index] for index in indices], instruction.clbits)
    used = set(smaller.parameters)
    columns = [index for index, parameter in enumerate(circuit.parameters) if parameter in used]
    trimmed = copy.copy(item)
    trimmed.circuit = smaller
    if isinstance(item, CircuitItem):
        trimmed.circuit_arguments = item.circuit_arguments[..., columns]
    else:
        trimmed.samplex = _SomeParameters(item.samplex, columns)
    return trimmed


class _SomeParameters:
    """A samplex of whose circuit parameters only some are left."""

    def __init__(self, samplex, columns: list[int]):
        self._samplex, self._columns = samplex, columns

    def sample(self, *args, **kwargs) -> dict:
        values = dict(self._samplex.sample(*args, **kwargs))
        values["parameter_values"] = values["parameter_values"][..., self._columns]
        return values


def _indices(circuit: QuantumCircuit, instruction) -> set[int]:
    return {circuit.find_bit(qubit).index for qubit in instruction.qubits}


def _labels(observables) -> set[int]:
    if isinstance(observables, dict):
        return {index for label in observables for index, letter in enumerate(reversed(label)) if letter != "I"}
    if isinstance(observables, (list, tuple)):
        return set().union(*map(_labels, observables))
    return set()
