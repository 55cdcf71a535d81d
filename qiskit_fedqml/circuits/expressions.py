"""Many angles as functions of a circuit's parameters, evaluated and differentiated for whole batches.

Qiskit's parameter expressions are turned into formulas once; most angles are a parameter, perhaps with a constant, and
these are gathered without any formula. SymPy is imported only where an expression is of no known form.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression

from qiskit_fedqml.circuits.formulas import Columns, Formulas, KnownForms, Source, known_forms


@dataclass(frozen=True)
class _Known:
    """Qiskit's expressions that are all of known forms, whose numbers are SymPy's, to the bit."""

    expressions: tuple[ParameterExpression, ...]
    parameters: tuple[Parameter, ...]
    forms: KnownForms

    def formulas(self) -> Formulas:
        encodings = self.forms.encodings
        return Formulas(
            len(self.expressions),
            len(self.parameters),
            self.forms.terms,
            self.forms.linear,
            _slopes([(k, power) for k, _, power in sorted(encodings)]),
            _arctans([(k, power) for k, _, power in encodings]),
        )

    def derivatives(self) -> Source:
        return _symbolic(self.expressions, self.parameters).derivatives()


def _symbolic(expressions: Sequence[ParameterExpression], parameters: Sequence[Parameter]) -> Source:
    from qiskit_fedqml.circuits.symbolic import SymbolicSource

    return SymbolicSource.of(expressions, parameters)


class Expressions:
    """Formulas of parameters as one function of arrays.

    Args:
        source: What the formulas are made of.

    Attributes:
        term_params: For each derivative that is not zero everywhere, the index of its parameter; ascending.
        term_expressions: The index of its expression.
        constants: Its value where it doesn't depend on the parameters, and 0 elsewhere.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._read()

    @classmethod
    def of(cls, expressions: Sequence[ParameterExpression], parameters: Sequence[Parameter]) -> "Expressions":
        """Take Qiskit's expressions of parameters, in the order in which values will come; others may not appear.

        Raises:
            CircuitError: An expression is complex, not finite whatever the parameters are, or too deeply nested.
        """
        if (forms := known_forms(expressions, parameters)) is not None:
            return cls(_Known(tuple(expressions), tuple(parameters), forms))
        return cls(_symbolic(expressions, parameters))

    def __getstate__(self) -> dict[str, Any]:
        return {"_source": self._source}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._read()

    def _read(self) -> None:
        formulas = self._source.formulas()
        self._num_expressions, self._num_parameters = formulas.num_expressions, formulas.num_parameters
        # Ascending, so that a parameter's terms lie side by side.
        self.term_params = np.array([k for k, _, _ in formulas.terms], dtype=np.intp)
        self.term_expressions = np.array([j for _, j, _ in formulas.terms], dtype=np.intp)
        self.constants = np.array([constant or 0.0 for _, _, constant in formulas.terms])
        varying = [t for t, (_, _, constant) in enumerate(formulas.terms) if constant is None]
        self._compute_derivatives = formulas.derivatives
        rows = np.full(len(formulas.terms), -1)
        rows[varying] = np.arange(len(varying))
        present, starts = np.unique(self.term_params, return_index=True)
        self._chain = present, np.append(starts, len(formulas.terms)), self.term_expressions, self.constants, rows

        linear = sorted(formulas.linear.items())
        self._simple = np.array([j for j, _ in linear], dtype=np.intp)
        self._simple_factors = np.array([factor for _, (_, factor, _) in linear])
        self._simple_offsets = np.array([offset for _, (_, _, offset) in linear])
        self._is_scaled = bool((self._simple_factors != 1.0).any() or (self._simple_offsets != 0.0).any())
        # An arctan is finite, and so is a finite number plus one much smaller than the largest.
        self._stays_finite = isinstance(self._source, _Known) and bool((np.abs(self._simple_offsets) < 1e16).all())
        self._compute_others = formulas.others
        # The columns of each expression in parameters followed by what is computed.
        others = sorted(set(range(self._num_expressions)) - set(formulas.linear))
        self._columns = np.empty(self._num_expressions, dtype=np.intp)
        self._columns[self._simple] = [k for _, (k, _, _) in linear]
        self._columns[others] = self._num_parameters + np.arange(len(others))
        self._num_others = len(others)

    @property
    def stays_finite(self) -> bool:
        """Whether it is known that all values are finite wherever the parameters are."""
        return self._stays_finite

    @cached_property
    def derivatives(self) -> "Expressions":
        """The derivatives that are not zero everywhere, in the order of ``term_params``, as expressions themselves."""
        return Expressions(self._source.derivatives())

    def values(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values, shape (batch, expressions), at points of shape (batch, parameters)."""
        if self._num_others:
            from qiskit_fedqml.circuits.expression_loops import gathered  # Numba takes its time to import

            result = np.empty((len(points), self._num_expressions))
            gathered(points, self._compute_others(points), self._columns, result)
        else:
            result = points.take(self._columns, axis=1)
        if self._is_scaled:
            result[:, self._simple] = result[:, self._simple] * self._simple_factors + self._simple_offsets
        return result

    def chain_rule(self, jacobian: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn derivatives with respect to the expressions into derivatives with respect to the parameters.

        Args:
            jacobian: Derivatives with respect to the expressions, shape (batch, outputs, expressions).
            points: Where they were taken, shape (batch, parameters).

        Returns:
            Derivatives with respect to the parameters, shape (batch, outputs, parameters).
        """
        from qiskit_fedqml.circuits.expression_loops import sums_of_terms  # Numba takes its time to import

        result = np.zeros((self._num_parameters, jacobian.shape[1], len(points)))
        by_expression = np.ascontiguousarray(jacobian.transpose(2, 1, 0))
        sums_of_terms(by_expression, *self._chain, self._compute_derivatives(points), result)
        return result.transpose(2, 1, 0)


def _arctans(wanted: list[tuple[int, int]]) -> Columns:
    """Return a function to arctan(x^n) for each (parameter, n), each different one computed once."""
    params, exponents, order = _different(wanted)

    def columns(points: NDArray[np.float64]) -> NDArray[np.float64]:
        from qiskit_fedqml.circuits.expression_loops import powers  # Numba takes its time to import

        rows = np.empty((len(params), len(points)))
        powers(points, params, exponents, rows)
        return np.arctan(rows, out=rows).take(order, axis=0)

    return columns if wanted else _no_columns


def _slopes(wanted: list[tuple[int, int]]) -> Columns:
    """Return a function to the derivatives of arctan(x^n), as above."""
    params, exponents, order = _different(wanted)
    squared = params[exponents == 2]

    def columns(points: NDArray[np.float64]) -> NDArray[np.float64]:
        from qiskit_fedqml.circuits.expression_loops import slopes  # Numba takes its time to import

        rows = np.empty((len(params), len(points)))
        with np.errstate(over="ignore"):  # the derivative is 0 then
            fourth_powers = np.power(points.take(squared, axis=1), 4)  # x·x·x·x is rounded otherwise
        slopes(points, params, exponents, fourth_powers, rows)
        return rows.take(order, axis=0)

    return columns if wanted else _no_columns


def _no_columns(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.empty((0, len(points)))


def _different(wanted: list[tuple[int, int]]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return the different parameters and exponents, and which of them each wanted one is."""
    different = sorted(dict.fromkeys(wanted))
    params, exponents = np.array(different, dtype=np.intp).reshape(-1, 2).T.copy()
    return params, exponents, np.array([different.index(of) for of in wanted], dtype=np.intp)
