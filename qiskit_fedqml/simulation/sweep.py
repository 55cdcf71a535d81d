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
from qiskit_fedqml.simulation.measurement import outcomes_of_z_strings
from qiskit_fedqml.simulation.operations import Operation
from qiskit_fedqml.simulation.schedule import Schedule, schedule
from qiskit_fedqml.simulation.spaces import PauliVectors, Space, StateVectors, fuse, z_strings

_CHUNK_NUMBERS = 1 << 13
"""Numbers in a state that fit into a processor core's nearest cache, 64 KB."""
_LEAST_CHUNK = 8
"""Samples that fill a processor's vector registers."""
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
        self._instructions = fuse(operations, space)
        self._schedules: dict[bytes, Schedule] = {}

    def run(self, angles: Array, *, wanted: NDArray[np.bool_] | None = None, even: bool = False) -> Swept:
        """Sweep forward, and backward where derivatives are wanted.

        Args:
            angles: The rotations' angles in radians, shape (batch, angles), at least one sample.
            wanted: Of each angle, whether derivatives with respect to it are wanted; None for values only.
            even: Whether each shifted value is wanted, not only their difference.
        """
        batch = len(angles)
        cos, sin, shared = kernels.turns(angles, self.space.angle_factor)
        plan = self._plan(shared, wanted)
        values = np.zeros((self.num_observables, batch))
        odd = np.zeros((0 if wanted is None else self.num_angles, self.num_observables, batch))
        halves = np.zeros_like(odd) if even else np.zeros((0, self.num_observables, batch))
        sweep_chunk = self._prepare(plan, cos, sin, derivatives=wanted is not None)
        chunk, threads = self._chunk(plan, batch)

        def one(start: int) -> None:
            part = slice(start, min(start + chunk, batch))
            if part.start == 0 and part.stop == batch:
                sweep_chunk(cos, sin, values, odd, halves)
                return
            columns = [np.ascontiguousarray(array[..., part]) for array in (cos, sin, values, odd, halves)]
            sweep_chunk(*columns)
            for whole, column in zip((values, odd, halves), columns[2:], strict=True):
                whole[..., part] = column

        starts = range(0, batch, chunk)
        if threads > 1 and len(starts) > 1:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(one, starts))
        else:
            for start in starts:
                one(start)
        return Swept(values, odd if wanted is not None else None, halves if even else None)

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
        return schedule(self._instructions, self.space, shared, wanted)

    def _chunk(self, plan: Schedule, batch: int) -> tuple[int, int]:
        """Return how many samples to sweep at once, and by how many threads."""
        rows = self.space.num_rows
        affordable = max(1, MOST_NUMBERS // (rows * self._states_at_once(plan)))
        chunk = min(max(_LEAST_CHUNK, _CHUNK_NUMBERS // rows), affordable)
        work = len(self._instructions) * rows * batch
        threads = min(num_threads(), affordable // chunk) if work >= _THREADS_FROM else 1
        return (min(chunk, -(-batch // threads)) if threads > 1 else chunk), threads

    @abstractmethod
    def _states_at_once(self, plan: Schedule) -> int:
        """Return how many states of each sample are in memory at once."""

    @abstractmethod
    def _prepare(self, plan: Schedule, cos: Array, sin: Array, *, derivatives: bool) -> Callable[..., None]:
        """Do what is the same for all samples; return what sweeps a chunk: cos, sin, values, odd, even, filled in."""


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
        self._xs = np.concatenate([_masks(p.x, bits) for p in paulis])
        self._zs = np.concatenate([_masks(p.z, bits) for p in paulis])
        self._num_ys = np.concatenate([(p.x & p.z).sum(axis=1).astype(np.int64) for p in paulis])
        self._coefficients = np.concatenate([o.coeffs.real for o in observables])
        self._operators = np.concatenate([np.full(len(p), k, dtype=np.int64) for k, p in enumerate(paulis)])

    def _states_at_once(self, plan: Schedule) -> int:
        return 2 * (2 + self.num_observables)

    def _prepare(self, plan: Schedule, cos: Array, sin: Array, *, derivatives: bool) -> Callable[..., None]:
        count, rows = len(plan.tables[0]), self.space.num_rows

        def sweep_chunk(cos: Array, sin: Array, values: Array, odd: Array, even: Array) -> None:
            samples = values.shape[1]
            none = np.empty((0, rows, 1, samples))
            state = np.repeat(self._initial, samples, axis=2)
            state = kernels.forward(0, count, plan.tables, cos, sin, state, none)
            states = np.zeros((rows, 1 + self.num_observables, samples))
            states[:, :1] = state
            kernels.apply_paulis(
                state, states, 1, self._xs, self._zs, self._num_ys, self._coefficients, self._operators
            )
            kernels.overlaps(states, values)
            if derivatives:
                kernels.backward_and_contract(0, count, plan.tables, cos, sin, states, none, odd, even)

        return sweep_chunk


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
        self._observables = np.ascontiguousarray(observables[:, :, None])
        self._initial = initial_state(self.space)

    def _new_schedule(self, shared: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> Schedule:
        plan = super()._new_schedule(shared, wanted)
        if plan.num_slots[1] * self._observables.size > MOST_NUMBERS // 2:
            # Too many observables to keep: keep states instead, of as few samples at a time as fit.
            return schedule(self._instructions, self.space, np.zeros_like(shared), wanted)
        return plan

    def _states_at_once(self, plan: Schedule) -> int:
        return plan.num_slots[0] + 2 * (1 + self.num_observables)

    def _prepare(self, plan: Schedule, cos: Array, sin: Array, *, derivatives: bool) -> Callable[..., None]:
        count, rows = len(plan.tables[0]), self.space.num_rows
        kept = np.empty((plan.num_slots[1] if derivatives else 0, rows, self.num_observables))
        at_split = kernels.backward(plan.split, count, plan.tables, cos, sin, self._observables.copy(), kept)

        def sweep_chunk(cos: Array, sin: Array, values: Array, odd: Array, even: Array) -> None:
            samples = values.shape[1]
            states = np.empty((plan.num_slots[0] if derivatives else 0, rows, 1, samples))
            state = np.repeat(self._initial, samples, axis=2)
            state = kernels.forward(0, plan.split, plan.tables, cos, sin, state, states)
            kernels.expectations(state, at_split[:, :, 0], values)
            if not derivatives:
                return
            if len(kept):
                kernels.forward_and_contract(plan.split, count, plan.tables, cos, sin, state, kept, odd, even)
            if len(states):
                observables = np.repeat(at_split, samples, axis=2)
                kernels.backward_and_contract(0, plan.split, plan.tables, cos, sin, observables, states, odd, even)

        return sweep_chunk


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

    def _prepare(self, plan: Schedule, cos: Array, sin: Array, *, derivatives: bool) -> Callable[..., None]:
        count, rows = len(plan.tables[0]), self.space.num_rows

        def sweep_chunk(cos: Array, sin: Array, values: Array, odd: Array, even: Array) -> None:
            samples = values.shape[1]
            state = np.repeat(self._initial, samples, axis=2)
            state = kernels.forward(0, count, plan.tables, cos, sin, state, np.empty((0, rows, 1, samples)))[:, 0]
            if self._of_strings is not None:
                values[:] = self._of_strings @ state[self._strings]
                return
            num_qubits = self.space.num_qubits
            parts = (state.reshape(2, -1, samples) ** 2).sum(axis=0).reshape((2,) * num_qubits + (samples,))
            others = tuple(num_qubits - 1 - q for q in range(num_qubits) if q not in self._measured)
            values[:] = parts.sum(axis=others).reshape(values.shape)

        return sweep_chunk


def initial_state(space: Space) -> Array:
    """Return all qubits in 0, shape (rows, 1, 1)."""
    state = np.zeros((space.num_rows, 1, 1))
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
