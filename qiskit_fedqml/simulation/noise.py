"""Noise as a value: gate errors, readout errors, and the gates and couplings of the machine that has them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from qiskit.transpiler import Target
from qiskit_aer.noise import NoiseModel, QuantumError, ReadoutError

STATED_BASIS = ("rz", "sx", "x", "cx")
"""Gates of a machine with stated rates: those of IBM's devices, where RZ is virtual and so has no error."""


@dataclass(frozen=True)
class Noise:
    """The noise of one machine.

    Args:
        source: Where it comes from, in words.
        date: Date of its calibration, or None if it has none.
        target: The machine's gates and couplings, or None for the gates ``STATED_BASIS`` on any qubits.
        gate_errors: Error after each gate, by gate name and qubits.
        default_errors: Error after each gate by gate name, on qubits that ``gate_errors`` doesn't name.
        readout: Confusion matrix of each qubit, 2×2, ``[measured, true]``; columns sum to 1.
        default_readout: Confusion matrix of the qubits that ``readout`` doesn't name.
    """

    source: str
    date: str | None
    target: Target | None
    gate_errors: Mapping[tuple[str, tuple[int, ...]], QuantumError] = field(default_factory=dict)
    default_errors: Mapping[str, QuantumError] = field(default_factory=dict)
    readout: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    default_readout: NDArray[np.float64] = field(default_factory=lambda: np.eye(2))

    def error_after(self, gate: str, qubits: tuple[int, ...]) -> QuantumError | None:
        """Return the error after a gate, or None."""
        return self.gate_errors.get((gate, qubits), self.default_errors.get(gate))

    def confusion(self, qubit: int) -> NDArray[np.float64]:
        """Return the confusion matrix of a qubit, 2×2, ``[measured, true]``."""
        return self.readout.get(qubit, self.default_readout)

    @cached_property
    def model(self) -> NoiseModel:
        """The same as Aer's noise model, its readout errors as asymmetric as the machine's."""
        model = NoiseModel(basis_gates=list(self.target.operation_names if self.target else STATED_BASIS))
        for name, error in self.default_errors.items():
            model.add_all_qubit_quantum_error(error, name)
        for (name, qubits), error in self.gate_errors.items():
            model.add_quantum_error(error, name, list(qubits))
        if not np.array_equal(self.default_readout, np.eye(2)):
            model.add_all_qubit_readout_error(ReadoutError(self.default_readout.T))
        for qubit, matrix in self.readout.items():
            model.add_readout_error(ReadoutError(matrix.T), [qubit])
        return model
