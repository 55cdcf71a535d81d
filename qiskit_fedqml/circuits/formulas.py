"""Parameter expressions read as formulas: what is constant, what is linear, and NumPy functions for the rest.

Most angles are a parameter, perhaps with its sign changed and a number added, or one of the paper's encodings
arctan(x) and arctan(x²). These are known here; :mod:`qiskit_fedqml.circuits.symbolic` reads all others with SymPy.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression

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
        _slopes([(k, power) for k, _, power in sorted(encodings)]),
        _arctans([(k, power) for k, _, power in encodings]),
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


def _arctans(wanted: list[tuple[int, int]]) -> Columns:
    """Return a function to arctan(x^n) for each (parameter, n), each different one computed once."""
    params, exponents, order = _different(wanted)

    def columns(points: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = np.empty((len(params), len(points)))
        _loops().powers(points, params, exponents, rows)
        return np.arctan(rows, out=rows).take(order, axis=0)

    return columns if wanted else _no_columns


def _slopes(wanted: list[tuple[int, int]]) -> Columns:
    """Return a function to the derivatives of arctan(x^n), as above."""
    params, exponents, order = _different(wanted)
    squared = params[exponents == 2]
    ones = np.ones_like(squared)

    def columns(points: NDArray[np.float64]) -> NDArray[np.float64]:
        rows, fourth_powers = np.empty((len(params), len(points))), np.empty((len(squared), len(points)))
        if len(squared):
            _loops().powers(points, squared, ones, fourth_powers)
            with np.errstate(over="ignore"):  # the derivative is 0 then
                np.power(fourth_powers, 4, out=fourth_powers)  # x·x·x·x is rounded otherwise
        _loops().slopes(points, params, exponents, fourth_powers, rows)
        return rows.take(order, axis=0)

    return columns if wanted else _no_columns


def _no_columns(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.empty((0, len(points)))


def _different(wanted: list[tuple[int, int]]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return the different parameters and exponents, and which of them each wanted one is."""
    different = sorted(dict.fromkeys(wanted))
    params, exponents = np.array(different, dtype=np.intp).reshape(-1, 2).T.copy()
    return params, exponents, np.array([different.index(of) for of in wanted], dtype=np.intp)


@cache
def _loops() -> Any:
    from qiskit_fedqml.circuits import encodings  # Numba takes its time to import

    return encodings
