"""Many angles as functions of a circuit's parameters, evaluated and differentiated for whole batches.

Qiskit's parameter expressions are turned into formulas once; most angles are a parameter, perhaps with a constant, and
these are gathered without any formula. What remains is compiled when it is first evaluated, in each process anew: the
compiled functions cannot be pickled, the formulas can.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression

from qiskit_fedqml.errors import CircuitError

Columns = Callable[[NDArray[np.float64]], list[NDArray[np.float64]]]

_COMPILED = frozenset({"_compute_others", "_compute_derivatives"})
_ANY = sympy.Symbol("p", real=True)
_TOO_DEEP = "An angle's expression of parameters is too deeply nested to be turned into a formula."


class Expressions:
    """Formulas of parameters as one function of arrays.

    Args:
        formulas: Formulas of the symbols ``p0``, ``p1``, …, one for each parameter.
        num_parameters: Number of parameters.

    Attributes:
        term_params: For each derivative that is not zero everywhere, the index of its parameter; ascending.
        term_expressions: The index of its expression.
        constants: Its value where it doesn't depend on the parameters, and 0 elsewhere.
    """

    def __init__(self, formulas: Sequence[sympy.Expr], num_parameters: int) -> None:
        self._formulas, self._num_parameters = list(formulas), num_parameters
        index_of = {symbol: index for index, symbol in enumerate(_symbols(num_parameters))}

        slopes = [(index_of[p], j, _derivative(f, p)) for j, f in enumerate(self._formulas) for p in f.free_symbols]
        terms = sorted((s for s in slopes if s[2] != 0), key=lambda s: s[:2])  # a parameter's terms lie side by side
        self._term_formulas = [d for _, _, d in terms]
        self.term_params = np.array([k for k, _, _ in terms], dtype=np.intp)
        self.term_expressions = np.array([j for _, j, _ in terms], dtype=np.intp)
        self.constants = np.array([0.0 if d.free_symbols else float(d) for d in self._term_formulas])
        varying = [t for t, d in enumerate(self._term_formulas) if d.free_symbols]
        self._varying_terms = np.array(varying, dtype=np.intp)
        self._present, self._starts = np.unique(self.term_params, return_index=True)
        self._one_term_each = len(self._present) == len(terms)

        # Where an expression is one parameter times a number plus a number, no formula is needed.
        by_expression = {j: (k, float(d)) for k, j, d in terms if not d.free_symbols}
        simple = [j for j, f in enumerate(self._formulas) if j in by_expression and _is_affine(f)]
        self._simple = np.array(simple, dtype=np.intp)
        self._simple_params = np.array([by_expression[j][0] for j in simple], dtype=np.intp)
        self._simple_factors = np.array([by_expression[j][1] for j in simple])
        self._simple_offsets = np.array([_at_zero(self._formulas[j]) for j in simple])
        others = sorted(set(range(len(self._formulas))) - set(simple))
        self._others = np.array(others, dtype=np.intp)

    @classmethod
    def of(cls, expressions: Sequence[ParameterExpression], parameters: Sequence[Parameter]) -> "Expressions":
        """Take Qiskit's expressions of parameters, in the order in which values will come; others may not appear.

        Raises:
            CircuitError: An expression is complex, not finite whatever the parameters are, or too deeply nested.
        """
        symbol_of = dict(zip(parameters, _symbols(len(parameters)), strict=True))
        try:
            return cls([_real_formula(expression, symbol_of) for expression in expressions], len(parameters))
        except RecursionError as error:
            raise CircuitError(_TOO_DEEP) from error

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _COMPILED}

    @cached_property
    def derivatives(self) -> "Expressions":
        """The derivatives that are not zero everywhere, in the order of ``term_params``, as expressions themselves."""
        return Expressions(self._term_formulas, self._num_parameters)

    @cached_property
    def _compute_others(self) -> Columns:
        return _compile([self._formulas[j] for j in self._others], _symbols(self._num_parameters))

    @cached_property
    def _compute_derivatives(self) -> Columns:
        return _compile([self._term_formulas[t] for t in self._varying_terms], _symbols(self._num_parameters))

    def values(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values, shape (batch, expressions), at points of shape (batch, parameters)."""
        result = np.empty((len(points), len(self._formulas)))
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


