"""Many angles as functions of a circuit's parameters, evaluated and differentiated for whole batches.

Qiskit's parameter expressions are turned into formulas once; most angles are a parameter, perhaps with a constant, and
these are gathered without any formula.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import sympy
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression

Columns = Callable[[NDArray[np.float64]], list[NDArray[np.float64]]]


class Expressions:
    """Expressions of parameters as one function of arrays.

    Args:
        expressions: The expressions.
        parameters: The parameters in the order in which values will come; others may not appear.

    Attributes:
        term_params: For each derivative that is not zero everywhere, the index of its parameter; ascending.
        term_expressions: The index of its expression.
        constants: Its value where it doesn't depend on the parameters, and 0 elsewhere.
    """

    def __init__(self, expressions: Sequence[ParameterExpression], parameters: Sequence[Parameter]) -> None:
        self._num_expressions, self._num_parameters = len(expressions), len(parameters)
        symbols = sympy.symbols(f"p0:{len(parameters)}", real=True)
        symbol_of = dict(zip(parameters, symbols, strict=True))
        index_of = {symbol: index for index, symbol in enumerate(symbols)}
        formulas = [_formula(e, symbol_of) for e in expressions]

        terms = [(index_of[p], j, sympy.diff(f, p)) for j, f in enumerate(formulas) for p in f.free_symbols]
        terms.sort(key=lambda term: term[:2])  # so that a parameter's terms lie side by side
        self.term_params = np.array([k for k, _, _ in terms], dtype=np.intp)
        self.term_expressions = np.array([j for _, j, _ in terms], dtype=np.intp)
        self.constants = np.array([0.0 if d.free_symbols else float(d) for _, _, d in terms])
        varying = [(t, d) for t, (_, _, d) in enumerate(terms) if d.free_symbols]
        self._varying_terms = np.array([t for t, _ in varying], dtype=np.intp)
        self._compute_derivatives = _compile([d for _, d in varying], symbols)
        self._present, self._starts = np.unique(self.term_params, return_index=True)
        self._one_term_each = len(self._present) == len(terms)

        # Where an expression is one parameter times a number plus a number, no formula is needed.
        by_expression = {j: (k, float(d)) for k, j, d in terms if not d.free_symbols}
        simple = [j for j, f in enumerate(formulas) if len(f.free_symbols) == 1 and j in by_expression]
        self._simple = np.array(simple, dtype=np.intp)
        self._simple_params = np.array([by_expression[j][0] for j in simple], dtype=np.intp)
        self._simple_factors = np.array([by_expression[j][1] for j in simple])
        at_zero = [formulas[j].subs(next(iter(formulas[j].free_symbols)), 0) for j in simple]
        self._simple_offsets = np.array([float(offset) for offset in at_zero])
        others = sorted(set(range(len(formulas))) - set(simple))
        self._others = np.array(others, dtype=np.intp)
        self._compute_others = _compile([formulas[j] for j in others], symbols)

    def values(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values, shape (batch, expressions), at points of shape (batch, parameters)."""
        result = np.empty((len(points), self._num_expressions))
        result[:, self._simple] = points[:, self._simple_params] * self._simple_factors + self._simple_offsets
        for j, column in zip(self._others, self._compute_others(points), strict=True):
            result[:, j] = column
        return result

    def chain_rule(self, jacobian: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn derivatives with respect to the expressions into derivatives with respect to the parameters.

        Args:
            jacobian: Derivatives with respect to the expressions, shape (batch, outputs, expressions).
            points: Where they were taken, shape (batch, parameters).

        Returns:
            Derivatives with respect to the parameters, shape (batch, outputs, parameters).
        """
        by_expression = jacobian.transpose(2, 1, 0)  # a row of numbers for each, so that they are gathered fast
        factors = np.empty((len(self.constants), len(points)))
        factors[:] = self.constants[:, None]
        for t, column in zip(self._varying_terms, self._compute_derivatives(points), strict=True):
            factors[t] = column
        terms = by_expression[self.term_expressions] * factors[:, None, :]
        if len(terms) and not self._one_term_each:
            terms = np.add.reduceat(terms, self._starts, axis=0)
        if len(terms) == self._num_parameters:
            return terms.transpose(2, 1, 0)
        result = np.zeros((self._num_parameters, *terms.shape[1:]))
        result[self._present] = terms
        return result.transpose(2, 1, 0)


def _formula(expression: ParameterExpression, symbols: Mapping[Parameter, sympy.Symbol]) -> sympy.Expr:
    """Turn an expression into a formula of plain symbols (parameters may have names such as "x[0]")."""
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
        return lambda points: []
    function = sympy.lambdify(symbols, formulas, modules="numpy", cse=True)

    def columns(points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        with np.errstate(invalid="ignore", divide="ignore"):  # who asks checks that the values are finite
            results: list[NDArray[np.float64]] = function(*points.T)
        return results

    return columns
