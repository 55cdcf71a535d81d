"""An ``EstimatorV2`` on Aer in which readout error acts and shots are a device's.

Aer's own ``EstimatorV2`` takes expectation values from the density matrix, which leaves readout error out. This one
takes the outcome probabilities of the measured qubits, applies each qubit's confusion matrix, and draws shots from the
joint distribution.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.primitives import BaseEstimatorV2, DataBin, PrimitiveJob, PrimitiveResult, PubResult
from qiskit.primitives.containers import EstimatorPubLike
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import PauliList, SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_aer import AerSimulator

from qiskit_fedqml.backends.base import commuting_groups
from qiskit_fedqml.backends.noise import STATED_BASIS, Noise
from qiskit_fedqml.errors import BackendError

_MOST_POINTS = 4096
"""Most circuits in one call of Aer, whose result objects take about 17 KB each."""
_MOST_PROBABILITIES = 1 << 22
"""Most probabilities that one call of Aer returns."""
_PARALLEL_FROM = 12
"""Qubits from which Aer may use several threads; below, starting them costs more than they save."""


class AerEstimator(BaseEstimatorV2):
    """Expectation values of transpiled circuits by Aer, exact or with shots, with all of a machine's noise.

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
        """
        coerced = [EstimatorPub.coerce(pub, precision) for pub in pubs]
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
        means = np.zeros((len(operators), len(points)))
        variances = np.zeros_like(means)
        for group in commuting_groups(operators) if operators and len(points) else ():
            basis = group.z.any(axis=0), group.x.any(axis=0)
            qubits = np.flatnonzero(basis[0] | basis[1])
            outcomes = self._outcomes(pub.circuit, basis, qubits, points, shots)
            for index, operator in enumerate(operators):
                weight = _weight_of_outcomes(operator, group, qubits)
                if weight is not None:
                    mean = outcomes @ weight
                    means[index] += mean
                    variances[index] += np.maximum(outcomes @ weight**2 - mean**2, 0)
        evs = means[of_operator, of_point]
        stds = np.sqrt(variances[of_operator, of_point] / shots) if shots else np.zeros_like(evs)
        data = DataBin(evs=evs, stds=stds, shape=evs.shape)
        return PubResult(data, metadata={"shots": shots, "target_precision": pub.precision})

    def _outcomes(
        self,
        circuit: QuantumCircuit,
        basis: tuple[NDArray[np.bool_], NDArray[np.bool_]],
        qubits: NDArray[np.intp],
        points: NDArray[np.float64],
        shots: int | None,
    ) -> NDArray[np.float64]:
        """Return probabilities, or frequencies if shots are drawn, of shape (points, 2**qubits).

        Bit k of an outcome is the reading of ``qubits[k]``.
        """
        if not len(qubits):
            return np.ones((len(points), 1))
        measured = self._with_measurement(circuit, basis, qubits)
        simulator = self._simulator(measured)
        chunk = max(1, min(_MOST_POINTS, _MOST_PROBABILITIES >> len(qubits)))
        starts = range(0, len(points), chunk)
        parts = [_simulate(simulator, measured, circuit.parameters, points[i : i + chunk]) for i in starts]
        probabilities = np.concatenate(parts)
        if self._noise is not None:
            probabilities = _misread(probabilities, [self._noise.confusion(int(q)) for q in qubits])
        if shots is None:
            return probabilities
        probabilities = np.clip(probabilities, 0.0, None)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return self._rng.multinomial(shots, probabilities) / shots

    def _with_measurement(
        self, circuit: QuantumCircuit, basis: tuple[NDArray[np.bool_], NDArray[np.bool_]], qubits: NDArray[np.intp]
    ) -> QuantumCircuit:
        """Append the rotations to the measured basis, in the machine's gates, and Aer's instruction to save."""
        measured = circuit.copy()
        measured.global_phase = 0.0
        z, x = basis
        if x.any():
            rotations = QuantumCircuit(*circuit.qregs) if circuit.qregs else QuantumCircuit(circuit.num_qubits)
            for q in np.flatnonzero(x):
                if z[q]:
                    rotations.sdg(int(q))
                rotations.h(int(q))
            measured.compose(self._in_machine_gates(rotations), inplace=True)
        measured.save_probabilities([int(q) for q in qubits])
        return measured

    def _in_machine_gates(self, rotations: QuantumCircuit) -> QuantumCircuit:
        if self._noise is None:
            return rotations
        if self._noise.target is None:
            manager = generate_preset_pass_manager(0, basis_gates=list(STATED_BASIS))
        else:
            layout = list(range(rotations.num_qubits))
            manager = generate_preset_pass_manager(0, target=self._noise.target, initial_layout=layout)
        return manager.run(rotations)

    def _simulator(self, circuit: QuantumCircuit) -> AerSimulator:
        names = set(circuit.count_ops())
        dynamic = names & {"measure", "if_else", "while_loop", "for_loop", "switch_case", "store", "break_loop"}
        if dynamic:
            raise BackendError(f"Aer's expectation values here need a circuit without {sorted(dynamic)}.")
        options: dict[str, Any] = {"method": simulation_method(circuit, self._noise), "zero_threshold": 1e-16}
        if self._noise is not None:
            options["noise_model"] = self._noise.model
        if len({qubit for instruction in circuit.data for qubit in instruction.qubits}) < _PARALLEL_FROM:
            options["max_parallel_threads"] = 1
        return AerSimulator(**options)


def simulation_method(circuit: QuantumCircuit, noise: Noise | None) -> str:
    """Return Aer's method that gives exact probabilities: density matrices unless all is unitary."""
    pure = noise is None and {"reset", "initialize", "kraus", "superop"}.isdisjoint(circuit.count_ops())
    return "statevector" if pure else "density_matrix"


