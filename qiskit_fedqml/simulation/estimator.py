"""``EstimatorV2`` primitives for simulated machines: by this package's simulation, and what any simulation shares.

Aer's own ``EstimatorV2`` takes expectation values from the density matrix, which leaves readout error out. These take
the outcome probabilities of the measured qubits, apply each qubit's confusion matrix, and draw shots from the joint
distribution.
"""

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, DataBin, PrimitiveJob, PrimitiveResult, PubResult
from qiskit.primitives.containers import EstimatorPubLike
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.exact import ExactProgram
from qiskit_fedqml.simulation.lowering import UnsupportedError
from qiskit_fedqml.simulation.measurement import Basis, measured_groups
from qiskit_fedqml.simulation.noise import Noise
from qiskit_fedqml.simulation.sampled import OutcomeProgram
from qiskit_fedqml.simulation.shots import frequencies

Array = NDArray[np.float64]
Estimate = tuple[Array, Array]
"""Means, and variances of a single shot: shape (operators, points) each."""

logger = logging.getLogger(__name__)


class MachineEstimator(BaseEstimatorV2):
    """Expectation values of transpiled circuits on one machine, exact or with shots, with all of its noise.

    Args:
        noise: The machine's noise, or None for an ideal machine.
        shots: Shots of each circuit where ``run`` is given no precision; None is exact.
        seed: Seed of the shots; None takes one from the system. Each call of ``run`` goes on drawing.
    """

    def __init__(self, noise: Noise | None = None, shots: int | None = None, seed: int | None = None) -> None:
        self._noise = noise
        self._shots = shots
        self._rng = np.random.default_rng(seed)

    def run(self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None) -> PrimitiveJob:
        """Estimate PUBs.

        Args:
            pubs: Circuits in the machine's gates, with observables and parameter values that broadcast.
            precision: Standard error that sets the shots, ⌈1/precision²⌉; 0 is exact; None takes the estimator's shots.

        Returns:
            A job whose result holds ``evs`` and ``stds`` of each PUB.

        Raises:
            BackendError: A parameter's value is not finite.
        """
        coerced = [EstimatorPub.coerce(pub, precision) for pub in pubs]
        for number, pub in enumerate(coerced):
            if not all(np.isfinite(values).all() for values in pub.parameter_values.data.values()):
                raise BackendError(f"Parameter values must be finite, but some of PUB {number} are NaN or infinite.")
        job = PrimitiveJob(self._run_all, coerced)
        job._submit()
        return job

    def _run_all(self, pubs: list[EstimatorPub]) -> PrimitiveResult:
        return PrimitiveResult([self._run_pub(pub) for pub in pubs], metadata={"version": 2})

    def _run_pub(self, pub: EstimatorPub) -> PubResult:
        shots = self._shots
        if pub.precision is not None:
            shots = int(np.ceil(1 / pub.precision**2)) if pub.precision > 0 else None
        points = pub.parameter_values.as_array(pub.circuit.parameters)
        points = points.reshape(pub.parameter_values.size, pub.circuit.num_parameters)
        operators = [SparsePauliOp.from_list(list(terms.items())) for terms in pub.observables.ravel().tolist()]
        of_operator, of_point = np.broadcast_arrays(
            np.arange(len(operators)).reshape(pub.observables.shape),
            np.arange(pub.parameter_values.size).reshape(pub.parameter_values.shape),
        )
        means = variances = np.zeros((len(operators), len(points)))
        if means.size:
            means, variances = self.estimate(pub.circuit, operators, points, shots)
        evs = means[of_operator, of_point]
        stds = np.sqrt(variances[of_operator, of_point] / shots) if shots else np.zeros_like(evs)
        data = DataBin(evs=evs, stds=stds, shape=evs.shape)
        return PubResult(data, metadata={"shots": shots, "target_precision": pub.precision})

    @abstractmethod
    def estimate(
        self, circuit: QuantumCircuit, operators: Sequence[SparsePauliOp], points: Array, shots: int | None
    ) -> Estimate:
        """Return each operator's mean and single-shot variance at each point, shape (operators, points) each.

        Args:
            circuit: A circuit in the machine's gates.
            operators: At least one, on the circuit's qubits.
            points: Values of ``circuit.parameters``, shape (points, parameters), at least one point.
            shots: Shots of each circuit, or None for exact means.
        """


