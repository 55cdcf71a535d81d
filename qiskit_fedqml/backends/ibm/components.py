"""Parts of a circuit that no gate connects, simulated one by one.

Without crosstalk each part is as if the others were not there, so that a circuit of a hundred qubits in blocks of four
costs what its blocks cost. The simulation is exact as far as that holds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rustworkx as rx
from numpy.typing import NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import PauliList, SparsePauliOp

from qiskit_fedqml.simulation.machine_estimator import MachineEstimator, Run


@dataclass(frozen=True)
class Component:
    """A part of a circuit.

    Args:
        qubits: The whole circuit's qubits that it is on.
        circuit: The part, on these alone.
        observables: What is measured of it, on the same.
        outputs: The places of these observables among all.
        columns: The places of its parameters among all.
    """

    qubits: tuple[int, ...]
    circuit: QuantumCircuit
    observables: tuple[SparsePauliOp, ...]
    outputs: tuple[int, ...]
    columns: tuple[int, ...]

    def pub(self, values: NDArray[np.float64]) -> tuple[Any, ...]:
        """Return the part's PUB, at values of all parameters of shape (…, parameters)."""
        own = values[..., list(self.columns)]
        bindings: Any = {tuple(self.circuit.parameters): own} if self.columns else own
        return self.circuit, [[[observable]] for observable in self.observables], bindings


def components(
    circuit: QuantumCircuit, observables: Sequence[SparsePauliOp], parameters: Sequence[Parameter]
) -> list[Component] | None:
    """Split a circuit into parts that no gate connects, as far as they are measured.

    Args:
        circuit: The circuit.
        observables: What is measured, on its qubits.
        parameters: The parameters in the order of their values.

    Returns:
        The parts; None if an observable acts on several of them.
    """
    of_qubit = _parts(circuit)
    of_output = [{of_qubit[q] for q in np.flatnonzero(support(observable))} for observable in observables]
    if any(len(parts) > 1 for parts in of_output):
        return None
    found = []
    for part in sorted({min(parts) for parts in of_output if parts}):
        qubits = tuple(qubit for qubit, of in enumerate(of_qubit) if of == part)
        outputs = tuple(place for place, parts in enumerate(of_output) if parts == {part})
        small = on_qubits(circuit, qubits)
        place = {parameter: column for column, parameter in enumerate(parameters)}
        columns = tuple(place[parameter] for parameter in small.parameters)
        of_part = tuple(restricted(observables[output], qubits) for output in outputs)
        found.append(Component(qubits, small, of_part, outputs, columns))
    return found


@dataclass
class ComponentSimulation:
    """The parts of one circuit on one machine, compiled once.

    Args:
        parts: The parts.
        constants: The value of each observable that acts on no qubit, by its place.
        num_outputs: Number of all observables.
        estimator_on: Makes what estimates circuits on some qubits, with their noise.
    """

    parts: Sequence[Component]
    constants: dict[int, float]
    num_outputs: int
    estimator_on: Callable[[Sequence[int]], MachineEstimator]
    _compiled: list[tuple[MachineEstimator, dict[tuple[object, ...], object]]] = field(default_factory=list, init=False)

    def run(self, points: NDArray[np.float64], seed: int, shots: int | None) -> NDArray[np.float64]:
        """Return expectation values, shape (points, outputs), at points of shape (points, parameters).

        Args:
            points: Values of the parameters.
            seed: Seed of the shots; each part draws on its own.
            shots: Shots of each point; None is exact.
        """
        if not self._compiled:
            self._compiled = [(self.estimator_on(part.qubits), {}) for part in self.parts]
        values = np.tile(self.outputs_without_qubits(), (len(points), 1))
        for number, (part, (estimator, compiled)) in enumerate(zip(self.parts, self._compiled, strict=True)):
            run = Run(np.random.default_rng([seed, number]), compiled)
            own = points[:, list(part.columns)]
            values[:, list(part.outputs)] = estimator.estimate(part.circuit, part.observables, own, shots, run)[0].T
        return values

    def outputs_without_qubits(self) -> NDArray[np.float64]:
        """Return the value of each output that is constant, and 0 for the others."""
        values = np.zeros(self.num_outputs)
        for output, constant in self.constants.items():
            values[output] = constant
        return values


def support(observable: SparsePauliOp) -> NDArray[np.bool_]:
    """Return which qubits an observable acts on, shape (qubits,)."""
    acts: NDArray[np.bool_] = (observable.paulis.z | observable.paulis.x).any(axis=0)
    return acts


def restricted(observable: SparsePauliOp, qubits: Sequence[int]) -> SparsePauliOp:
    """Return an observable on some of its qubits alone."""
    of, terms = list(qubits), observable.paulis
    return SparsePauliOp(PauliList.from_symplectic(terms.z[:, of], terms.x[:, of], terms.phase), observable.coeffs)


def on_qubits(circuit: QuantumCircuit, qubits: Sequence[int]) -> QuantumCircuit:
    """Return what a circuit does on some of its qubits, which no gate connects with others, on these alone."""
    small = QuantumCircuit(len(qubits), global_phase=circuit.global_phase, metadata=circuit.metadata)
    place = {circuit.qubits[qubit]: k for k, qubit in enumerate(qubits)}
    for instruction in circuit.data:
        on = [place[q] for q in instruction.qubits if q in place]
        if instruction.operation.name == "barrier":
            small.barrier(on)
        elif on:
            small.append(instruction.operation, on)
    return small


def _parts(circuit: QuantumCircuit) -> list[int]:
    """Return the part of each qubit, named by its lowest qubit."""
    graph = rx.PyGraph()
    graph.add_nodes_from(range(circuit.num_qubits))
    for instruction in circuit.data:
        if instruction.operation.name != "barrier":
            on = [circuit.find_bit(q).index for q in instruction.qubits]
            graph.add_edges_from_no_data([(on[0], other) for other in on[1:]])
    of_qubit = [0] * circuit.num_qubits
    for nodes in rx.connected_components(graph):
        for node in nodes:
            of_qubit[node] = min(nodes)
    return of_qubit
