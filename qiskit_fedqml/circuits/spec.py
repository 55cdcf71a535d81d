"""What a quantum layer is given: a parameterised circuit, the roles of its parameters, and what is measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.errors import CircuitError


@dataclass(frozen=True)
class CircuitSpec:
    """A parameterised circuit with the roles of its parameters, and what is measured on it.

    Args:
        circuit: The circuit, without measurements. It is copied.
        input_params: Parameters that carry the layer's inputs, in the order of the inputs.
        weight_params: Trainable parameters, in the order of the weights.
        observables: One observable for each output, on as many qubits as the circuit has.

    Raises:
        CircuitError: A parameter is in no or in both roles or is not in the circuit, an observable has another number
            of qubits than the circuit, there is no observable, or the circuit measures.
    """

    circuit: QuantumCircuit
    input_params: tuple[Parameter, ...]
    weight_params: tuple[Parameter, ...]
    observables: tuple[SparsePauliOp, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "circuit", self.circuit.copy())
        object.__setattr__(self, "input_params", tuple(self.input_params))
        object.__setattr__(self, "weight_params", tuple(self.weight_params))
        object.__setattr__(self, "observables", tuple(SparsePauliOp(o) for o in self.observables))
        self._check_parameters()
        if not self.observables:
            raise CircuitError("Argument `observables` must hold at least one observable, but is empty.")
        for index, observable in enumerate(self.observables):
            if observable.num_qubits != self.circuit.num_qubits:
                raise CircuitError(
                    f"Argument `observables` must act on the circuit's {self.circuit.num_qubits} qubits, "
                    f"but observable {index} acts on {observable.num_qubits}."
                )
        if self.circuit.num_clbits:
            raise CircuitError("Argument `circuit` must not measure: its observables say what is measured.")

    def _check_parameters(self) -> None:
        roles = [*self.input_params, *self.weight_params]
        twice = {p.name for p in roles if roles.count(p) > 1}
        if twice:
            raise CircuitError(f"Each parameter must have one role, but these have two: {sorted(twice)}.")
        in_circuit = set(self.circuit.parameters)
        unknown = sorted(p.name for p in set(roles) - in_circuit)
        missing = sorted(p.name for p in in_circuit - set(roles))
        if unknown or missing:
            raise CircuitError(
                "Arguments `input_params` and `weight_params` must together be the circuit's parameters, but "
                f"{unknown} are not in the circuit and {missing} have no role."
            )

    @property
    def num_inputs(self) -> int:
        """Number of inputs."""
        return len(self.input_params)

    @property
    def num_weights(self) -> int:
        """Number of trainable weights."""
        return len(self.weight_params)

    @property
    def num_outputs(self) -> int:
        """Number of outputs, one for each observable."""
        return len(self.observables)


def z_observables(num_qubits: int, measured: int | Sequence[int]) -> tuple[SparsePauliOp, ...]:
    """Return Pauli-Z of each measured qubit.

    Args:
        num_qubits: Number of all qubits.
        measured: The measured qubits; a number stands for as many of the first ones.
    """
    qubits = range(measured) if isinstance(measured, int) else measured
    return tuple(SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], num_qubits=num_qubits) for q in qubits)
