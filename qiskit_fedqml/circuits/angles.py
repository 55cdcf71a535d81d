"""A circuit seen through its gate angles: where shifts are made, and the chain rule back to inputs and weights.

Every parameterised gate gets an angle of its own; the circuit of angles is what backends transpile and run. Angles
are functions of the circuit's parameters (arctan of an input, a weight, a sum of several), evaluated here for whole
batches, and so are their derivatives. The parameter-shift rule (Schuld et al., Phys. Rev. A 99, 032331, 2019) is
applied to angles.
"""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import CircuitInstruction, Parameter, ParameterExpression, ParameterVector, QuantumCircuit, Qubit
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler.passes import TranslateParameterizedGates
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient

from qiskit_fedqml.circuits.expressions import Expressions
from qiskit_fedqml.errors import CircuitError


class GateAngles:
    """The angles of a circuit's parameterised gates as functions of the circuit's parameters.

    Args:
        circuit: A parameterised circuit. Loops over fixed values are written out, and gates without a two-term shift
            rule are decomposed into gates that have one, as qiskit-machine-learning's ``ParamShiftEstimatorGradient``
            does.
        parameters: The circuit's parameters in the order in which values will come (inputs, then weights).

    Attributes:
        circuit: The circuit in which each parameterised gate has a parameter of its own.
        params: These parameters, in the order of the gates.
        expressions: The angles as expressions of the circuit's parameters.

    Raises:
        CircuitError: A parameterised gate cannot be decomposed into gates with a two-term shift rule, an angle is not
            real or not finite, or there is control flow that cannot be written out.
    """

    circuit: QuantumCircuit
    params: tuple[Parameter, ...]
    expressions: Expressions

    def __init__(self, circuit: QuantumCircuit, parameters: Sequence[Parameter]) -> None:
        expressions, self.circuit, self.params = _give_each_gate_its_angle(_with_shiftable_gates(circuit))
        self.expressions = Expressions.of(expressions, parameters)
        self._sources = [frozenset(expression.parameters) for expression in expressions]

    @property
    def num_angles(self) -> int:
        """Number of parameterised gates."""
        return len(self.params)

    def driven_by(self, parameters: Collection[Parameter]) -> frozenset[int]:
        """Return the indices of the angles that depend on any of these parameters."""
        return frozenset(j for j, of in enumerate(self._sources) if not of.isdisjoint(parameters))

    def values(self, parameter_values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the angles in radians, shape (batch, angles), for parameter values of shape (batch, parameters)."""
        return self.expressions.values(parameter_values)

    def chain_rule(self, jacobian: NDArray[np.float64], parameter_values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn derivatives with respect to angles into derivatives with respect to parameters.

        Args:
            jacobian: Derivatives of the outputs with respect to the angles, shape (batch, outputs, angles).
            parameter_values: Where they were taken, shape (batch, parameters).

        Returns:
            Derivatives with respect to the parameters, shape (batch, outputs, parameters).
        """
        return self.expressions.chain_rule(jacobian, parameter_values)


def light_cone(circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> frozenset[Parameter]:
    """Return the parameters that appear in a gate from which a path of gates leads to a measured qubit.

    This goes by the gates' qubits alone, so it holds under any noise that acts on a gate's own qubits.
    """
    reaching = _reaching(circuit, observables)[0]
    values = (value for instruction in reaching for value in instruction.params)
    return frozenset(p for value in values if isinstance(value, ParameterExpression) for p in value.parameters)


def num_qubits_in_use(circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> int:
    """Return the number of qubits that are measured, or from which a path of gates leads to one that is."""
    return len(_reaching(circuit, observables)[1])


def _reaching(
    circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]
) -> tuple[list[CircuitInstruction], set[Qubit]]:
    """Return the instructions from which a path of instructions leads to a measured qubit, and all their qubits."""
    reached = {circuit.qubits[q] for o in observables for q in np.flatnonzero((o.paulis.x | o.paulis.z).any(axis=0))}
    found = []
    for instruction in reversed(circuit.data):
        if instruction.name != "barrier" and not reached.isdisjoint(instruction.qubits):
            reached.update(instruction.qubits)
            found.append(instruction)
    return found, reached


def _with_shiftable_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    supported = ParamShiftEstimatorGradient.SUPPORTED_GATES
    try:
        translated = TranslateParameterizedGates(supported)(circuit)
    except Exception as error:  # a gate's definition may be anyone's code
        others = sorted({i.name for i in _parameterized(circuit)} - set(supported))[:10]
        raise CircuitError(
            f"A parameterised gate of {others} cannot be decomposed into {supported}: {_first_line(error)}"
        ) from error
    for instruction in _parameterized(translated):
        if instruction.name not in supported:
            raise CircuitError(
                f"Gate {instruction.name!r} has a parameter, but no two-term shift rule is known for it."
            )
    for instruction in translated.data:
        if not all(np.isfinite(value) for value in instruction.params if isinstance(value, float)):
            raise CircuitError(f"The angles of gates must be finite, but gate {instruction.name!r} has another one.")
    return translated


def _first_line(error: Exception) -> str:
    text = error.message if isinstance(error, QiskitError) else f"{type(error).__name__}: {error}"
    return text.partition("\n")[0][:200]


def _parameterized(circuit: QuantumCircuit) -> Iterator[CircuitInstruction]:
    return (instruction for instruction in circuit.data if instruction.is_parameterized())


def _give_each_gate_its_angle(
    circuit: QuantumCircuit,
) -> tuple[list[ParameterExpression], QuantumCircuit, tuple[Parameter, ...]]:
    expressions = [instruction.params[0] for instruction in _parameterized(circuit)]
    angles = ParameterVector("θ", len(expressions))
    fresh = iter(angles)
    of_angles = circuit.copy_empty_like()
    of_angles.global_phase = 0.0  # it changes no expectation
    for instruction in circuit.data:
        operation = instruction.operation
        if instruction.is_parameterized():
            operation = operation.to_mutable()
            operation.params = [next(fresh)]
        of_angles.append(operation, instruction.qubits, instruction.clbits)
    # The layout of a circuit that was transpiled already, which copy_empty_like drops.
    of_angles._layout = circuit.layout
    return expressions, of_angles, tuple(angles)
