"""An ``EstimatorV2`` on Aer in which readout error acts and shots are a device's."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression, QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator

from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.machine_estimator import Estimate, MachineEstimator, Run, estimate_by_outcomes
from qiskit_fedqml.simulation.measurement import Basis, confusions, misread
from qiskit_fedqml.simulation.memory import require_memory, state_bytes
from qiskit_fedqml.simulation.noise import Noise

_MOST_POINTS = 4096
"""Most circuits in one call of Aer, whose result objects take about 17 KB each."""
_BOUND_BY_AER = {"p", "r", "rx", "rxx", "ry", "ryy", "rz", "rzx", "rzz", "u", "u1", "u2", "u3"}
"""Gates whose parameters Aer binds rightly while it runs; of controlled ones (cp, crx, …) it drops the control."""
_PARALLEL_FROM = 12
"""Qubits from which Aer may use several threads; below, starting them costs more than they save."""


class AerEstimator(MachineEstimator):
    """Expectation values of transpiled circuits by Aer, exact or with shots, with all of a machine's noise.

    Args:
        noise: The machine's noise, or None for an ideal machine.
        shots: Shots of each circuit where ``run`` is given no precision; None is exact.
        seed: Seed of the shots; None takes one from the system. Each call of ``run`` draws on.
        mitigates_readout: Whether readout error is taken out again.
    """

    def estimate(
        self,
        circuit: QuantumCircuit,
        operators: Sequence[SparsePauliOp],
        points: NDArray[np.float64],
        shots: int | None,
        run: Run,
    ) -> Estimate:
        """Return each operator's mean and single-shot variance at each point, shape (operators, points) each."""
        if self._noise is not None:
            self._noise.refuse_unknown(circuit)
        circuit = _for_aer(circuit)

        def outcomes_at(basis: Basis, some: NDArray[np.float64]) -> NDArray[np.float64]:
            return self._probabilities(circuit, basis, some)

        return estimate_by_outcomes(operators, points, outcomes_at, run, shots, self._mitigated)

    def _probabilities(self, circuit: QuantumCircuit, basis: Basis, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probabilities of what is read in a basis, shape (points, 2**measured)."""
        measured = self._with_measurement(circuit, basis)
        simulator = self._simulator(measured)
        starts = range(0, len(points), _MOST_POINTS)
        parts = [_simulate(simulator, measured, circuit.parameters, points[i : i + _MOST_POINTS]) for i in starts]
        probabilities = np.concatenate(parts)
        return misread(probabilities, confusions(basis, self._noise)) if self._noise is not None else probabilities

    def _with_measurement(self, circuit: QuantumCircuit, basis: Basis) -> QuantumCircuit:
        """Append the rotations to the measured basis, in the machine's gates, and Aer's instruction to save."""
        measured = circuit.copy()
        measured.global_phase = 0.0
        rotations = basis.rotations(circuit.num_qubits, self._noise)
        if rotations is not None:
            measured.compose(rotations, inplace=True)
        measured.save_probabilities(list(basis.qubits))
        return measured

    def _simulator(self, circuit: QuantumCircuit) -> AerSimulator:
        names = set(circuit.count_ops())
        dynamic = names & {"measure", "if_else", "while_loop", "for_loop", "switch_case", "store", "break_loop"}
        if dynamic:
            raise BackendError(f"Aer's expectation values here need a circuit without {sorted(dynamic)}.")
        method = simulation_method(circuit, self._noise)
        num_qubits = len({qubit for instruction in circuit.data for qubit in instruction.qubits})
        size = state_bytes(num_qubits, is_mixed=method == "density_matrix")
        require_memory(size, f"The state of {num_qubits} qubits, a {method.replace('_', ' ')},")
        options: dict[str, Any] = {"method": method, "zero_threshold": 1e-16}
        if self._noise is not None:
            options["noise_model"] = self._noise.model
        if num_qubits < _PARALLEL_FROM:
            options["max_parallel_threads"] = 1
        return AerSimulator(**options)


def simulation_method(circuit: QuantumCircuit, noise: Noise | None) -> str:
    """Return Aer's method that gives exact probabilities: density matrices unless all is unitary."""
    pure = noise is None and {"reset", "initialize", "kraus", "superop"}.isdisjoint(circuit.count_ops())
    return "statevector" if pure else "density_matrix"


def _for_aer(circuit: QuantumCircuit) -> QuantumCircuit:
    """Decompose gates controlled on 0, such as ``cswap_o0``, some of which Aer gets wrong."""
    controlled_on_zero = [name for name in circuit.count_ops() if re.search(r"_o\d+$", name)]
    return circuit.decompose(controlled_on_zero) if controlled_on_zero else circuit


def _simulate(
    simulator: AerSimulator, circuit: QuantumCircuit, parameters: Iterable[Parameter], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return outcome probabilities at points whose columns are ``parameters``, some of which may not be in a gate."""
    options: dict[str, Any] = {"shots": 1}
    circuits: QuantumCircuit | list[QuantumCircuit] = circuit
    in_gates = [(k, p) for k, p in enumerate(parameters) if p in set(circuit.parameters)]
    # Instruction.is_parameterized is false for controlled gates.
    bound = {i.operation.name for i in circuit.data if any(isinstance(p, ParameterExpression) for p in i.params)}
    if in_gates and bound <= _BOUND_BY_AER:
        # Each point is bound while Aer runs, so that the circuit is assembled once and not for each point.
        columns = {p: points[:, k].tolist() for k, p in in_gates}
        options |= {"parameter_binds": [columns], "runtime_parameter_bind_enable": True}
    elif in_gates:
        circuits = [circuit.assign_parameters({p: point[k] for k, p in in_gates}) for point in points]
    try:
        result = simulator.run(circuits, **options).result()
    except QiskitError as error:
        raise BackendError(f"Aer could not run the circuit: {error.message}") from error
    if not result.success:
        reasons = [str(r.status) for r in result.results if not r.success] or [str(result.status)]
        raise BackendError(f"Aer could not run the circuit: {reasons[0][:300]}")
    probabilities = np.array([experiment.data.probabilities for experiment in result.results])
    return probabilities if in_gates else np.repeat(probabilities, len(points), axis=0)