def estimate_by_outcomes(
    operators: Sequence[SparsePauliOp], num_points: int, outcomes_in: Callable[[Basis], Array]
) -> Estimate:
    """Estimate operators from outcome probabilities or frequencies, (points, 2**measured), in each basis they need."""
    bases, weights, constants = measured_groups(operators)
    means = np.repeat(constants[:, None], num_points, axis=1)
    variances = np.zeros_like(means)
    for basis, worth in zip(bases, weights, strict=True):
        outcomes = outcomes_in(basis)
        mean = (outcomes @ worth).T
        means = means + mean
        variances += np.maximum((outcomes @ worth**2).T - mean**2, 0)
    return means, variances


class SweepEstimator(MachineEstimator):
    """An ``EstimatorV2`` without Aer, for circuits of up to 14 qubits in use, or 8 with noise.

    It serves any circuit, also in qiskit-machine-learning's ``EstimatorQNN``. For values and derivatives together,
    :class:`~qiskit_fedqml.backends.aer.AerBackend` is faster by far.

    Args:
        noise: The machine's noise, or None for an ideal machine.
        shots: Shots of each circuit where ``run`` is given no precision; None is exact.
        seed: Seed of the shots; None takes one from the system. Each call of ``run`` goes on drawing.
        otherwise: Estimates what this simulation cannot express, with a line in the log; None refuses it.
    """

    def __init__(
        self,
        noise: Noise | None = None,
        shots: int | None = None,
        seed: int | None = None,
        otherwise: MachineEstimator | None = None,
    ) -> None:
        super().__init__(noise, shots, seed)
        self._otherwise = otherwise
        self._said: set[str] = set()
        self._compiled: dict[tuple[object, ...], tuple[QuantumCircuit, ExactProgram | OutcomeProgram]] = {}

    def _run_all(self, pubs: list[EstimatorPub]) -> PrimitiveResult:
        try:
            return super()._run_all(pubs)
        finally:
            self._compiled.clear()  # a circuit may be changed before the next run

    def estimate(
        self, circuit: QuantumCircuit, operators: Sequence[SparsePauliOp], points: Array, shots: int | None
    ) -> Estimate:
        """Return each operator's mean and single-shot variance at each point, shape (operators, points) each.

        Raises:
            UnsupportedError: The circuit or the noise cannot be expressed, and there is no other estimator.
        """
        try:
            if shots is None:
                program = self._exact(circuit, operators)
                means = program.evaluate(points, jacobian=False)[0].T
                return means, np.zeros_like(means)
            return estimate_by_outcomes(
                operators,
                len(points),
                lambda basis: frequencies(self._outcomes(circuit, basis).probabilities(points), shots, self._rng),
            )
        except UnsupportedError as error:
            if self._otherwise is None:
                raise
            if str(error) not in self._said:
                self._said.add(str(error))
                logger.warning("Aer estimates a circuit, because %s.", error)
            return self._otherwise.estimate(circuit, operators, points, shots)

    def _exact(self, circuit: QuantumCircuit, operators: Sequence[SparsePauliOp]) -> ExactProgram:
        key = (id(circuit), *(o.paulis.to_labels()[k] + str(c) for o in operators for k, c in enumerate(o.coeffs)))
        if key not in self._compiled:
            program = ExactProgram(circuit, tuple(circuit.parameters), operators, self._noise)
            self._compiled[key] = circuit, program
        found = self._compiled[key][1]
        assert isinstance(found, ExactProgram)
        return found

    def _outcomes(self, circuit: QuantumCircuit, basis: Basis) -> OutcomeProgram:
        key = (id(circuit), basis)
        if key not in self._compiled:
            self._compiled[key] = circuit, OutcomeProgram(circuit, tuple(circuit.parameters), basis, self._noise)
        found = self._compiled[key][1]
        assert isinstance(found, OutcomeProgram)
        return found
