"""Quantum machines that run something else than what they are asked to run."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import XGate, YGate, ZGate
from qiskit.primitives import BaseEstimatorV2
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml import AerBackend
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.program import Asked, Evaluation, Program
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.seeds import derive_seed, numpy_generator

Lie = Literal["same_angle", "own_angles", "paulis"]


class LyingMachine:
    """An ideal machine that runs another circuit than it is asked to run; what it says of itself is that it is ideal.

    Args:
        lie: ``"same_angle"``: every parameterised gate turns ``radians`` too far. ``"own_angles"``: each of these gates
            turns too far by an angle of its own, normally distributed with the standard deviation ``radians``.
            ``"paulis"``: after each of these gates comes one that nobody asked for, X, Y or Z.
        radians: How far; 0 for Paulis.
        seed: Seed of what is drawn, once for all.

    Raises:
        ConfigurationError: There is no such lie.
    """

    def __init__(self, lie: Lie, radians: float = 0.0, seed: int = 0) -> None:
        if lie not in get_args(Lie):
            raise ConfigurationError(f"Argument `lie` must be one of {get_args(Lie)}, but got {lie!r}.")
        self._lie, self._radians, self._seed = lie, radians, seed
        self._inner = AerBackend("liar")

    @property
    def name(self) -> str:
        """What it is called."""
        return self._inner.name

    @property
    def simulator(self) -> str:
        """What computes its numbers."""
        return self._inner.simulator

    @property
    def shots(self) -> int | None:
        """None: its values are exact, of the wrong circuit."""
        return self._inner.shots

    def describe(self) -> dict[str, Any]:
        """Return what an ideal machine says of itself."""
        return self._inner.describe()

    def success_probability(self, program: Program) -> float:
        """Return what an ideal machine states: 1."""
        return self._inner.success_probability(program)

    def memory_bytes(self, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> int:
        """Return the bytes that one state of the circuit takes."""
        return self._inner.memory_bytes(circuit, observables)

    def transpile(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return the circuit, with Paulis if that is the lie."""
        transpiled = self._inner.transpile(circuit)
        return with_paulis(transpiled, self._seed) if self._lie == "paulis" else transpiled

    def estimator(self, seed: int | None = None) -> BaseEstimatorV2:
        """Return an estimator for transpiled circuits; training asks :meth:`evaluate` instead."""
        return self._inner.estimator(seed)

    def evaluate(
        self,
        program: Program,
        angles: NDArray[np.float64],
        *,
        jacobian: bool,
        seed: int | None = None,
        key: JobKey | None = None,
    ) -> Evaluation:
        """Evaluate a program at other angles than those asked for."""
        turned = angles + self._too_far(len(program.angles))
        return self._inner.evaluate(program, turned, jacobian=jacobian, seed=seed, key=key)

    def evaluate_jointly(
        self, program: Program, asked: Sequence[Asked], *, jacobian: bool, key: JobKey | None = None
    ) -> list[Evaluation]:
        """Evaluate a program for several clients, at other angles than those asked for."""
        too_far = self._too_far(len(program.angles))
        turned = [replace(of, angles=of.angles + too_far) for of in asked]
        return self._inner.evaluate_jointly(program, turned, jacobian=jacobian, key=key)

    def _too_far(self, num_angles: int) -> NDArray[np.float64]:
        """Return by how much each gate turns too far, in radians."""
        if self._lie != "own_angles":
            return np.full(num_angles, self._radians)
        rng = numpy_generator(derive_seed(self._seed, "angle offsets"))
        return self._radians * rng.standard_normal(num_angles)


def with_paulis(circuit: QuantumCircuit, seed: int) -> QuantumCircuit:
    """Return a circuit with an X, Y or Z gate, drawn at random, after each gate that has a parameter."""
    rng = numpy_generator(derive_seed(seed, "unwanted gates"))
    changed = circuit.copy_empty_like()
    for instruction in circuit.data:
        changed.append(instruction)
        if instruction.operation.params:
            for qubit in instruction.qubits:
                changed.append((XGate, YGate, ZGate)[rng.integers(3)](), [qubit])
    return changed
