"""Copies of a program on disjoint blocks of one device, as one circuit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit

from qiskit_fedqml.backends.program import Program

NUM_BLOCKS = "num_blocks"
"""The key of a packed circuit's metadata that says how many blocks it has."""


class PackedCircuit:
    """The copies of a program as one circuit, each with angles of its own.

    A barrier over all blocks comes before the measurement, so that they are read at the same time, and that gates,
    which devices run as late as they can, end together.

    Args:
        copies: The same program on different qubits of one device.

    Attributes:
        circuit: The circuit.
        measured: The qubits that are measured.
    """

    def __init__(self, copies: Sequence[Program]) -> None:
        num_angles = len(copies[0].angles)
        angles = ParameterVector("angle", len(copies) * num_angles)
        self.circuit = QuantumCircuit(copies[0].circuit.num_qubits, metadata={NUM_BLOCKS: len(copies)})
        self._columns: list[tuple[Parameter, int, int]] = []
        for number, copy in enumerate(copies):
            in_circuit = set(copy.circuit.parameters)
            own = {angle: (j, angles[number * num_angles + j]) for j, angle in enumerate(copy.angles)}
            own = {angle: of for angle, of in own.items() if angle in in_circuit}
            renamed = copy.circuit.assign_parameters({angle: parameter for angle, (_, parameter) in own.items()})
            self.circuit.compose(renamed, inplace=True)
            self._columns += [(parameter, number, j) for j, parameter in own.values()]
        used = sorted({self.circuit.find_bit(q).index for i in self.circuit.data for q in i.qubits})
        if used:
            self.circuit.barrier(used)
        self._observables = [[[observable]] for copy in copies for observable in copy.observables]
        self.measured = tuple(sorted({qubit for copy in copies for qubit in copy.measured}))

    def pub(self, table: NDArray[np.float64]) -> tuple[QuantumCircuit, list[Any], Any]:
        """Return one PUB whose answer has the shape (copies · outputs, rows, 1).

        Args:
            table: The angles of each row and copy in radians, shape (rows, copies, angles).
        """
        blocks, columns = [of[1] for of in self._columns], [of[2] for of in self._columns]
        values = table[:, None, blocks, columns]
        bindings: Any = {tuple(of[0] for of in self._columns): values} if self._columns else values
        return self.circuit, self._observables, bindings
