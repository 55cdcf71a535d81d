"""Two sweeps through a circuit: expectation values, and what each rotation's shifts make of them.

An expectation is bilinear in the state before a rotation and the observable pulled back to just after it. One sweep
forward makes all states, one sweep backward all pulled-back observables; so values and all shifted values cost about
as much as two circuits. A rotation's angle enters as A + B cos θ + C sin θ: at a shift by ±π/2 the value is
``value − even ± odd``, and ``odd`` is the derivative, exactly the parameter-shift rule's.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.circuits.arrays import Array
from qiskit_fedqml.simulation import kernels
from qiskit_fedqml.simulation.active import MOST_NUMBERS
from qiskit_fedqml.simulation.lanes import LANES, SLACK
from qiskit_fedqml.simulation.measurement import outcomes_of_z_strings
from qiskit_fedqml.simulation.operations import Operation
from qiskit_fedqml.simulation.schedule import InstructionTable, Schedule
from qiskit_fedqml.simulation.spaces import PauliVectors, Space, StateVectors, fuse, z_strings

Angles = tuple[Array, Array, int]
"""Cosines and sines of half the angles, or of the angles, (angles, columns) laid flat, and the number of columns."""

_MOST_FILLED_UP = 1 << 10
"""Numbers in a state up to which a batch is filled up to full vector registers, which is then faster."""
_MOST_NUMBERS_OF_PART = 1 << 16
"""Numbers in the states whose outcomes are computed at once, 512 KB."""
_THREADS_FROM = 1 << 21
"""Numbers changed, instructions times state, from which a second thread is worth its start."""


@dataclass(frozen=True)
class Swept:
    """Result of the sweeps.

    Args:
        values: Expectation values, shape (observables, batch).
        odd: Derivatives with respect to the rotations' angles, shape (angles, observables, batch), or None.
        even: The part of the values that turns with each angle, as ``odd``, or None.
    """

    values: Array
    odd: Array | None
    even: Array | None


class Sweep(ABC):
    """A circuit laid out for sweeps in one space; subclasses say how observables are written there."""

    def __init__(self, operations: Sequence[Operation], num_angles: int, space: Space, num_observables: int) -> None:
        self.space = space
        self.num_observables = num_observables
        self.num_angles = num_angles
        self._table = InstructionTable(fuse(operations, space), space)
        self._schedules: dict[bytes, Schedule] = {}

    def run(self, angles: Array, *, wanted: NDArray[np.bool_] | None = None, even: bool = False) -> Swept:
        """Sweep forward, and backward where derivatives are wanted.

        Args:
            angles: The rotations' angles in radians, shape (batch, angles), at least one sample.
            wanted: Of each angle, whether derivatives with respect to it are wanted; None for values only.
            even: Whether each shifted value is wanted, not only their difference.
        """
        batch = len(angles)
        columns = -(-batch // LANES) * LANES if self.space.num_rows <= _MOST_FILLED_UP else batch
        cos, sin, shared = kernels.turns(angles, self.space.angle_factor, columns)
        plan = self._plan(shared, wanted)
        values = np.zeros((self.num_observables, columns))
        odd = np.zeros((0 if wanted is None else self.num_angles, self.num_observables, columns))
        halves = np.zeros_like(odd) if even else np.zeros((0, self.num_observables, columns))
        lanes, threads = self._at_once(plan, columns)
        turned = cos, sin, columns
        sweep_part = self._prepare(plan, turned, lanes, derivatives=wanted is not None)
        starts = range(0, columns, self._part(lanes, -(-columns // threads)))
        parts = [(start, min(start + starts.step, columns), values, odd, halves) for start in starts]
        if threads > 1 and len(parts) > 1:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda part: sweep_part(*part), parts))
        else:
            for part in parts:
                sweep_part(*part)
        return Swept(
            values[:, :batch], odd[..., :batch] if wanted is not None else None, halves[..., :batch] if even else None
        )

    def _plan(self, shared: NDArray[np.bool_], wanted: NDArray[np.bool_] | None) -> Schedule:
        """Return the schedule for the angles that are now the same for all samples; the last few are kept."""
        wanted = np.zeros(self.num_angles, dtype=bool) if wanted is None else wanted
        key = shared.tobytes() + wanted.tobytes()
        plan = self._schedules.get(key)
        if plan is None:
            plan = self._new_schedule(shared, wanted)
            # A new dictionary, so that threads which still read the old one are not disturbed.
            self._schedules = {**dict(list(self._schedules.items())[-7:]), key: plan}
        return plan

    def _new_schedule(self, shared: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> Schedule:
        return self._table.schedule(shared, wanted)

    def _at_once(self, plan: Schedule, columns: int) -> tuple[int, int]:
        """Return how many samples to sweep at once, and by how many threads."""
        rows = self.space.num_rows
        affordable = max(1, MOST_NUMBERS // (rows * self._states_at_once(plan)))
        lanes = min(LANES, affordable, columns)
        work = len(plan.instructions) * rows * columns
        return lanes, min(num_threads(), affordable // lanes) if work >= _THREADS_FROM else 1

    def _part(self, lanes: int, samples: int) -> int:
        """Return how many samples to leave to a thread at a time, so many or fewer; a multiple of the lanes."""
        return -(-samples // lanes) * lanes

    @abstractmethod
    def _states_at_once(self, plan: Schedule) -> int:
        """Return how many states of each sample are in memory at once."""

    @abstractmethod
    def _prepare(self, plan: Schedule, angles: Angles, lanes: int, *, derivatives: bool) -> Callable[..., None]:
        """Do what is the same for all samples, and return what sweeps some of them.

        Args:
            plan: The instructions.
            angles: Cosines and sines, flat, and the number of columns.
            lanes: How many samples to sweep at once.
            derivatives: Whether derivatives are wanted.

        Returns:
            A function of the first column, the one behind the last, values, odd and even, which it fills in.
        """


class StateSweep(Sweep):
    """Sweeps of state vectors: exact, without noise; gives derivatives, not each shifted value.

    Args:
        operations: Rotations and unitaries on qubits 0 to ``num_qubits`` − 1.
        num_angles: Number of angles.
        num_qubits: Number of qubits.
        observables: What is measured, on these qubits.
    """

    def __init__(
        self,
        operations: Sequence[Operation],
        num_angles: int,
        num_qubits: int,
        observables: Sequence[SparsePauliOp],
    ) -> None:
        super().__init__(operations, num_angles, StateVectors(num_qubits), len(observables))
        self._initial = initial_state(self.space)
        paulis = [o.paulis for o in observables]
        bits = range(num_qubits)
        self._paulis = (
            np.concatenate([_masks(p.x, bits) for p in paulis]),
            np.concatenate([_masks(p.z, bits) for p in paulis]),
            np.concatenate([(p.x & p.z).sum(axis=1).astype(np.int64) for p in paulis]),
            np.concatenate([o.coeffs.real for o in observables]),
            np.concatenate([np.full(len(p), k, dtype=np.int64) for k, p in enumerate(paulis)]),
        )

    def _states_at_once(self, plan: Schedule) -> int:
        return 2 * (2 + self.num_observables)

    def _prepare(self, plan: Schedule, angles: Angles, lanes: int, *, derivatives: bool) -> Callable[..., None]:
        size, count = 2 * self.space.num_rows * lanes, self.num_observables
        circuit = lanes, plan.instructions, plan.tables, angles, self._initial, self._paulis, count

        def sweep_part(first: int, last: int, values: Array, odd: Array, even: Array) -> None:
            rooms = _room(size), _room(size * (1 + count)), _room(0)
            kernels.sweep_states(first, last, *circuit, rooms, values.reshape(-1), odd.reshape(-1))

        return sweep_part


class PauliSweep(Sweep):
    """Sweeps of Pauli vectors: gates and channels; gives each shifted value.

    Between the sweeps it keeps observables or states, one for each rotation whose derivative is wanted.

    Args:
        operations: Rotations, unitaries and channels on qubits 0 to ``num_qubits`` − 1.
        num_angles: Number of angles.
        num_qubits: Number of qubits.
        observables: Coefficients of Pauli strings, shape (4**num_qubits, observables).
    """

    def __init__(self, operations: Sequence[Operation], num_angles: int, num_qubits: int, observables: Array) -> None:
        super().__init__(operations, num_angles, PauliVectors(num_qubits), observables.shape[1])
        self._observables = np.ascontiguousarray(observables)
        self._initial = initial_state(self.space)

    def _new_schedule(self, shared: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> Schedule:
        plan = super()._new_schedule(shared, wanted)
        if plan.num_slots[1] * self._observables.size > MOST_NUMBERS // 2:
            # Too many observables to keep: keep states instead, of as few samples at a time as fit.
            return self._table.schedule(np.zeros_like(shared), wanted)
        return plan

    def _states_at_once(self, plan: Schedule) -> int:
        return plan.num_slots[0] + 2 * (1 + self.num_observables)

    def _prepare(self, plan: Schedule, angles: Angles, lanes: int, *, derivatives: bool) -> Callable[..., None]:
        ops, split, tables = plan.instructions, plan.split, plan.tables
        slots, kept_slots = plan.num_slots if derivatives else (0, 0)
        at_split, kept = kernels.pulled_back(split, ops, tables, angles, self._observables, kept_slots)
        circuit = lanes, ops, split, slots, tables, angles, self._initial, at_split.reshape(-1), kept
        size = self.space.num_rows * lanes

        def sweep_part(first: int, last: int, values: Array, odd: Array, even: Array) -> None:
            rooms = _room(2 * size), _room(slots * size)
            kernels.sweep_paulis(first, last, *circuit, rooms, values.reshape(-1), odd.reshape(-1), even.reshape(-1))

        return sweep_part


class OutcomeSweep(Sweep):
    """Forward sweeps only: the probabilities of the measured qubits' outcomes, shape (2**measured, batch), as values.

    Args:
        operations: Rotations, unitaries and, unless ``pure``, channels on qubits 0 to ``num_qubits`` − 1.
        num_angles: Number of angles.
        num_qubits: Number of qubits.
        measured: The measured qubits, ascending; bit k of an outcome is the reading of ``measured[k]``.
        pure: Whether to sweep state vectors.
    """

    def __init__(
        self, operations: Sequence[Operation], num_angles: int, num_qubits: int, measured: Sequence[int], pure: bool
    ) -> None:
        space: Space = StateVectors(num_qubits) if pure else PauliVectors(num_qubits)
        super().__init__(operations, num_angles, space, 1 << len(measured))
        self._measured = tuple(measured)
        self._strings = z_strings(measured)
        self._of_strings = None if pure else outcomes_of_z_strings([np.eye(2)] * len(measured))
        self._initial = initial_state(space)

    def _states_at_once(self, plan: Schedule) -> int:
        return 3

    def _part(self, lanes: int, samples: int) -> int:
        return super()._part(lanes, min(samples, max(lanes, _MOST_NUMBERS_OF_PART // self.space.num_rows)))

    def _prepare(self, plan: Schedule, angles: Angles, lanes: int, *, derivatives: bool) -> Callable[..., None]:
        circuit = lanes, plan.instructions, plan.tables, angles, self._initial

        def sweep_part(first: int, last: int, values: Array, odd: Array, even: Array) -> None:
            rooms = _room(2 * self.space.num_rows * lanes), _room(0)
            states = np.empty((self.space.num_rows, last - first))
            kernels.sweep_forward(first, last, *circuit, rooms, states.reshape(-1))
            if self._of_strings is not None:
                values[:, first:last] = self._of_strings @ states[self._strings]
                return
            num_qubits = self.space.num_qubits
            parts = (states.reshape(2, -1, last - first) ** 2).sum(axis=0).reshape((2,) * num_qubits + (last - first,))
            others = tuple(num_qubits - 1 - q for q in range(num_qubits) if q not in self._measured)
            values[:, first:last] = parts.sum(axis=others).reshape(-1, last - first)

        return sweep_part


def _room(count: int) -> Array:
    """Return room for so many numbers from a boundary on."""
    return np.empty(count + SLACK if count else 0)


def initial_state(space: Space) -> Array:
    """Return all qubits in 0, shape (rows,)."""
    state = np.zeros(space.num_rows)
    state[z_strings(range(space.num_qubits)) if isinstance(space, PauliVectors) else 0] = 1.0
    return state


def _masks(bits: NDArray[np.bool_], positions: Sequence[int]) -> NDArray[np.int64]:
    return (bits.astype(np.int64) << np.array(positions, dtype=np.int64)).sum(axis=1)


def num_threads() -> int:
    """Return the number of threads that sweeps may use: ``NUMBA_NUM_THREADS``, or as many as there are cores."""
    try:
        return max(1, int(os.environ["NUMBA_NUM_THREADS"]))
    except (KeyError, ValueError):
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
