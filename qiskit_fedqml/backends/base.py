"""What a backend is, and how any estimator becomes one.

A backend answers three questions: transpile this circuit for me; estimate these PUBs, as an ``EstimatorV2`` does; and
evaluate this circuit at these angles, values and on request their Jacobian. The last is by default one broadcast PUB in
one job (:func:`evaluate_broadcast`).
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.program import Asked, Evaluation, Program
from qiskit_fedqml.circuits.angles import light_cone
from qiskit_fedqml.circuits.observables import checked_observables, commuting_groups
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.memory import require_memory

if TYPE_CHECKING:
    from qiskit_fedqml.backends.packing.blocks import BlockLayout


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
class PreparingBackend(Backend, Protocol):
    """A backend whose first evaluation takes longer than the next ones, unless it was prepared for it."""

    def prepare(self, program: Program) -> None:
        """Do what the first evaluation of a program would wait for."""
        ...


@runtime_checkable
class QueuedBackend(Backend, Protocol):
    """A backend whose jobs wait in a queue elsewhere, so that others can work meanwhile."""

    def candidates(self, circuit: QuantumCircuit) -> Sequence[QuantumCircuit]:
        """Return the circuit in the device's gates and in several layouts, the best first."""
        ...

    @property
    def calibration_date(self) -> str | None:
        """The date of the calibration that was read last; None where a provider states none."""
        ...

    def refresh(self) -> None:
        """Read the device's calibration again."""
        ...

    def calibration_of(self, program: Program) -> dict[str, Any] | None:
        """Return device, date and the figures of the qubits that a program uses, as plain values; None if unknown."""
        ...

    def close_round(self, round: int, failed_clients: Collection[int]) -> None:
        """Tidy up when all clients of a round have come back."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Let the jobs that are sent inside run as one batch, where the device knows batches."""
        ...


@runtime_checkable
class PackingBackend(Backend, Protocol):
    """A backend that can hold several copies of a circuit, each on a block of qubits."""

    def block_layout(self, circuit: QuantumCircuit, measured: Sequence[int]) -> "BlockLayout | None":
        """Return the blocks of a circuit of which some qubits are measured; None where blocks are off."""
        ...

    def give_blocks_to(self, clients: Sequence[int]) -> None:
        """Let each of these clients have blocks of its own, if the backend's entry wants that."""
        ...

    def success_probability(self, program: Program, client: int | None = None) -> float | None:
        """Return as :class:`Backend` does; of a program with copies the mean over a client's (None: all) blocks."""
        ...

    def calibration_of(self, program: Program, client: int | None = None) -> dict[str, Any] | None:
        """Return machine, date and the figures of what a client uses, as plain values; None if unknown."""
        ...


@runtime_checkable
class JointBackend(QueuedBackend, Protocol):
    """A device that evaluates what several clients ask in one job."""

    @property
    def is_joint(self) -> bool:
        """Whether the clients of a round are to take each step together."""
        ...

    def evaluate_jointly(
        self, program: Program, asked: Sequence[Asked], *, jacobian: bool, key: JobKey | None = None
    ) -> list[Evaluation]:
        """Evaluate a program for several clients; return an evaluation for each."""
        ...


@runtime_checkable
class SimulatedBackend(Backend, Protocol):
    """A backend that holds the state of a circuit in this computer's memory."""

    def memory_bytes(self, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> int:
        """Return the bytes that one state of the circuit takes, in the part of it that reaches a measured qubit."""
        ...

    def evaluate_jointly(
        self, program: Program, asked: Sequence[Asked], *, jacobian: bool, key: JobKey | None = None
    ) -> list[Evaluation]:
        """Evaluate a program, in which clients train, for several of them; return an evaluation for each."""
        ...


def check_fits(backend: Backend, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> None:
    """Refuse a circuit that is too large for a backend: by arithmetic, before anything is transpiled or allocated.

    Args:
        backend: The backend that is to evaluate it.
        circuit: The circuit, as it is described; its parameters do not matter.
        observables: What is measured, on the circuit's qubits.

    Raises:
        BackendError: The backend has fewer qubits than the circuit, or its state takes more memory than there is.
    """
    most = backend.describe().get("num_qubits")
    if most is not None and circuit.num_qubits > most:
        raise BackendError(
            f"Backend {backend.name!r} cannot take the circuit: the circuit has {circuit.num_qubits:,} qubits, and the "
            f"backend {most:,}."
        )
    if isinstance(backend, SimulatedBackend):
        what = f"Backend {backend.name!r}: the state of a circuit of {circuit.num_qubits:,} qubits"
        require_memory(backend.memory_bytes(circuit, observables), what)


def compile_program(
    backend: Backend, circuit: QuantumCircuit, angles: Sequence[Parameter], observables: Sequence[SparsePauliOp]
) -> Program:
    """Transpile a circuit of gate angles for a backend and find what needs to be run.

    Of several layouts that a device offers, the best of those with the fewest angles to shift is taken. A backend that
    is cut into blocks gives a copy of the program for each of them, if there are several.

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
    check_fits(backend, circuit, observables)
    layout = backend.block_layout(circuit, _support(observables)) if isinstance(backend, PackingBackend) else None
    if layout is not None and len(layout.blocks) > 1:
        return _packed_program(layout, angles, observables)
    if not isinstance(backend, QueuedBackend):
        return _program(circuit, backend.transpile(circuit), angles, observables)
    programs = [_program(circuit, transpiled, angles, observables) for transpiled in backend.candidates(circuit)]
    best = min(programs, key=lambda program: (len(program.shifted), -(backend.success_probability(program) or 0.0)))
    return replace(best, has_most_copies=layout is not None and layout.is_proven)


def _program(
    circuit: QuantumCircuit,
    transpiled: QuantumCircuit,
    angles: Sequence[Parameter],
    observables: tuple[SparsePauliOp, ...],
) -> Program:
    if transpiled is not circuit and transpiled.layout is not None:
        observables = tuple(o.apply_layout(transpiled.layout) for o in observables)
    return _laid_out(transpiled, angles, observables)


def _laid_out(circuit: QuantumCircuit, angles: Sequence[Parameter], observables: tuple[SparsePauliOp, ...]) -> Program:
    cone = light_cone(circuit, observables)
    shifted = tuple(j for j, angle in enumerate(angles) if angle in cone)
    measuring = [group for group in commuting_groups(observables) if (group.x | group.z).any()]
    return Program(circuit, observables, tuple(angles), shifted, len(measuring))


def _packed_program(
    layout: "BlockLayout", angles: Sequence[Parameter], observables: tuple[SparsePauliOp, ...]
) -> Program:
    """Return the program of the best block with its copies; all of them shift what can matter on any of them."""
    copies = [
        _laid_out(b.circuit, angles, tuple(o.apply_layout(list(b.ends), b.circuit.num_qubits) for o in observables))
        for b in layout.blocks
    ]
    shifted = tuple(sorted({j for copy in copies for j in copy.shifted}))
    alike = tuple(replace(copy, shifted=shifted) for copy in copies)
    return replace(alike[0], copies=alike, has_most_copies=layout.is_proven)


def _support(observables: Sequence[SparsePauliOp]) -> list[int]:
    acted_on = np.any([(o.paulis.x | o.paulis.z).any(axis=0) for o in observables], axis=0)
    return [int(qubit) for qubit in np.flatnonzero(acted_on)]
