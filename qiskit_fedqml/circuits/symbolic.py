"""Parameter expressions of any form read as formulas, by SymPy."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import sympy
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression

from qiskit_fedqml.circuits.formulas import Columns, Formulas
from qiskit_fedqml.errors import CircuitError

_ANY = sympy.Symbol("p", real=True)
_TOO_DEEP = "An angle's expression of parameters is too deeply nested to be turned into a formula."


class SymbolicSource:
    """Formulas of SymPy's.

    Args:
        expressions: Formulas of the symbols ``p0``, ``p1``, …, one for each parameter.
        num_parameters: Number of parameters.
    """

    def __init__(self, expressions: Sequence[sympy.Expr], num_parameters: int) -> None:
        self._expressions, self._num_parameters = list(expressions), num_parameters
        index_of = {symbol: index for index, symbol in enumerate(_symbols(num_parameters))}
        slopes = [(index_of[p], j, _derivative(f, p)) for j, f in enumerate(self._expressions) for p in f.free_symbols]
        self._terms = sorted((s for s in slopes if s[2] != 0), key=lambda s: s[:2])

    @classmethod
    def of(cls, expressions: Sequence[ParameterExpression], parameters: Sequence[Parameter]) -> "SymbolicSource":
        """Take Qiskit's expressions of parameters, in the order in which values will come; others may not appear.

        Raises:
            CircuitError: An expression is complex, not finite whatever the parameters are, or too deeply nested.
        """
        symbol_of = dict(zip(parameters, _symbols(len(parameters)), strict=True))
        try:
            return cls([_real_formula(expression, symbol_of) for expression in expressions], len(parameters))
        except RecursionError as error:
            raise CircuitError(_TOO_DEEP) from error

    def formulas(self) -> Formulas:
        """Return the formulas, compiled for NumPy."""
        terms = [(k, j, None if d.free_symbols else float(d)) for k, j, d in self._terms]
        # Where an expression is one parameter times a number plus a number, no formula is needed.
        factors = {j: (k, constant) for k, j, constant in terms if constant is not None}
        linear = {
            j: (*factors[j], _at_zero(formula))
            for j, formula in enumerate(self._expressions)
            if j in factors and _is_affine(formula)
        }
        symbols = _symbols(self._num_parameters)
        return Formulas(
            len(self._expressions),
            self._num_parameters,
            terms,
            linear,
            _compile([d for _, _, d in self._terms if d.free_symbols], symbols),
            _compile([f for j, f in enumerate(self._expressions) if j not in linear], symbols),
        )

    def derivatives(self) -> "SymbolicSource":
        """Return the derivatives that are not zero everywhere, in the order of the terms."""
        return SymbolicSource([d for _, _, d in self._terms], self._num_parameters)


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
        return lambda points: np.empty((0, len(points)))
    present = set().union(*(formula.free_symbols for formula in formulas))
    used = [k for k, symbol in enumerate(symbols) if symbol in present]
    try:
        function = sympy.lambdify([symbols[k] for k in used], formulas, modules="numpy", cse=True)
    except (RecursionError, SyntaxError, MemoryError) as error:  # the last two are the parser's
        raise CircuitError(_TOO_DEEP) from error

    def columns(points: NDArray[np.float64]) -> NDArray[np.float64]:
        result = np.empty((len(formulas), len(points)))
        with np.errstate(invalid="ignore", divide="ignore"):  # who asks checks that the values are finite
            for row, column in zip(result, function(*[points[:, k] for k in used]), strict=True):
                row[:] = column  # of a constant formula one number
        return result

    return columns
