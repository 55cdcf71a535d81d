"""A circuit seen through its gate angles: where shifts are made, and the chain rule back to inputs and weights.

Every parameterised gate gets an angle of its own; the circuit of angles is what backends transpile and run. Angles
are functions of the circuit's parameters (arctan of an input, a weight, a sum of several), evaluated here for whole
batches, and so are their derivatives. The parameter-shift rule (Schuld et al., Phys. Rev. A 99, 032331, 2019) is
applied to angles.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import sympy
from numpy.typing import NDArray
from qiskit.circuit import Gate, Parameter, ParameterExpression, ParameterVector, QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler.passes import TranslateParameterizedGates
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient

from qiskit_fedqml.errors import CircuitError

Columns = Callable[[NDArray[np.float64]], list[NDArray[np.float64]]]


class GateAngles:
    """The angles of a circuit's parameterised gates as functions of the circuit's parameters.

    Args:
        circuit: A parameterised circuit. Gates without a two-term shift rule are decomposed into gates that have one,
            as qiskit-machine-learning's ``ParamShiftEstimatorGradient`` does.
        parameters: The circuit's parameters in the order in which values will come (inputs, then weights).

    Attributes:
        circuit: The circuit in which each parameterised gate has a parameter of its own.
        params: These parameters, in the order of the gates.

    Raises:
        CircuitError: A parameterised gate cannot be decomposed into gates with a two-term shift rule.
    """

    circuit: QuantumCircuit
    params: tuple[Parameter, ...]

    def __init__(self, circuit: QuantumCircuit, parameters: Sequence[Parameter]) -> None:
        expressions, self.circuit, self.params = _give_each_gate_its_angle(_with_shiftable_gates(circuit))
        self.num_parameters = len(parameters)
        symbols = sympy.symbols(f"p0:{self.num_parameters}", real=True)
        symbol_of = dict(zip(parameters, symbols, strict=True))
        formulas = [_formula(e, symbol_of) for e in expressions]
        index_of = {symbol: index for index, symbol in enumerate(symbols)}

        # Most angles are a parameter itself: these columns are copied, only the others are computed.
        plain = [(j, index_of[f]) for j, f in enumerate(formulas) if f in index_of]
        self._plain_angles = np.array([j for j, _ in plain], dtype=np.intp)
        self._plain_params = np.array([k for _, k in plain], dtype=np.intp)
        computed = [(j, f) for j, f in enumerate(formulas) if f not in index_of]
        self._computed_angles = np.array([j for j, _ in computed], dtype=np.intp)
        self._compute_angles = _compile([f for _, f in computed], symbols)

        # The derivatives dθ_j/dp_k that are not zero, sorted by k so that a parameter's terms lie side by side.
        terms = [(index_of[p], j, sympy.diff(f, p)) for j, f in enumerate(formulas) for p in f.free_symbols]
        terms.sort(key=lambda term: term[:2])
        self._term_params = np.array([k for k, _, _ in terms], dtype=np.intp)
        self._term_angles = np.array([j for _, j, _ in terms], dtype=np.intp)
        self._constants = np.array([0.0 if d.free_symbols else float(d) for _, _, d in terms])
        varying = [(t, d) for t, (_, _, d) in enumerate(terms) if d.free_symbols]
        self._varying_terms = np.array([t for t, _ in varying], dtype=np.intp)
        self._compute_derivatives = _compile([d for _, d in varying], symbols)

    @property
    def num_angles(self) -> int:
        """Number of parameterised gates."""
        return len(self.params)

    def values(self, parameter_values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the angles in radians, shape (batch, angles), for parameter values of shape (batch, parameters)."""
        angles = np.empty((len(parameter_values), self.num_angles))
        angles[:, self._plain_angles] = parameter_values[:, self._plain_params]
        for j, column in zip(self._computed_angles, self._compute_angles(parameter_values), strict=True):
            angles[:, j] = column
        return angles

    def chain_rule(self, jacobian: NDArray[np.float64], parameter_values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn derivatives with respect to angles into derivatives with respect to parameters.

        Args:
            jacobian: Derivatives of the outputs with respect to the angles, shape (batch, outputs, angles).
            parameter_values: Where they were taken, shape (batch, parameters).

        Returns:
            Derivatives with respect to the parameters, shape (batch, outputs, parameters).
        """
        factors = np.broadcast_to(self._constants, (len(parameter_values), len(self._constants))).copy()
        for t, column in zip(self._varying_terms, self._compute_derivatives(parameter_values), strict=True):
            factors[:, t] = column
        terms = jacobian[:, :, self._term_angles] * factors[:, None, :]
        result = np.zeros((*jacobian.shape[:2], self.num_parameters))
        if self._term_params.size:
            present, starts = np.unique(self._term_params, return_index=True)
            result[:, :, present] = np.add.reduceat(terms, starts, axis=2)
        return result


def light_cone(circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> frozenset[Parameter]:
    """Return the parameters that appear in a gate from which a path of gates leads to a measured qubit.

    This goes by the gates' qubits alone, so it holds under any noise that acts on a gate's own qubits.
    """
    reached = {circuit.qubits[q] for o in observables for q in np.flatnonzero((o.paulis.x | o.paulis.z).any(axis=0))}
    params: set[Parameter] = set()
    for instruction in reversed(circuit.data):
        if instruction.operation.name != "barrier" and not reached.isdisjoint(instruction.qubits):
            reached.update(instruction.qubits)
            for value in instruction.operation.params:
                if isinstance(value, ParameterExpression):
                    params.update(value.parameters)
    return frozenset(params)


def _with_shiftable_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    supported = ParamShiftEstimatorGradient.SUPPORTED_GATES
    try:
        translated = TranslateParameterizedGates(supported)(circuit)
    except QiskitError as error:
        others = sorted({operation.name for operation in _parameterized(circuit)} - set(supported))
        raise CircuitError(
            f"A parameterised gate of {others} cannot be decomposed into {supported}: {error.message}"
        ) from error
    for operation in _parameterized(translated):
        if operation.name not in supported:
            raise CircuitError(f"Gate {operation.name!r} has a parameter, but no two-term shift rule is known for it.")
    return translated


def _parameterized(circuit: QuantumCircuit) -> Iterator[Gate]:
    return (instruction.operation for instruction in circuit.data if instruction.operation.is_parameterized())


def _give_each_gate_its_angle(
    circuit: QuantumCircuit,
) -> tuple[list[ParameterExpression], QuantumCircuit, tuple[Parameter, ...]]:
    expressions = [operation.params[0] for operation in _parameterized(circuit)]
    angles = ParameterVector("θ", len(expressions))
    fresh = iter(angles)
    of_angles = circuit.copy_empty_like()
    of_angles.global_phase = 0.0  # it changes no expectation
    for instruction in circuit.data:
        operation = instruction.operation
        if operation.is_parameterized():
            operation = operation.to_mutable()
            operation.params = [next(fresh)]
        of_angles.append(operation, instruction.qubits, instruction.clbits)
    # The layout of a circuit that was transpiled already, which copy_empty_like drops.
    of_angles._layout = circuit.layout
    return expressions, of_angles, tuple(angles)


def _formula(expression: ParameterExpression, symbols: Mapping[Parameter, sympy.Symbol]) -> sympy.Expr:
    """Turn an angle into a formula of plain symbols (parameters may have names such as "x[0]")."""
    if isinstance(expression, Parameter):
        return symbols[expression]
    present = {parameter: symbols[parameter] for parameter in expression.parameters}
    renamed = expression.subs({parameter: Parameter(symbol.name) for parameter, symbol in present.items()})
    # ParameterExpression.sympify takes the wrong symbol where an expression came down to one of several parameters.
    formula = sympy.Symbol(str(renamed)) if renamed.is_symbol() else sympy.sympify(renamed.sympify())
    return formula.subs({sympy.Symbol(symbol.name): symbol for symbol in present.values()})


def _compile(formulas: Sequence[sympy.Expr], symbols: Sequence[sympy.Symbol]) -> Columns:
    """Compile formulas to one NumPy function from (batch, parameters) to a column for each formula."""
    if not formulas:
        return lambda parameter_values: []
    function = sympy.lambdify(symbols, formulas, modules="numpy", cse=True)

    def columns(parameter_values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        with np.errstate(invalid="ignore", divide="ignore"):  # who asks checks that the angles are finite
            results: list[NDArray[np.float64]] = function(*parameter_values.T)
        return results

    return columns
