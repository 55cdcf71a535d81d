"""Expectation values and parameter-shift derivatives from shots, drawn for every shifted circuit on its own."""

from collections.abc import Iterator, Sequence

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.circuits.arrays import Array
from qiskit_fedqml.circuits.observables import checked_observables
from qiskit_fedqml.circuits.parameter_shift import derivatives, shifted_points
from qiskit_fedqml.simulation.active import ActiveCircuit, Shifts
from qiskit_fedqml.simulation.lowering import UnsupportedError, lower
from qiskit_fedqml.simulation.measurement import (
    MOST_PROBABILITIES,
    Basis,
    confusions,
    draw,
    draw_each,
    measured_groups,
    misread,
    outcomes_of_z_strings,
)
from qiskit_fedqml.simulation.noise import Noise
from qiskit_fedqml.simulation.readout import before_rotations
from qiskit_fedqml.simulation.shots import frequencies
from qiskit_fedqml.simulation.spaces import z_strings
from qiskit_fedqml.simulation.sweep import OutcomeSweep, PauliSweep

MOST_SAMPLED_QUBITS = 4
"""Qubits measured together up to which shots are drawn from the sweeps: each Z-string is one more observable."""


class SampledProgram:
    """Shots from two sweeps, whose observables are the Z-strings of the measured qubits.

    Args:
        circuit: A circuit in the machine's gates.
        parameters: Its parameters in the order of their values; others may be among them.
        observables: What is measured, on the circuit's qubits.
        noise: The machine's noise, or None.
        shifted: Indices of the parameters whose derivatives are wanted.
        mitigates_readout: Whether readout error is taken out again.

    Raises:
        UnsupportedError: The sweeps cannot express it.
        BackendError: A channel of the circuit or the noise is not physical, or a readout error cannot be taken out.
        CircuitError: An observable has another number of qubits than the circuit, is not real, or is zero.
    """

    method = "Pauli vectors"

    def __init__(
        self,
        circuit: QuantumCircuit,
        parameters: Sequence[Parameter],
        observables: Sequence[SparsePauliOp],
        noise: Noise | None,
        shifted: Sequence[int],
        *,
        mitigates_readout: bool = False,
    ) -> None:
        observables = checked_observables(observables, circuit.num_qubits)
        lowered = lower(circuit, noise)
        bases, self._weights, self._constants = measured_groups(observables, noise if mitigates_readout else None)
        most = max((len(basis.qubits) for basis in bases), default=0)
        if most > MOST_SAMPLED_QUBITS:
            raise UnsupportedError(
                f"{most} qubits are measured together, and shots of up to {MOST_SAMPLED_QUBITS} are swept"
            )
        active = ActiveCircuit.of(lowered, parameters, {q for basis in bases for q in basis.qubits})
        if active.pure and _is_cheaper_pointwise(len(active.qubits), len(shifted), bases):
            raise UnsupportedError(f"for {len(active.qubits)} qubits without noise that is less work than two sweeps")
        self._active = active
        self._shifts = Shifts.of(active, shifted)
        active.require_paulis(int(self._shifts.wanted.sum()))
        num_strings = sum(2 ** len(basis.qubits) - 1 for basis in bases)
        if num_strings > active.observables_at_once(4):
            raise UnsupportedError(f"{len(bases)} groups of observables have {num_strings} Z-strings, too many at once")
        self._shifted = tuple(shifted)
        rows = 4 ** len(active.qubits)
        columns = [np.zeros((rows, 0))]
        for basis in bases:
            strings = z_strings([active.qubits.index(q) for q in basis.qubits])[1:]
            vectors = np.zeros((rows, len(strings)))
            vectors[strings, np.arange(len(strings))] = 1.0
            columns.append(before_rotations(vectors, basis, circuit.num_qubits, active.qubits, noise))
        self._outcomes = [outcomes_of_z_strings(confusions(basis, noise)) for basis in bases]
        vectors = np.concatenate(columns, axis=1)
        self._sweep = PauliSweep(active.operations, active.num_angles, len(active.qubits), vectors)

    def estimate(
        self, points: Array, shots: int, rng: np.random.Generator, *, jacobian: bool
    ) -> tuple[Array, Array | None]:
        """Return values, shape (batch, observables), and derivatives, shape (batch, observables, parameters) or None.

        Args:
            points: Parameter values, shape (batch, parameters).
            shots: Shots of each circuit.
            rng: Draws them, for the value and for each shift on its own.
            jacobian: Whether derivatives are wanted.
        """
        num_points = len(points), 1 + 2 * len(self._shifted) if jacobian else 1
        probabilities = self._probabilities(points, jacobian)
        expectations = draw(probabilities, self._weights, self._constants, num_points, shots, rng)
        return expectations[:, 0], derivatives(expectations, self._shifted, points.shape[1]) if jacobian else None

    def estimate_each(
        self, points: Sequence[Array], shots: int, rngs: Sequence[np.random.Generator], *, jacobian: bool
    ) -> tuple[Array, Array | None]:
        """Do as :meth:`estimate` for several clients at once; each one's shots are drawn by its own generator.

        Args:
            points: Parameter values of each client, shape (batch, parameters).
            shots: Shots of each circuit.
            rngs: Draws each client's shots, as it would alone at the same probabilities.
            jacobian: Whether derivatives are wanted.

        Returns:
            As :meth:`estimate`, all clients' samples one after another.
        """
        num_points = 1 + 2 * len(self._shifted) if jacobian else 1
        of_sample = num_points * max(1, sum(map(len, self._outcomes)))
        parts = []
        sizes = [len(of_client) for of_client in points]
        for some in _runs(sizes, MOST_PROBABILITIES // of_sample):
            probabilities = self._probabilities(np.concatenate(points[some]), jacobian)
            args = sizes[some], num_points, shots, rngs[some]
            parts.append(draw_each(probabilities, self._weights, self._constants, *args))
        expectations = np.concatenate(parts)
        return expectations[:, 0], derivatives(expectations, self._shifted, points[0].shape[1]) if jacobian else None

    def _probabilities(self, points: Array, jacobian: bool) -> list[Array]:
        """Return the outcomes' probabilities of each group of observables, shape (batch, 1 + 2·shifts, outcomes)."""
        strings = self._expectations(points, jacobian)
        probabilities, start = [], 0
        for outcomes in self._outcomes:
            stop = start + len(outcomes) - 1
            of_group = outcomes[:, 1:] @ strings[:, start:stop] + outcomes[:, :1]
            probabilities.append(of_group.transpose(2, 0, 1))
            start = stop
        return probabilities

    def _expectations(self, points: Array, jacobian: bool) -> Array:
        """Return the Z-strings' expectations at the points and their shifts, shape (1 + 2·shifts, strings, batch)."""
        angles, shifts = self._active.angles_at(points), self._shifts
        swept = self._sweep.run(angles, wanted=shifts.wanted if jacobian else None, even=jacobian)
        if swept.odd is None or swept.even is None:
            return swept.values[None]
        odd = swept.odd[shifts.rotations] * shifts.signs[:, None, None]
        still = swept.values - swept.even[shifts.rotations] * (shifts.signs**2)[:, None, None]
        return np.concatenate([swept.values[None], still + odd, still - odd])


def _runs(sizes: Sequence[int], most: int) -> Iterator[slice]:
    """Cut clients into runs of at most so many samples, or of one client."""
    start, held = 0, 0
    for place, size in enumerate(sizes):
        if held and held + size > most:
            yield slice(start, place)
            start, held = place, 0
        held += size
    yield slice(start, len(sizes))


def _is_cheaper_pointwise(num_qubits: int, num_shifts: int, bases: Sequence[Basis]) -> bool:
    """Tell whether a state vector for each shift is less work than a Pauli vector and its observables.

    These are the numbers that each way goes through for each gate; the factor is from measurements of 4 to 8 qubits
    with 2 and 8 layers, 1 and 4 of them measured.
    """
    of_states = (1 + 2 * num_shifts) * 2 ** (num_qubits + 1)
    of_paulis = 4**num_qubits * (1 + sum(2 ** len(basis.qubits) - 1 for basis in bases))
    return num_qubits >= 6 and of_states < 0.4 * of_paulis


class PointwiseProgram:
    """Shots from one simulation for each shifted circuit, where that is less work than sweeps of many observables.

    Arguments and errors are those of :class:`SampledProgram`.

    Attributes:
        method: How states are written.
    """

    def __init__(
        self,
        circuit: QuantumCircuit,
        parameters: Sequence[Parameter],
        observables: Sequence[SparsePauliOp],
        noise: Noise | None,
        shifted: Sequence[int],
        *,
        mitigates_readout: bool = False,
    ) -> None:
        observables = checked_observables(observables, circuit.num_qubits)
        bases, self._weights, self._constants = measured_groups(observables, noise if mitigates_readout else None)
        self._outcomes = [OutcomeProgram(circuit, parameters, basis, noise) for basis in bases]
        self._shifted = tuple(shifted)
        self.method = self._outcomes[0].method if self._outcomes else "state vectors"

    def estimate(
        self, points: Array, shots: int, rng: np.random.Generator, *, jacobian: bool
    ) -> tuple[Array, Array | None]:
        """Do as :meth:`SampledProgram.estimate` does."""
        shifted = self._shifted if jacobian else ()
        expectations = np.zeros((len(points), 1 + 2 * len(shifted), len(self._constants))) + self._constants
        for outcomes, worth in zip(self._outcomes, self._weights, strict=True):
            at_once = max(1, MOST_PROBABILITIES // (len(worth) * expectations.shape[1]))
            for start in range(0, len(points), at_once):
                some = slice(start, start + at_once)
                at_points = shifted_points(points[some], shifted)
                flat = outcomes.probabilities(at_points.reshape(-1, points.shape[1]))
                expectations[some] += frequencies(flat, shots, rng).reshape(*at_points.shape[:2], -1) @ worth
        return expectations[:, 0], derivatives(expectations, shifted, points.shape[1]) if jacobian else None


class OutcomeProgram:
    """Probabilities of what is read in one basis, by one simulation for each point.

    Args:
        circuit: A circuit in the machine's gates.
        parameters: Its parameters in the order of their values; others may be among them.
        basis: What is measured.
        noise: The machine's noise, or None.

    Raises:
        UnsupportedError: There are too many qubits, or an instruction or its error cannot be expressed.
        BackendError: A channel of the circuit or the noise is not physical.
    """

    def __init__(
        self, circuit: QuantumCircuit, parameters: Sequence[Parameter], basis: Basis, noise: Noise | None
    ) -> None:
        rotations = basis.rotations(circuit.num_qubits, noise)
        closing = lower(rotations, noise).operations if rotations is not None else []
        active = ActiveCircuit.of(lower(circuit, noise), parameters, set(basis.qubits), closing)
        self.method = "state vectors" if active.pure else "Pauli vectors"
        if active.pure:
            active.require_states()
        else:
            active.require_paulis(0)
        self._active = active
        self._confusions = confusions(basis, noise)
        measured = [active.qubits.index(q) for q in basis.qubits]
        self._sweep = OutcomeSweep(active.operations, active.num_angles, len(active.qubits), measured, active.pure)

    def probabilities(self, points: Array) -> Array:
        """Return outcome probabilities, shape (points, 2**measured), at points of shape (points, parameters)."""
        true = self._sweep.run(self._active.angles_at(points)).values.T
        return misread(true, self._confusions)
