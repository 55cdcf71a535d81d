"""Exact expectation values and parameter-shift derivatives."""

from collections.abc import Sequence

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.circuits.arrays import Array
from qiskit_fedqml.circuits.observables import checked_observables
from qiskit_fedqml.simulation.active import ActiveCircuit, Shifts, on_qubits
from qiskit_fedqml.simulation.lowering import lower
from qiskit_fedqml.simulation.noise import Noise
from qiskit_fedqml.simulation.readout import observables_as_read
from qiskit_fedqml.simulation.sweep import PauliSweep, StateSweep, Sweep


class ExactProgram:
    """Exact expectation values, and their parameter-shift derivatives.

    Args:
        circuit: A circuit in the machine's gates.
        parameters: Its parameters in the order of their values; others may be among them.
        observables: What is measured, on the circuit's qubits.
        noise: The machine's noise, or None.
        shifted: Indices of the parameters whose derivatives are wanted.
        mitigates_readout: Whether readout error is taken out again.

    Attributes:
        method: ``"state vectors"`` or ``"Pauli vectors"``.

    Raises:
        UnsupportedError: The sweeps cannot express it.
        BackendError: A channel of the circuit or the noise is not physical, or a readout error cannot be taken out.
        CircuitError: An observable has another number of qubits than the circuit, is not real, or is zero.
    """

    def __init__(
        self,
        circuit: QuantumCircuit,
        parameters: Sequence[Parameter],
        observables: Sequence[SparsePauliOp],
        noise: Noise | None,
        shifted: Sequence[int] = (),
        *,
        mitigates_readout: bool = False,
    ) -> None:
        observables = checked_observables(observables, circuit.num_qubits)
        lowered = lower(circuit, noise)
        measured = {int(q) for o in observables for q in np.flatnonzero((o.paulis.x | o.paulis.z).any(axis=0))}
        active = ActiveCircuit.of(lowered, parameters, measured)
        self._active = active
        self._num_params = len(parameters)
        self._shifts = Shifts.of(active, shifted)
        pure = active.pure and noise is None
        self.method = "state vectors" if pure else "Pauli vectors"
        if pure:
            active.require_states()
        else:
            active.require_paulis(int(self._shifts.wanted.sum()))

        def sweep_of(some: Sequence[SparsePauliOp]) -> Sweep:
            num_qubits = len(active.qubits)
            if pure:
                small = [on_qubits(o, active.qubits) for o in some]
                return StateSweep(active.operations, active.num_angles, num_qubits, small)
            vectors = observables_as_read(
                some, circuit.num_qubits, active.qubits, noise, mitigates_readout=mitigates_readout
            )
            return PauliSweep(active.operations, active.num_angles, num_qubits, vectors)

        at_once = active.observables_at_once(2 if pure else 4)
        parts = [observables[i : i + at_once] for i in range(0, len(observables), at_once)]
        self._sweeps = [sweep_of(part) for part in parts]

    def evaluate(self, points: Array, *, jacobian: bool) -> tuple[Array, Array | None]:
        """Return values, shape (batch, observables), and derivatives, shape (batch, observables, parameters) or None.

        Args:
            points: Parameter values, shape (batch, parameters).
            jacobian: Whether derivatives are wanted.
        """
        shifts = self._shifts
        angles, wanted = self._active.angles_at(points), shifts.wanted if jacobian else None
        swept = [sweep.run(angles, wanted=wanted) for sweep in self._sweeps]
        values = swept[0].values if len(swept) == 1 else np.concatenate([part.values for part in swept])
        if not jacobian:
            return values.T, None
        of_parts = [part.odd for part in swept if part.odd is not None]
        odd = of_parts[0] if len(of_parts) == 1 else np.concatenate(of_parts, axis=1)
        return values.T, shifts.by_parameter(odd, self._num_params).transpose(2, 1, 0)
