"""The self-test "noise is active": a backend's answer on a small circuit against what its rates say.

The prediction takes the machine's channels from the same :class:`Noise`, but computes with ``qiskit.quantum_info``
alone, so that noise or readout error that never reaches the backend's simulator is found.
"""

from dataclasses import dataclass

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import DensityMatrix, SparsePauliOp
from qiskit.transpiler import Target

from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.simulation.noise import Noise

_TOLERANCE = 1e-6
"""Of exact values; Aer rounds its noise at about 1e-9."""
_SIGMAS = 6.0
"""Of values with shots."""


@dataclass(frozen=True)
class BackendCheck:
    """What a backend gave on the test circuit; each tuple holds ⟨Z⟩ of its qubits.

    Args:
        backend: The backend's name.
        ideal: Without noise.
        predicted: By the machine's channels and confusion matrices.
        exact: By the backend's simulator, exactly.
        sampled: By the backend with its shots; as ``exact`` if it has none.
        passed: Whether exact values are as predicted and sampled values within 6 standard errors of that, and the
            prediction is unlike the ideal values where the machine has noise.
        has_noise: Whether the machine has any errors.
    """

    backend: str
    ideal: tuple[float, ...]
    predicted: tuple[float, ...]
    exact: tuple[float, ...]
    sampled: tuple[float, ...]
    passed: bool
    has_noise: bool

    def row(self) -> dict[str, str]:
        """Return the check as a table's row."""
        verdict = "yes" if self.has_noise else "none"
        return {
            "Backend": self.backend,
            "Ideal ⟨Z⟩": _values(self.ideal),
            "By its rates": _values(self.predicted),
            "Simulated": _values(self.exact),
            "With its shots": _values(self.sampled),
            "Noise acts": verdict if self.passed else "NO" if self.has_noise else "none, but WRONG",
        }


def _values(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:+.4f}" for value in values)


def check_backend(backend: AerBackend) -> BackendCheck:
    """Run the test circuit on a backend, without its mitigation, and compare with the prediction."""
    backend = backend.without_mitigation()
    noise = backend.noise
    num_qubits = 2 if noise is None or noise.target is None or _couples(noise.target) else 1
    has_noise = noise is not None and not _is_silent(noise)
    logical = _test_circuit(num_qubits)
    observables = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], num_qubits) for q in range(num_qubits)]
    circuit = backend.transpile(logical)
    measured = [o.apply_layout(circuit.layout) if circuit.layout else o for o in observables]
    ideal = _predict(circuit, measured, None)
    predicted = _predict(circuit, measured, noise)
    exact = backend.without_shots().estimator().run([(circuit, measured)]).result()[0].data.evs
    sampled_data = backend.estimator(seed=0).run([(circuit, measured)]).result()[0].data
    differs = not has_noise or bool(np.abs(predicted - ideal).max() > 0)
    error = np.sqrt(np.clip(1 - predicted**2, 0, 1) / (backend.shots or 1))
    bound = _TOLERANCE if backend.shots is None else _SIGMAS * error + 2 / backend.shots
    passed = (
        differs
        and bool(np.abs(exact - predicted).max() < _TOLERANCE)
        and bool((np.abs(sampled_data.evs - predicted) <= bound).all())
    )
    values = [tuple(float(v) for v in column) for column in (ideal, predicted, exact, sampled_data.evs)]
    return BackendCheck(backend.name, values[0], values[1], values[2], values[3], passed, has_noise)


def _test_circuit(num_qubits: int) -> QuantumCircuit:
    """Return a circuit of X and CX gates that the transpiler cannot shorten, so that each error acts."""
    circuit = QuantumCircuit(num_qubits)
    for _ in range(3):
        circuit.sx(range(num_qubits))
        circuit.sx(range(num_qubits))
        circuit.barrier()
        if num_qubits == 2:
            circuit.cx(0, 1)
            circuit.barrier()
    return circuit


def _couples(target: Target) -> bool:
    return any(len(on or ()) == 2 for on in target.qargs or ())


def _is_silent(noise: Noise) -> bool:
    confusions = [noise.default_readout, *noise.readout.values()]
    readout = any(not np.array_equal(matrix, np.eye(2)) for matrix in confusions)
    return not readout and not noise.gate_errors and not noise.default_errors


def _predict(circuit: QuantumCircuit, observables: list[SparsePauliOp], noise: Noise | None) -> np.ndarray:
    used = sorted(
        {circuit.find_bit(q).index for i in circuit.data if i.operation.name != "barrier" for q in i.qubits}
        | {int(q) for o in observables for q in np.flatnonzero(o.paulis.z.any(axis=0))}
    )
    small = {physical: k for k, physical in enumerate(used)}
    state = DensityMatrix.from_label("0" * len(used))
    for instruction in circuit.data:
        if instruction.operation.name == "barrier":
            continue
        physical = tuple(circuit.find_bit(q).index for q in instruction.qubits)
        where = [small[q] for q in physical]
        state = state.evolve(instruction.operation, where)
        error = noise.error_after(instruction.operation.name, physical) if noise else None
        if error is not None:
            state = state.evolve(error.to_quantumchannel(), where)
    values = []
    for observable in observables:
        (qubit,) = np.flatnonzero(observable.paulis.z.any(axis=0))
        probabilities = state.probabilities([small[int(qubit)]])
        if noise is not None:
            probabilities = noise.confusion(int(qubit)) @ probabilities
        values.append(probabilities[0] - probabilities[1])
    return np.array(values)
