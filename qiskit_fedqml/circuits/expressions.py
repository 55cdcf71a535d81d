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

from qiskit_fedqml.circuits.formulas import Formulas, Source, known_formulas


@dataclass(frozen=True)
class _Known:
    """Qiskit's expressions that are all of known forms."""

    expressions: tuple[ParameterExpression, ...]
    parameters: tuple[Parameter, ...]

    def formulas(self) -> Formulas:
        formulas = known_formulas(self.expressions, self.parameters)
        assert formulas is not None
        return formulas

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
        if known_formulas(expressions, parameters) is not None:
            return cls(_Known(tuple(expressions), tuple(parameters)))
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
        self._varying_terms = np.array(varying, dtype=np.intp)
        self._compute_derivatives = formulas.derivatives
        self._present, self._starts = np.unique(self.term_params, return_index=True)
        self._one_term_each = len(self._present) == len(formulas.terms)

        linear = sorted(formulas.linear.items())
        self._simple = np.array([j for j, _ in linear], dtype=np.intp)
        self._simple_params = np.array([k for _, (k, _, _) in linear], dtype=np.intp)
        self._simple_factors = np.array([factor for _, (_, factor, _) in linear])
        self._simple_offsets = np.array([offset for _, (_, _, offset) in linear])
        others = sorted(set(range(self._num_expressions)) - set(formulas.linear))
        self._others = np.array(others, dtype=np.intp)
        self._compute_others = formulas.others

    @cached_property
    def derivatives(self) -> "Expressions":
        """The derivatives that are not zero everywhere, in the order of ``term_params``, as expressions themselves."""
        return Expressions(self._source.derivatives())

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
