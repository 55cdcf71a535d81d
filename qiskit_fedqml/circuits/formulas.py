"""Parameter expressions read as formulas: what is constant, what is linear, and NumPy functions for the rest.

Most angles are a parameter, perhaps with its sign changed and a number added, or one of the paper's encodings
arctan(x) and arctan(x²). These are known here; :mod:`qiskit_fedqml.circuits.symbolic` reads all others with SymPy.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Columns = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""A function of points, shape (batch, parameters), to the numbers of each of its formulas, shape (formulas, batch)."""


@dataclass(frozen=True)
class Formulas:
    """Expressions and their derivatives, taken apart into numbers and functions.

    Args:
        num_expressions: Number of expressions.
        num_parameters: Number of parameters.
        terms: The derivatives that are not zero everywhere, as (parameter, expression, constant), ascending; the
            constant is None where the derivative depends on the parameters.
        linear: Of each expression that is one parameter times a number plus a number: (parameter, factor, offset).
        derivatives: The derivatives without a constant, in the order of the terms.
        others: The expressions that are not linear, in their order.
    """

    num_expressions: int
    num_parameters: int
    terms: list[tuple[int, int, float | None]]
    linear: dict[int, tuple[int, float, float]]
    derivatives: Columns
    others: Columns


class Source(Protocol):
    """What formulas are made of, again in each process: compiled functions cannot be pickled, a source can."""

    def formulas(self) -> Formulas:
        """Return the formulas."""
        ...

    def derivatives(self) -> "Source":
        """Return the derivatives that are not zero everywhere, in the order of the formulas' terms."""
        ...


def known_formulas(expressions: Sequence[ParameterExpression], parameters: Sequence[Parameter]) -> Formulas | None:
    """Read expressions that are all of the known forms; None if one is not.

    The numbers are those of :mod:`qiskit_fedqml.circuits.symbolic`, to the bit.
    """
    index_of = {parameter: k for k, parameter in enumerate(parameters)}
    linear: dict[int, tuple[int, float, float]] = {}
    encodings: list[tuple[int, int, int]] = []
    for j, expression in enumerate(expressions):
        if len(expression.parameters) != 1:
            return None
        (parameter,) = expression.parameters
        k = index_of[parameter]
        if isinstance(expression, Parameter):
            linear[j] = (k, 1.0, 0.0)
        elif (power := _power_in_arctan(expression, parameter)) is not None:
            encodings.append((k, j, power))
        elif (shifted := _sign_and_offset(expression, parameter)) is not None:
            linear[j] = (k, *shifted)
        else:
            return None
    constant: list[tuple[int, int, float | None]] = [(k, j, factor) for j, (k, factor, _) in linear.items()]
    return Formulas(
        len(expressions),
        len(parameters),
        sorted([*constant, *((k, j, None) for k, j, _ in encodings)], key=lambda term: term[:2]),
        linear,
        _columns(_DERIVATIVE, [(k, power) for k, _, power in sorted(encodings)]),
        _columns(_VALUE, [(k, power) for k, _, power in encodings]),
    )


def _power_in_arctan(expression: ParameterExpression, x: Parameter) -> int | None:
    """Return n if an expression is arctan(x^n), for n = 1 and 2, and else None."""
    if expression == x.arctan():
        return 1
    return 2 if expression == (x * x).arctan() else None


def _sign_and_offset(expression: ParameterExpression, x: Parameter) -> tuple[float, float] | None:
    """Return (s, c) if an expression is s·x + c with s = 1 or −1, and else None."""
    try:
        slope, offset = expression.gradient(x), expression.bind({x: 0.0}).numeric()
    except (RuntimeError, TypeError, ValueError, ArithmeticError):  # not differentiable, not defined at 0, not real
        return None
    if isinstance(slope, ParameterExpression) or slope not in (1.0, -1.0):
        return None
    if isinstance(offset, complex) or not math.isfinite(offset):
        return None
    # A derivative of 1 nearly everywhere is not yet a line: it must go through two more points.
    at = [float(expression.bind({x: point}).numeric()) for point in (-3.0, 2.0)]
    if at != [slope * -3.0 + offset, slope * 2.0 + offset]:
        return None
    return float(slope), float(offset) + 0.0  # never −0


# Written as SymPy writes them for NumPy, so that they give the same bits.
_VALUE: dict[int, Function] = {1: np.arctan, 2: lambda x: np.arctan(x**2)}
_DERIVATIVE: dict[int, Function] = {
    1: lambda x: (x**2 + 1) ** (-1.0),
    2: lambda x: 2 * x / (x**4 + 1),
}


def _columns(
    of_power: dict[int, Callable[[NDArray[np.float64]], NDArray[np.float64]]], wanted: list[tuple[int, int]]
) -> Columns:
    """Return a function to a column for each (parameter, power), each different one computed once."""
    different = sorted(dict.fromkeys(wanted), key=lambda of: of[1])
    params_of = {power: np.array([k for k, p in different if p == power]) for _, power in different}
    order = np.array([different.index(of) for of in wanted], dtype=np.intp)

    def columns(points: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore", over="ignore"):  # who asks checks that the values are finite
            computed = [of_power[power](points.T[params]) for power, params in params_of.items()]
        return np.concatenate(computed)[order]

    return columns if wanted else lambda points: np.empty((0, len(points)))
