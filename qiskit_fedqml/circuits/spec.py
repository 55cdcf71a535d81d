"""What a quantum layer is given: a parameterised circuit, the roles of its parameters, and what is measured."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.circuits.observables import as_observables, checked_observables
from qiskit_fedqml.circuits.showing import circuit_as_html, sizes_in_words
from qiskit_fedqml.circuits.unrolling import unrolled
from qiskit_fedqml.config.circuit import Wanted
from qiskit_fedqml.errors import CircuitError


@dataclass(frozen=True, repr=False)
class CircuitSpec:
    """A parameterised circuit with the roles of its parameters, and what is measured on it.

    Args:
        circuit: The circuit, without measurements. It is copied; loops over fixed values, plain boxes and annotated
            operations are written out.
        input_params: Parameters that carry the layer's inputs, in the order of the inputs; none if None.
        weight_params: Trainable parameters, in the order of the weights; none if None.
        observables: One observable for each output, or one alone, on as many qubits as the circuit has: all that
            :func:`~qiskit_fedqml.circuits.observables.as_observables` reads.

    Raises:
        CircuitError: A parameter is in no or in both roles or is not in the circuit; the circuit measures, is too
            large, or has a parameter where its derivative cannot be found (in control flow that cannot be written out,
            in a gate without a decomposition, in a complex angle); there is no observable, or one acts on another
            number of qubits than the circuit, is not Hermitian, or is zero.
    """

    circuit: QuantumCircuit
    input_params: tuple[Parameter, ...]
    weight_params: tuple[Parameter, ...]
    observables: tuple[SparsePauliOp, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "circuit", _own_circuit(self.circuit))
        object.__setattr__(self, "input_params", _as_parameters("input_params", self.input_params))
        object.__setattr__(self, "weight_params", _as_parameters("weight_params", self.weight_params))
        object.__setattr__(self, "observables", as_observables(self.observables))
        self._check_parameters()
        checked_observables(self.observables, self.circuit.num_qubits)
        GateAngles(self.circuit, [*self.input_params, *self.weight_params])

    def __repr__(self) -> str:
        sizes = sizes_in_words(self.circuit.num_qubits, self.num_inputs, self.num_weights, self.num_outputs)
        return f"<CircuitSpec: {sizes}>"

    def _repr_html_(self) -> str:
        return circuit_as_html(self.circuit, repr(self).strip("<>"))

    def _check_parameters(self) -> None:
        roles = [*self.input_params, *self.weight_params]
        twice = sorted(p.name for p, count in Counter(roles).items() if count > 1)
        if twice:
            raise CircuitError(f"Each parameter must have one role, but these have two: {_first(twice)}.")
        in_circuit = set(self.circuit.parameters)
        unknown = sorted(p.name for p in set(roles) - in_circuit)
        missing = sorted(p.name for p in in_circuit - set(roles))
        if unknown or missing:
            raise CircuitError(
                "Arguments `input_params` and `weight_params` must together be the circuit's parameters, but "
                f"{_first(unknown)} are not in the circuit and {_first(missing)} have no role."
            )

    @property
    def num_inputs(self) -> int:
        """Number of inputs."""
        return len(self.input_params)

    @property
    def num_weights(self) -> int:
        """Number of trainable weights."""
        return len(self.weight_params)

    def parameters_of(self, wanted: Wanted) -> tuple[Parameter, ...]:
        """Return the parameters of which derivatives are wanted."""
        inputs, weights = self.input_params, self.weight_params
        return {"all": (*inputs, *weights), "inputs": inputs, "weights": weights}[wanted]

    @property
    def num_outputs(self) -> int:
        """Number of outputs, one for each observable."""
        return len(self.observables)


def _own_circuit(circuit: object) -> QuantumCircuit:
    if not isinstance(circuit, QuantumCircuit):
        raise CircuitError(f"Argument `circuit` must be a QuantumCircuit, but got a {type(circuit).__name__}.")
    if circuit.num_clbits or circuit.num_identifiers:
        raise CircuitError(
            "Argument `circuit` must not measure, nor have classical bits or variables: its observables say what is "
            "measured."
        )
    written_out = unrolled(circuit)
    return circuit.copy() if written_out is circuit else written_out


def _as_parameters(name: str, parameters: object) -> tuple[Parameter, ...]:
    listed: object = () if parameters is None else (parameters,) if isinstance(parameters, Parameter) else parameters
    if not isinstance(listed, Iterable) or isinstance(listed, str):
        raise CircuitError(f"Argument `{name}` must be parameters of the circuit, but got a {type(listed).__name__}.")
    found = tuple(listed)
    for parameter in found:
        if not isinstance(parameter, Parameter):
            raise CircuitError(f"Argument `{name}` must be parameters, but holds a {type(parameter).__name__}.")
    return found


def _first(names: Sequence[str], most: int = 10) -> str:
    """Return the first of many names for a message."""
    return str(list(names)) if len(names) <= most else f"{list(names[:most])} and {len(names) - most:,} more"


def z_observables(num_qubits: int, measured: int | Sequence[int]) -> tuple[SparsePauliOp, ...]:
    """Return Pauli-Z of each measured qubit.

    Args:
        num_qubits: Number of all qubits.
        measured: The measured qubits; a number means as many of the first ones.
    """
    qubits = measured if isinstance(measured, Sequence) else range(measured)
    return tuple(SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], num_qubits=num_qubits) for q in qubits)