def _symbols(count: int) -> tuple[sympy.Symbol, ...]:
    return tuple(sympy.Symbol(f"p{k}", real=True) for k in range(count))


def _derivative(formula: sympy.Expr, symbol: sympy.Symbol) -> sympy.Expr:
    """Differentiate; at the single points where a sign jumps, the derivative is taken to be 0."""
    if formula == symbol:
        return sympy.Integer(1)
    if len(formula.free_symbols) > 1:
        return _differentiated(formula, symbol)
    # Most circuits have a few formulas for many parameters, and sympy is slow.
    return _differentiated(formula.xreplace({symbol: _ANY}), _ANY).xreplace({_ANY: symbol})


@lru_cache(maxsize=256)
def _differentiated(formula: sympy.Expr, symbol: sympy.Symbol) -> sympy.Expr:
    return sympy.diff(formula, symbol).replace(sympy.DiracDelta, lambda *_: sympy.Integer(0))


def _is_affine(formula: sympy.Expr) -> bool:
    """Tell whether a formula with a constant derivative is one parameter times a number plus a number."""
    return formula.is_Symbol or (len(formula.free_symbols) == 1 and not formula.has(sympy.sign))


def _at_zero(formula: sympy.Expr) -> float:
    return 0.0 if formula.is_Symbol else float(formula.subs(next(iter(formula.free_symbols)), 0))


def _real_formula(expression: ParameterExpression, symbols: Mapping[Parameter, sympy.Symbol]) -> sympy.Expr:
    """Turn an expression into a formula with real, finite values."""
    if isinstance(expression, Parameter):
        return symbols[expression]
    formula = _formula(expression, symbols)
    if formula.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
        raise CircuitError(f"The angles of gates must be finite, but {_quoted(expression)} is not.")
    if not formula.has(sympy.I):
        return formula
    real, imaginary = formula.as_real_imag()
    if sympy.simplify(imaginary) != 0:
        raise CircuitError(f"The angles of gates must be real, but {_quoted(expression)} is complex.")
    return real


def _quoted(expression: ParameterExpression) -> str:
    text = str(expression)
    return repr(text if len(text) <= 80 else f"{text[:80]}…")


def _formula(expression: ParameterExpression, symbols: Mapping[Parameter, sympy.Symbol]) -> sympy.Expr:
    """Turn an expression into a formula of plain symbols (parameters may have names such as "x[0]")."""
    present = {parameter: symbols[parameter] for parameter in expression.parameters}
    renamed = expression.subs({parameter: Parameter(symbol.name) for parameter, symbol in present.items()})
    # ParameterExpression.sympify takes the wrong symbol where an expression came down to one of several parameters.
    formula = sympy.Symbol(str(renamed)) if renamed.is_symbol() else sympy.sympify(renamed.sympify())
    return formula.subs({sympy.Symbol(symbol.name): symbol for symbol in present.values()})


def _compile(formulas: Sequence[sympy.Expr], symbols: Sequence[sympy.Symbol]) -> Columns:
    """Compile formulas to one NumPy function from (batch, parameters) to a column for each formula."""
    if not formulas:
        return lambda points: []
    present = set().union(*(formula.free_symbols for formula in formulas))
    used = [k for k, symbol in enumerate(symbols) if symbol in present]
    try:
        function = sympy.lambdify([symbols[k] for k in used], formulas, modules="numpy", cse=True)
    except (RecursionError, SyntaxError, MemoryError) as error:  # the last two are the parser's
        raise CircuitError(_TOO_DEEP) from error

    def columns(points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        with np.errstate(invalid="ignore", divide="ignore"):  # who asks checks that the values are finite
            results: list[NDArray[np.float64]] = function(*[points[:, k] for k in used])
        return results

    return columns
