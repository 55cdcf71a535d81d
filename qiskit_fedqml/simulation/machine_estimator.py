"""``EstimatorV2`` for simulated machines: what any way of simulating them shares."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, DataBin, PrimitiveJob, PrimitiveResult, PubResult
from qiskit.primitives.containers import EstimatorPubLike
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.circuits.arrays import Array
from qiskit_fedqml.circuits.observables import as_observables
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.measurement import MOST_PROBABILITIES, Basis, measured_groups
from qiskit_fedqml.simulation.noise import Noise
from qiskit_fedqml.simulation.shots import frequencies

Estimate = tuple[Array, Array]
"""Means, and variances of a single shot: shape (operators, points) each."""


_next_generator = Lock()
"""Held while a call of ``run`` takes its generator; not an estimator's own, which could then not be copied."""


@dataclass
class Run:
    """What belongs to one call of ``run``, so that calls at the same time share nothing.

    Args:
        rng: Draws its shots.
        compiled: Circuits compiled for it; a circuit may be changed before the next call.
    """

    rng: np.random.Generator
    compiled: dict[tuple[object, ...], Any] = field(default_factory=dict)


def checked_shots(shots: int | None) -> int | None:
    """Return a number of shots, or None for exact values.

    Raises:
        BackendError: It is not a whole number from 1.
    """
    if shots is None:
        return None
    if isinstance(shots, bool) or not isinstance(shots, (int, np.integer)) or shots < 1:
        raise BackendError(
            f"Argument `shots` must be a whole number from 1, or None for exact values, but got {shots!r}."
        )
    return int(shots)


class MachineEstimator(BaseEstimatorV2):
    """Expectation values of transpiled circuits on one machine, exact or with shots, with all of its noise.

    Args:
        noise: The machine's noise, or None for an ideal machine.
        shots: Shots of each circuit where ``run`` is given no precision; None is exact.
        seed: Seed of the shots; None takes one from the system. Each call of ``run`` draws on.
        mitigates_readout: Whether readout error is taken out again.
    """

    def __init__(
        self,
        noise: Noise | None = None,
        shots: int | None = None,
        seed: int | None = None,
        *,
        mitigates_readout: bool = False,
    ) -> None:
        self._noise = noise
        self._mitigated = noise if mitigates_readout else None
        self._shots = checked_shots(shots)
        self._rng = np.random.default_rng(seed)

    def run(self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None) -> PrimitiveJob:
        """Estimate PUBs.

        Args:
            pubs: Circuits in the machine's gates, with observables and parameter values that broadcast.
            precision: Standard error that sets the shots, ⌈1/precision²⌉; 0 is exact; None takes the estimator's shots.

        Returns:
            A job whose result holds ``evs`` and ``stds`` of each PUB, and as metadata its ``target_precision``,
            ``shots`` (None if exact) and ``circuit_metadata``.

        Raises:
            BackendError: A parameter's value is not finite, or a precision is negative or NaN.
        """
        coerced = [EstimatorPub.coerce(pub, precision) for pub in pubs]
        for number, pub in enumerate(coerced):
            if not all(np.isfinite(values).all() for values in pub.parameter_values.data.values()):
                raise BackendError(f"Parameter values must be finite, but some of PUB {number} are NaN or infinite.")
            if pub.precision is not None and not pub.precision >= 0:
                raise BackendError(f"The precision of PUB {number} must be at least 0, but is {pub.precision}.")
        with _next_generator:
            rng, self._rng = self._rng, self._rng.spawn(1)[0]
        job = PrimitiveJob(self._run_all, coerced, Run(rng))
        job._submit()
        return job

    def _run_all(self, pubs: list[EstimatorPub], run: Run) -> PrimitiveResult:
        return PrimitiveResult([self._run_pub(pub, run) for pub in pubs], metadata={"version": 2})

    def _run_pub(self, pub: EstimatorPub, run: Run) -> PubResult:
        shots = self._shots
        if pub.precision is not None:
            shots = int(np.ceil(1 / pub.precision**2)) if pub.precision > 0 else None
        points = pub.parameter_values.as_array(pub.circuit.parameters)
        points = points.reshape(pub.parameter_values.size, pub.circuit.num_parameters)
        operators = as_observables(pub.observables)
        of_operator, of_point = np.broadcast_arrays(
            np.arange(len(operators)).reshape(pub.observables.shape),
            np.arange(pub.parameter_values.size).reshape(pub.parameter_values.shape),
        )
        means = variances = np.zeros((len(operators), len(points)))
        if means.size:
            means, variances = self.estimate(pub.circuit, operators, points, shots, run)
        evs = means[of_operator, of_point]
        stds = np.sqrt(variances[of_operator, of_point] / shots) if shots else np.zeros_like(evs)
        data = DataBin(evs=evs, stds=stds, shape=evs.shape)
        precision = pub.precision
        if precision is None:  # the shots' own, as Qiskit's estimators put their default there
            precision = shots**-0.5 if shots else 0.0
        metadata = {"target_precision": precision, "shots": shots, "circuit_metadata": pub.circuit.metadata}
        return PubResult(data, metadata=metadata)

    @abstractmethod
    def estimate(
        self,
        circuit: QuantumCircuit,
        operators: Sequence[SparsePauliOp],
        points: Array,
        shots: int | None,
        run: Run,
    ) -> Estimate:
        """Return each operator's mean and single-shot variance at each point, shape (operators, points) each.

        Args:
            circuit: A circuit in the machine's gates.
            operators: At least one, on the circuit's qubits.
            points: Values of ``circuit.parameters``, shape (points, parameters), at least one point.
            shots: Shots of each circuit, or None for exact means.
            run: The call of ``run`` that asks.
        """


def estimate_by_outcomes(
    operators: Sequence[SparsePauliOp],
    points: Array,
    outcomes_at: Callable[[Basis, Array], Array],
    run: Run,
    shots: int | None,
    mitigated: Noise | None = None,
) -> Estimate:
    """Estimate operators basis by basis, with as many points at once as their outcomes fit in memory.

    Args:
        operators: What is measured.
        points: Values of the circuit's parameters, shape (points, parameters).
        outcomes_at: Gives outcome probabilities, shape (points, 2**measured), in a basis at some points.
        run: Draws the shots.
        shots: Shots of each circuit, or None for exact means.
        mitigated: A machine whose readout error is taken out.
    """
    bases, weights, constants = measured_groups(operators, mitigated)
    means = np.repeat(constants[:, None], len(points), axis=1)
    variances = np.zeros_like(means)
    for basis, worth in zip(bases, weights, strict=True):
        at_once = max(1, MOST_PROBABILITIES >> len(basis.qubits))
        for start in range(0, len(points), at_once):
            some = slice(start, start + at_once)
            outcomes = outcomes_at(basis, points[some])
            outcomes = outcomes if shots is None else frequencies(outcomes, shots, run.rng)
            mean = (outcomes @ worth).T
            means[:, some] += mean
            variances[:, some] += np.maximum((outcomes @ worth**2).T - mean**2, 0)
    return means, variances


def once(run: Run, key: tuple[object, ...], compile_program: Callable[[], Any]) -> Any:
    """Return what was compiled in this run, or compile it; the run's PUBs keep its circuits alive."""
    if key not in run.compiled:
        run.compiled[key] = compile_program()
    return run.compiled[key]
