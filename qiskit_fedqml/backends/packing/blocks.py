"""Blocks: disjoint groups of a device's qubits, each of which holds a copy of one circuit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target

from qiskit_fedqml.backends.figures import error_of
from qiskit_fedqml.backends.layout import of_qubits
from qiskit_fedqml.backends.packing.choice import choose
from qiskit_fedqml.backends.packing.groups import connected_groups
from qiskit_fedqml.backends.packing.shapes import Shape, Template, Uses, gates_of, transpiled, without_errors
from qiskit_fedqml.config.blocks import Blocks
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.gaps import Gaps

_MOST_GROUPS = 20_000
"""Connected groups among which the choice is exact; above, blocks are found one after another."""


@dataclass(frozen=True)
class Block:
    """Qubits of a device that hold one copy of a circuit.

    Args:
        qubits: The qubits, in ascending order.
        circuit: The circuit in their gates, on all of the device's qubits.
        ends: The device's qubit on which each of the circuit's own qubits is at its end.
        success_probability: The estimated chance that no gate and no readout errs, from 0 to 1.
    """

    qubits: tuple[int, ...]
    circuit: QuantumCircuit
    ends: tuple[int, ...]
    success_probability: float


@dataclass(frozen=True)
class BlockLayout:
    """The blocks of one circuit on one device.

    Args:
        blocks: The blocks, the one most likely to succeed first.
        is_proven: Whether no choice of good blocks has more of them, by the solver's certificate.
    """

    blocks: tuple[Block, ...]
    is_proven: bool


@dataclass(frozen=True)
class _Placed:
    """A template whose places are on qubits of the device."""

    template: Template
    qubits: tuple[int, ...]
    success_probability: float = 0.0

    @cached_property
    def group(self) -> tuple[int, ...]:
        return tuple(sorted(self.qubits[place] for place in self.template.places))

    def block(self, num_qubits: int) -> Block:
        circuit = QuantumCircuit(num_qubits)
        circuit.compose(self.template.circuit, self.qubits, inplace=True)
        ends = tuple(self.qubits[place] for place in self.template.ends)
        return Block(self.group, circuit, ends, self.success_probability)


@dataclass(frozen=True)
class BlockFinder:
    """Finds blocks by the errors of one calibration.

    Args:
        target: What can be used of the device, with its errors.
        gaps: What cannot be used.
        config: How blocks are chosen.
        optimization_level: The transpiler's effort, 0 to 3.
        seeds: The transpiler's seeds, of which the best result is taken.
    """

    target: Target
    gaps: Gaps
    config: Blocks
    optimization_level: int
    seeds: Sequence[int]

    def find(self, circuit: QuantumCircuit, measured: Sequence[int]) -> BlockLayout:
        """Return the blocks of a circuit.

        As many as possible are chosen among those that are good enough, and of as many those with the highest product
        of success probabilities. Where a device has too many connected groups of the circuit's size, blocks are taken
        one after another, as the transpiler finds them.

        Args:
            circuit: The circuit.
            measured: Its qubits that are measured at its end.

        Raises:
            BackendError: It does not fit the device even once.
        """
        groups = connected_groups(self._neighbours, circuit.num_qubits, _MOST_GROUPS)
        if groups is None:
            chosen, is_proven = self._good(self._one_after_another(circuit, measured)), False
        else:
            good = self._good(self._on_all(circuit, measured, groups))
            success = [math.log(placed.success_probability) for placed in good]
            groups = [placed.group for placed in good]
            choice = choose(groups, success, self._couplings, self.config.separation, self.config.most)
            chosen, is_proven = [good[place] for place in choice.places], choice.is_proven
        blocks = [placed.block(self.target.num_qubits) for placed in chosen]
        return BlockLayout(tuple(sorted(blocks, key=lambda b: (-b.success_probability, b.qubits))), is_proven)

    def _on_all(
        self, circuit: QuantumCircuit, measured: Sequence[int], groups: Sequence[tuple[int, ...]]
    ) -> list[_Placed]:
        """Put the circuit on each group that holds it, in the way that is most likely to succeed."""
        gates, known, found = gates_of(self.target), list[tuple[Shape, Template | None]](), list[_Placed]()
        reason = "No connected qubits of the device can hold it."
        for group in groups:
            shape = Shape.of(gates, group)
            template, ways = next(
                ((of, ways) for other, of in known if (ways := list(other.onto(shape)))),
                (None, list[tuple[int, ...]]()),
            )
            if not ways:
                try:
                    small = without_errors(of_qubits(self.target, group))
                    template = min(transpiled(circuit, small, self.optimization_level, self.seeds), key=Template.size)
                except BackendError as error:
                    reason = str(error)
                known.append((shape, template))
                ways = list(shape.onto(shape))
            if template is not None:
                uses = template.uses(measured)
                placed = [self._scored(template, uses, [group[place] for place in way]) for way in ways]
                found.append(max(placed, key=lambda p: p.success_probability))
        if not found:
            raise BackendError(reason)
        return found

    def _one_after_another(self, circuit: QuantumCircuit, measured: Sequence[int]) -> list[_Placed]:
        """Find blocks as the transpiler finds them on what is left of the device, until nothing fits any more."""
        free, found = sorted(self._neighbours), list[_Placed]()
        while len(found) < (self.config.most or math.inf):
            try:
                templates = transpiled(circuit, of_qubits(self.target, free), self.optimization_level, self.seeds)
            except BackendError:
                if not found:
                    raise
                break
            placed = [self._scored(template, template.uses(measured), free) for template in templates]
            found.append(max(placed, key=lambda p: p.success_probability))
            taken = set(found[-1].group)
            if self.config.separation:
                taken = taken.union(*(self._neighbours[qubit] for qubit in taken))
            free = [qubit for qubit in free if qubit not in taken]
        return found

    def _good(self, found: Sequence[_Placed]) -> list[_Placed]:
        least = self.config.least_success * max(placed.success_probability for placed in found)
        good = [placed for placed in found if placed.success_probability >= least and placed.success_probability > 0]
        if not good:
            raise BackendError("By the errors that are published it fails on all qubits of the device.")
        return good

    def _scored(self, template: Template, uses: Uses, qubits: Sequence[int]) -> _Placed:
        success = 1.0
        for (name, places), times in uses.items():
            success *= (1 - self._error(name, tuple(qubits[place] for place in places))) ** times
        return _Placed(template, tuple(qubits), success)

    def _error(self, name: str, on: tuple[int, ...]) -> float:
        if (name, on) not in self._errors:
            self._errors[name, on] = error_of(self.target, name, on)
        return self._errors[name, on]

    @cached_property
    def _errors(self) -> dict[tuple[str, tuple[int, ...]], float]:
        return {}

    @cached_property
    def _couplings(self) -> frozenset[tuple[int, int]]:
        return frozenset((on[0], on[1]) for on in gates_of(self.target) if len(on) == 2)

    @cached_property
    def _neighbours(self) -> dict[int, frozenset[int]]:
        """The qubits that can be used, each with those that it is coupled with."""
        found: dict[int, set[int]] = {q: set() for q in range(self.target.num_qubits) if q not in self.gaps.qubits}
        for a, b in self._couplings:
            if a in found and b in found:
                found[a].add(b)
                found[b].add(a)
        return {qubit: frozenset(of) for qubit, of in found.items()}
