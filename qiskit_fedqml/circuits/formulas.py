"""Parameter expressions read as formulas: what is constant, what is linear, and functions for the rest.

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


@dataclass(frozen=True)
class KnownForms:
    """Expressions that are all of known forms.

    Args:
        linear: As :class:`Formulas` has them.
        encodings: Of each other expression, which is arctan(x^n): (parameter, expression, n).
    """

    linear: dict[int, tuple[int, float, float]]
    encodings: list[tuple[int, int, int]]

    @property
    def terms(self) -> list[tuple[int, int, float | None]]:
        """The terms, as :class:`Formulas` has them."""
        constant: list[tuple[int, int, float | None]] = [(k, j, factor) for j, (k, factor, _) in self.linear.items()]
        return sorted([*constant, *((k, j, None) for k, j, _ in self.encodings)], key=lambda term: term[:2])


def known_forms(expressions: Sequence[ParameterExpression], parameters: Sequence[Parameter]) -> KnownForms | None:
    """Read expressions that are all of the known forms; None if one is not."""
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
    return KnownForms(linear, encodings)


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
