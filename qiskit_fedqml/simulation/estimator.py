"""``EstimatorV2`` primitives for simulated machines: by this package's simulation, and what any simulation shares.

Aer's own ``EstimatorV2`` takes expectation values from the density matrix, which leaves readout error out. These take
the outcome probabilities of the measured qubits, apply each qubit's confusion matrix, and draw shots from the joint
distribution.
"""

import logging
from collections.abc import Sequence

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.circuits.arrays import Array
from qiskit_fedqml.simulation.exact import ExactProgram
from qiskit_fedqml.simulation.lowering import UnsupportedError
from qiskit_fedqml.simulation.machine_estimator import Estimate, MachineEstimator, Run, estimate_by_outcomes, once
from qiskit_fedqml.simulation.measurement import Basis
from qiskit_fedqml.simulation.noise import Noise
from qiskit_fedqml.simulation.sampled import OutcomeProgram

logger = logging.getLogger(__name__)


class SweepEstimator(MachineEstimator):
    """An ``EstimatorV2`` without Aer, for circuits with up to 20 qubits in use, or 10 with noise.

    It serves any circuit, also in qiskit-machine-learning's ``EstimatorQNN``. For values and derivatives together,
    :class:`~qiskit_fedqml.backends.simulated.aer.AerBackend` is faster by far.

    Args:
        noise: The machine's noise, or None for an ideal machine.
        shots: Shots of each circuit where ``run`` is given no precision; None is exact.
        seed: Seed of the shots; None takes one from the system. Each call of ``run`` draws on.
        otherwise: Estimates what this simulation cannot express, with a line in the log; None refuses it.
        mitigates_readout: Whether readout error is taken out again.
    """

    def __init__(
        self,
        noise: Noise | None = None,
        shots: int | None = None,
        seed: int | None = None,
        otherwise: MachineEstimator | None = None,
        *,
        mitigates_readout: bool = False,
    ) -> None:
        super().__init__(noise, shots, seed, mitigates_readout=mitigates_readout)
        self._otherwise = otherwise
        self._said: set[str] = set()

    def estimate(
        self,
        circuit: QuantumCircuit,
        operators: Sequence[SparsePauliOp],
        points: Array,
        shots: int | None,
        run: Run,
    ) -> Estimate:
        """Return each operator's mean and single-shot variance at each point, shape (operators, points) each.

        Raises:
            UnsupportedError: The circuit or the noise cannot be expressed, and there is no other estimator.
        """
        parameters = tuple(circuit.parameters)
        try:
            if shots is None:
                terms = tuple(str(operator.to_list()) for operator in operators)
                exact: ExactProgram = once(run, (id(circuit), *terms), lambda: self._exact(circuit, operators))
                means = exact.evaluate(points, jacobian=False)[0].T
                return means, np.zeros_like(means)

            def outcomes_at(basis: Basis, some: Array) -> Array:
                program: OutcomeProgram = once(
                    run, (id(circuit), basis), lambda: OutcomeProgram(circuit, parameters, basis, self._noise)
                )
                return program.probabilities(some)

            return estimate_by_outcomes(operators, points, outcomes_at, run, shots, self._mitigated)
        except UnsupportedError as error:
            if self._otherwise is None:
                raise
            if str(error) not in self._said:
                self._said.add(str(error))
                logger.warning("Aer estimates a circuit, because %s.", error)
            return self._otherwise.estimate(circuit, operators, points, shots, run)

    def _exact(self, circuit: QuantumCircuit, operators: Sequence[SparsePauliOp]) -> ExactProgram:
        mitigates = self._mitigated is not None
        return ExactProgram(circuit, tuple(circuit.parameters), operators, self._noise, mitigates_readout=mitigates)