def _weight_of_outcomes(operator: SparsePauliOp, group: PauliList, qubits: NDArray[np.intp]) -> Any:
    """Return what an operator's terms in this group are worth for each outcome, shape (2**qubits,); None without."""
    outcomes = np.arange(1 << len(qubits))
    in_group = {(z.tobytes(), x.tobytes()) for z, x in zip(group.z, group.x, strict=True)}
    weight = np.zeros(len(outcomes))
    found = False
    for pauli_z, pauli_x, coefficient in zip(operator.paulis.z, operator.paulis.x, operator.coeffs, strict=True):
        if (pauli_z.tobytes(), pauli_x.tobytes()) in in_group:
            found = True
            support = (pauli_z | pauli_x)[qubits]
            mask = int(sum(1 << k for k in np.flatnonzero(support)))
            weight += coefficient.real * (1 - 2 * (np.bitwise_count(outcomes & mask) % 2).astype(float))
    return weight if found else None


def _simulate(
    simulator: AerSimulator, circuit: QuantumCircuit, parameters: Iterable[Parameter], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return outcome probabilities at points whose columns are ``parameters``, some of which may not be in a gate."""
    options: dict[str, Any] = {"shots": 1}
    if circuit.num_parameters:
        # Each point is bound while Aer runs, so that the circuit is assembled once and not for each point.
        in_gates = set(circuit.parameters)
        columns = {p: points[:, k].tolist() for k, p in enumerate(parameters) if p in in_gates}
        options |= {"parameter_binds": [columns], "runtime_parameter_bind_enable": True}
    try:
        result = simulator.run(circuit, **options).result()
    except QiskitError as error:
        raise BackendError(f"Aer could not run the circuit: {error.message}") from error
    if not result.success:
        reasons = [str(r.status) for r in result.results if not r.success] or [str(result.status)]
        raise BackendError(f"Aer could not run the circuit: {reasons[0][:300]}")
    probabilities = np.array([experiment.data.probabilities for experiment in result.results])
    return probabilities if circuit.num_parameters else np.repeat(probabilities, len(points), axis=0)


def _misread(probabilities: NDArray[np.float64], confusions: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Apply each qubit's confusion matrix to outcome probabilities of shape (points, 2**qubits)."""
    num_qubits = len(confusions)
    tensor = probabilities.reshape(-1, *(2,) * num_qubits)
    for k, confusion in enumerate(confusions):
        axis = num_qubits - k  # bit k is the k-th axis from the end
        tensor = np.moveaxis(np.tensordot(confusion, tensor, axes=(1, axis)), 0, axis)
    return tensor.reshape(probabilities.shape)
