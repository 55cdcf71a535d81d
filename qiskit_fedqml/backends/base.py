"""What a backend is, and how any estimator becomes one.

A backend answers three questions: transpile this circuit for me; estimate these PUBs, as an ``EstimatorV2`` does; and
evaluate this circuit at these angles, values and on request their Jacobian. The last is by default one broadcast PUB in
one job (:func:`evaluate_broadcast`).
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.angles import light_cone
from qiskit_fedqml.backends.job import JobKey, JobReceipt
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.observables import checked_observables, commuting_groups
from qiskit_fedqml.parameter_shift import derivatives, shifted_points


@dataclass(frozen=True, eq=False)
class Program:
    """A circuit of gate angles, transpiled once for one backend, with what is measured on it.

    Args:
        circuit: The transpiled circuit.
        observables: One observable for each output, on the circuit's qubits.
        angles: The circuit's angles, in the order of the columns of angle values.
        shifted: Indices of the angles that can reach a measured qubit; only these are shifted.
        num_groups: Number of groups of qubit-wise commuting terms that measure something; each needs its own
            executions.
    """

    circuit: QuantumCircuit
    observables: tuple[SparsePauliOp, ...]
    angles: tuple[Parameter, ...]
    shifted: tuple[int, ...]
    num_groups: int

    @property
    def measured(self) -> tuple[int, ...]:
        """The qubits that the observables act on."""
        support = np.any([(o.paulis.x | o.paulis.z).any(axis=0) for o in self.observables], axis=0)
        return tuple(int(q) for q in np.flatnonzero(support))

    def shifting(self, angles: Collection[int]) -> "Program":
        """Return the program with only these of its angles shifted."""
        return replace(self, shifted=tuple(j for j in self.shifted if j in angles))

    def check_angles(self, angles: NDArray[np.float64]) -> None:
        """Raise BackendError unless these are finite angles of shape (batch, angles), with at least one sample."""
        if not isinstance(angles, np.ndarray) or angles.dtype.kind not in "fiu":
            kind = angles.dtype if isinstance(angles, np.ndarray) else type(angles).__name__
            raise BackendError(f"Argument `angles` must be an array of real numbers, but is of {kind}.")
        if angles.ndim != 2 or angles.shape[1] != len(self.angles) or not len(angles):
            raise BackendError(
                f"Argument `angles` must have shape (batch, {len(self.angles)}), but has {angles.shape}."
            )
        if not np.isfinite(angles).all():
            raise BackendError("Argument `angles` must be finite, but some angles are NaN or infinite.")

    def evaluation(
        self,
        values: NDArray[np.float64],
        jacobian: NDArray[np.float64] | None,
        *,
        shots: int | None,
        simulator: str,
    ) -> "Evaluation":
        """Return values and derivatives with the number of circuits and executions that they stand for."""
        points = 1 + 2 * len(self.shifted) if jacobian is not None else 1
        circuits = len(values) * points * self.num_groups
        return Evaluation(values, jacobian, circuits, circuits * (shots or 1), simulator)


@dataclass(frozen=True)
class Evaluation:
    """What a backend gives for a program at a batch of angles.

    Args:
        values: Expectation values, shape (batch, observables).
        jacobian: Derivatives with respect to the angles, shape (batch, observables, angles), or None if not asked for.
        circuits: Number of circuits with bound angles, once for each group of commuting observables.
        executions: The sum of these circuits' shots; a circuit evaluated exactly counts once.
        simulator: What computed the numbers (``"sweep"``, ``"aer"``, …).
        jobs: The jobs that a device ran for it; empty where there is no device.
    """

    values: NDArray[np.float64]
    jacobian: NDArray[np.float64] | None
    circuits: int
    executions: int
    simulator: str
    jobs: tuple[JobReceipt, ...] = ()


@runtime_checkable
class Backend(Protocol):
    """A machine, simulated or real, that evaluates circuits.

    ``name`` is its entry's name in the registry, ``simulator`` what computes its numbers (``"aer"``, …), and ``shots``
    the number of shots of each circuit, or None where expectations are exact.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def simulator(self) -> str: ...  # noqa: D102

    @property
    def shots(self) -> int | None: ...  # noqa: D102

    def describe(self) -> dict[str, Any]:
        """Return what a reader should know of the backend, as plain values."""
        ...

    def transpile(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return the circuit in the backend's own gates and layout."""
        ...

    def success_probability(self, program: Program) -> float | None:
        """Return the estimated chance that no gate and no readout of a program errs; None where nothing is known."""
        ...

    def estimator(self, seed: int | None = None) -> BaseEstimatorV2:
        """Return an estimator for transpiled circuits, whose draws derive from ``seed`` (None: from the system)."""
        ...

    def evaluate(
        self,
        program: Program,
        angles: NDArray[np.float64],
        *,
        jacobian: bool,
        seed: int | None = None,
        key: JobKey | None = None,
    ) -> Evaluation:
        """Evaluate a program at angles of shape (batch, angles), in radians; ``key`` says what it is for."""
        ...


@runtime_checkable
class QueuedBackend(Backend, Protocol):
    """A backend whose jobs wait in a queue elsewhere, so that others can work meanwhile."""

    def candidates(self, circuit: QuantumCircuit) -> Sequence[QuantumCircuit]:
        """Return the circuit in the device's gates and in several layouts, the best first."""
        ...

    @property
    def calibration_date(self) -> str:
        """The date of the calibration that was read last."""
        ...

    def refresh(self) -> None:
        """Read the device's calibration again."""
        ...

    def calibration_of(self, program: Program) -> dict[str, Any]:
        """Return device, date and the figures of the qubits that a program uses, as plain values."""
        ...

    def close_round(self, round: int, failed_clients: Collection[int]) -> None:
        """Tidy up when all clients of a round have come back."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Let the jobs that are sent inside run as one batch, where the device knows batches."""
        ...


def compile_program(
    backend: Backend, circuit: QuantumCircuit, angles: Sequence[Parameter], observables: Sequence[SparsePauliOp]
) -> Program:
    """Transpile a circuit of gate angles for a backend and find what needs to be run.

    Of several layouts that a device offers, the best of those with the fewest angles to shift is taken.

    Args:
        backend: The backend that will evaluate the program.
        circuit: A circuit whose parameters are ``angles``, one for each parameterised gate.
        angles: The angles in the order in which their values will come.
        observables: One observable for each output, on the circuit's qubits.

    Raises:
        CircuitError: An observable has another number of qubits than the circuit, is not real, or is zero.
        BackendError: The circuit doesn't fit the backend.
    """
    observables = checked_observables(observables, circuit.num_qubits)
    if not isinstance(backend, QueuedBackend):
        return _program(circuit, backend.transpile(circuit), angles, observables)
    programs = [_program(circuit, transpiled, angles, observables) for transpiled in backend.candidates(circuit)]
    return min(programs, key=lambda program: (len(program.shifted), -(backend.success_probability(program) or 0.0)))


def _program(
    circuit: QuantumCircuit,
    transpiled: QuantumCircuit,
    angles: Sequence[Parameter],
    observables: tuple[SparsePauliOp, ...],
) -> Program:
    if transpiled is not circuit and transpiled.layout is not None:
        observables = tuple(o.apply_layout(transpiled.layout) for o in observables)
    cone = light_cone(transpiled, observables)
    shifted = tuple(j for j, angle in enumerate(angles) if angle in cone)
    measuring = [group for group in commuting_groups(observables) if (group.x | group.z).any()]
    return Program(transpiled, observables, tuple(angles), shifted, len(measuring))


def evaluate_broadcast(
    program: Program,
    angles: NDArray[np.float64],
    *,
    jacobian: bool,
    estimator: BaseEstimatorV2,
    precision: float | None,
    shots: int | None,
    simulator: str,
) -> Evaluation:
    """Evaluate a program as one broadcast PUB in one job.

    The observables lie on a leading axis, so that commuting ones share executions; the forward values and the shifts by
    ±π/2 of each reachable angle lie on the last axis.

    Args:
        program: What to evaluate.
        angles: Angles in radians, shape (batch, angles).
        jacobian: Whether derivatives are wanted.
        estimator: Runs the job.
        precision: Passed to the estimator with the PUB; None leaves it to the estimator.
        shots: Shots of each circuit, for the count of executions; None if exact.
        simulator: What computes the numbers.
    """
    shifted = program.shifted if jacobian else ()
    pub = broadcast_pub(program, shifted_points(angles, shifted))
    expectations = expectations_of(estimator.run([pub], precision=precision).result()[0].data.evs)
    return program.evaluation(
        np.ascontiguousarray(expectations[:, 0]),
        derivatives(expectations, shifted, angles.shape[1]) if jacobian else None,
        shots=shots,
        simulator=simulator,
    )


def broadcast_pub(program: Program, points: NDArray[np.float64]) -> tuple[QuantumCircuit, list[Any], Any]:
    """Return one PUB: observables of shape (outputs, 1, 1) at points of shape (batch, shifts, angles)."""
    in_circuit = set(program.circuit.parameters)
    bound = [(j, angle) for j, angle in enumerate(program.angles) if angle in in_circuit]
    values = points[..., [j for j, _ in bound]]
    bindings: Any = {tuple(angle for _, angle in bound): values} if bound else values  # an array keeps its shape
    return program.circuit, [[[o]] for o in program.observables], bindings


def expectations_of(evs: Any) -> NDArray[np.float64]:
    """Return what such a PUB gave, (outputs, batch, shifts), as an array of shape (batch, shifts, outputs)."""
    return np.moveaxis(np.asarray(evs, dtype=float), 0, -1)


class EstimatorBackend:
    """A backend made of any ``EstimatorV2``, for circuits that need no transpiling (or were transpiled already).

    Args:
        estimator: Runs the PUBs; it keeps its own seed, so the seeds passed here are not used.
        precision: Target precision of every evaluation, values and derivatives alike; None leaves it to the estimator.
    """

    simulator = "estimator"

    def __init__(self, estimator: BaseEstimatorV2, precision: float | None = None) -> None:
        self._estimator = estimator
        self._precision = precision

    @property
    def name(self) -> str:
        """The estimator's class."""
        return type(self._estimator).__name__

    @property
    def shots(self) -> int | None:
        """Shots that the precision stands for, or None if it is 0 or left to the estimator."""
        return int(np.ceil(1 / self._precision**2)) if self._precision else None

    def describe(self) -> dict[str, Any]:
        """Return name and precision."""
        return {"name": self.name, "precision": self._precision}

    def transpile(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return the circuit as it is."""
        return circuit

    def success_probability(self, program: Program) -> None:
        """Return None: an estimator says nothing of its errors."""

    def estimator(self, seed: int | None = None) -> BaseEstimatorV2:
        """Return the estimator."""
        return self._estimator

    def evaluate(
        self,
        program: Program,
        angles: NDArray[np.float64],
        *,
        jacobian: bool,
        seed: int | None = None,
        key: JobKey | None = None,
    ) -> Evaluation:
        """Evaluate as one broadcast PUB in one job."""
        return evaluate_broadcast(
            program,
            angles,
            jacobian=jacobian,
            estimator=self._estimator,
            precision=self._precision,
            shots=self.shots,
            simulator=self.simulator,
        )
