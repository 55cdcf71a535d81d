"""Exact expectation values and parameter-shift derivatives."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.observables import check_observables
from qiskit_fedqml.simulation.active import ActiveCircuit, Shifts, on_qubits
from qiskit_fedqml.simulation.lowering import lower
from qiskit_fedqml.simulation.noise import Noise
from qiskit_fedqml.simulation.readout import observables_as_read
from qiskit_fedqml.simulation.sweep import PauliSweep, StateSweep, Sweep

Array = NDArray[np.float64]


class ExactProgram:
    """Exact expectation values, and their parameter-shift derivatives.

    Args:
        circuit: A circuit in the machine's gates.
        parameters: Its parameters in the order of their values; others may be among them.
        observables: What is measured, on the circuit's qubits.
        noise: The machine's noise, or None.
        shifted: Indices of the parameters whose derivatives are wanted.

    Attributes:
        method: ``"state vectors"`` or ``"Pauli vectors"``.

    Raises:
        UnsupportedError: The sweeps cannot express it.
        BackendError: A channel of the circuit or the noise is not physical.
        CircuitError: An observable has another number of qubits than the circuit, or is not real.
    """

    def __init__(
        self,
        circuit: QuantumCircuit,
        parameters: Sequence[Parameter],
        observables: Sequence[SparsePauliOp],
        noise: Noise | None,
        shifted: Sequence[int] = (),
    ) -> None:
        check_observables(observables, circuit.num_qubits)
        lowered = lower(circuit, noise)
        measured = {int(q) for o in observables for q in np.flatnonzero((o.paulis.x | o.paulis.z).any(axis=0))}
        active = ActiveCircuit.of(lowered, parameters, measured)
        self._active = active
        self._num_params = len(parameters)
        self._shifts = Shifts.of(active, shifted)
        self._sweep: Sweep
        if active.pure and noise is None:
            self.method = "state vectors"
            active.require_states()
            small = [on_qubits(o, active.qubits) for o in observables]
            self._sweep = StateSweep(active.operations, active.num_angles, len(active.qubits), small)
        else:
            self.method = "Pauli vectors"
            active.require_paulis(int(self._shifts.wanted.sum()))
            vectors = observables_as_read(observables, circuit.num_qubits, active.qubits, noise)
            self._sweep = PauliSweep(active.operations, active.num_angles, len(active.qubits), vectors)

    def evaluate(self, points: Array, *, jacobian: bool) -> tuple[Array, Array | None]:
        """Return values, shape (batch, observables), and derivatives, shape (batch, observables, parameters) or None.

        Args:
            points: Parameter values, shape (batch, parameters).
            jacobian: Whether derivatives are wanted.
        """
        shifts = self._shifts
        swept = self._sweep.run(self._active.angles.values(points), wanted=shifts.wanted if jacobian else None)
        if swept.odd is None:
            return swept.values.T, None
        derivatives = np.zeros((self._num_params, *swept.values.shape))
        derivatives[shifts.params] = swept.odd[shifts.rotations] * shifts.signs[:, None, None]
        return swept.values.T, derivatives.transpose(2, 1, 0)
