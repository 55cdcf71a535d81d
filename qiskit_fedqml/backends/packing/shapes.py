"""Shapes of groups of qubits: which gates each qubit and each pair has, whatever their errors.

A circuit is transpiled once for each shape. Placed on a group of that shape, it uses the group's own gates alone.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import eq

import rustworkx as rx
from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.transpiler import Target, generate_preset_pass_manager

from qiskit_fedqml.errors import BackendError

Gates = Mapping[tuple[int, ...], frozenset[str]]
"""The names of the gates on each qubit and each pair of qubits that has any."""


def gates_of(target: Target) -> Gates:
    """Return the gates of a device, by the qubits that they act on."""
    names: dict[tuple[int, ...], set[str]] = {}
    for name in target.operation_names:
        for on in target[name] or ():
            if on is not None:
                names.setdefault(on, set()).add(name)
    return {on: frozenset(of) for on, of in names.items()}


@dataclass(frozen=True)
class Shape:
    """What groups have in common.

    Args:
        graph: A node for each place and a directed edge for each pair that has gates, with the gates' names.
        census: The graph's degrees and labels, which are the same for the same shapes.
    """

    graph: rx.PyDiGraph
    census: tuple[object, ...]

    @classmethod
    def of(cls, gates: Gates, group: Sequence[int]) -> "Shape":
        """Return the shape of a group, whose places are in the group's order."""
        graph, nothing = rx.PyDiGraph(), frozenset[str]()
        graph.add_nodes_from([gates.get((qubit,), nothing) for qubit in group])
        pairs = [(a, b) for a in range(len(group)) for b in range(len(group)) if a != b]
        edges = [(a, b, gates[on]) for a, b in pairs if (on := (group[a], group[b])) in gates]
        graph.add_edges_from(edges)
        nodes = Counter((graph[n], graph.in_degree(n), graph.out_degree(n)) for n in graph.node_indices())
        return cls(graph, (frozenset(nodes.items()), frozenset(Counter(names for _, _, names in edges).items())))

    def onto(self, other: "Shape") -> Iterator[tuple[int, ...]]:
        """Yield each way to put this shape's places onto those of another one, if it is the same."""
        if self.census == other.census:
            for mapping in rx.vf2_mapping(self.graph, other.graph, node_matcher=eq, edge_matcher=eq):
                yield tuple(mapping[place] for place in range(len(mapping)))


Uses = Counter[tuple[str, tuple[int, ...]]]
"""How often a circuit has each gate on each of its places; ``"measure"`` is a readout."""


@dataclass(frozen=True)
class Template:
    """A circuit in the gates of a shape.

    Args:
        circuit: The circuit, on the shape's places.
        ends: The place at which each of the circuit's own qubits is at its end.
    """

    circuit: QuantumCircuit
    ends: tuple[int, ...]

    @cached_property
    def _gates(self) -> Uses:
        place = {qubit: number for number, qubit in enumerate(self.circuit.qubits)}
        real = (i for i in self.circuit.data if i.operation.name != "barrier")
        return Counter((i.operation.name, tuple(place[q] for q in i.qubits)) for i in real)

    @cached_property
    def places(self) -> tuple[int, ...]:
        """The places that are used."""
        return tuple(sorted({place for _, on in self._gates for place in on} | set(self.ends)))

    def size(self) -> tuple[int, int, int]:
        """Return the number of gates on two places, the depth, and the number of gates."""
        on_two = sum(times for (_, on), times in self._gates.items() if len(on) == 2)
        return on_two, self.circuit.depth(), self._gates.total()

    def uses(self, measured: Sequence[int]) -> Uses:
        """Return how often each gate is used, readouts included.

        Args:
            measured: The circuit's own qubits that are measured at its end.
        """
        return self._gates + Counter(("measure", (self.ends[qubit],)) for qubit in measured)


def transpiled(
    circuit: QuantumCircuit, target: Target, optimization_level: int, seeds: Sequence[int]
) -> list[Template]:
    """Return a circuit in the gates of a target, once for each of the transpiler's seeds.

    Raises:
        BackendError: The circuit cannot be written in these gates, or has more qubits.
    """
    try:
        found = [
            generate_preset_pass_manager(
                target=target, optimization_level=optimization_level, seed_transpiler=seed
            ).run(circuit)
            for seed in seeds
        ]
    except QiskitError as error:
        raise BackendError(f"{error.message.rstrip('. ')}.") from error
    every = range(circuit.num_qubits)  # without couplings there is no layout
    return [Template(c, tuple(c.layout.final_index_layout(filter_ancillas=True) if c.layout else every)) for c in found]


def without_errors(target: Target) -> Target:
    """Return a target whose qubits and gates are all as good as each other, so that layouts go by couplings alone."""
    plain = Target(num_qubits=target.num_qubits, dt=target.dt)
    for name in target.operation_names:
        properties = dict.fromkeys(target[name] or {None: None})
        plain.add_instruction(target.operation_from_name(name), None if None in properties else properties, name=name)
    return plain
