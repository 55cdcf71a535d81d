"""Loops over expressions and their terms, compiled by Numba: short rows, for which NumPy takes a call each."""

import numpy as np

from qiskit_fedqml.circuits.compiling import compiled


@compiled
def powers(points, params, exponents, result):
    """Write x or x² of some parameters.

    Args:
        points: Values of all parameters, shape (batch, parameters).
        params: The parameter of each row.
        exponents: 1 or 2, of each row.
        result: Shape (rows, batch); filled in.
    """
    for n in range(len(params)):
        for i in range(len(points)):
            x = points[i, params[n]]
            result[n, i] = x * x if exponents[n] == 2 else x


@compiled
def slopes(points, params, exponents, fourth_powers, result):
    """Write the derivatives of arctan(x) or arctan(x²) by some parameters, computed as SymPy's would be by NumPy.

    Args:
        points: Values of all parameters, shape (batch, parameters).
        params: The parameter of each row.
        exponents: 1 or 2, of each row.
        fourth_powers: x⁴ of the rows whose exponent is 2, in their order, shape (batch, such rows).
        result: Shape (rows, batch); filled in.
    """
    column = 0
    for n in range(len(params)):
        for i in range(len(points)):
            x = points[i, params[n]]
            result[n, i] = 2 * x / (fourth_powers[i, column] + 1) if exponents[n] == 2 else 1 / (x * x + 1)
        column += 1 if exponents[n] == 2 else 0


@compiled
def gathered(points, others, columns, result):
    """Write those parameters and other numbers that columns choose.

    Args:
        points: Values of all parameters, shape (batch, parameters).
        others: The other numbers, shape (others, batch).
        columns: Of each expression, a parameter, or the number of parameters plus one of the others.
        result: Shape (batch, expressions); filled in.
    """
    num_parameters = points.shape[1]
    for j in range(len(columns)):
        column = columns[j]
        if column < num_parameters:
            for i in range(len(points)):
                result[i, j] = points[i, column]
        else:
            other = others[column - num_parameters]
            for i in range(np.uint64(len(points))):
                result[i, j] = other[i]


@compiled
def sums_of_terms(by_expression, params, starts, expressions, constants, rows, factors, result):
    """Add to each parameter's derivatives what its terms make of the derivatives by expressions.

    Args:
        by_expression: Derivatives with respect to the expressions, shape (expressions, outputs, batch).
        params: The parameters that have terms.
        starts: Where each one's terms start, and where the last one's end.
        expressions: The expression of each term.
        constants: The factor of each term, where it doesn't depend on the parameters.
        rows: Of each other term its row of ``factors``, and −1.
        factors: Derivatives of expressions, shape (rows, batch).
        result: Zeros, shape (parameters, outputs, batch); filled in.
    """
    outputs, batch = by_expression.shape[1], np.uint64(by_expression.shape[2])
    for n in range(len(params)):
        for t in range(starts[n], starts[n + 1]):
            is_first, is_constant, constant = t == starts[n], rows[t] < 0, constants[t]
            for j in range(outputs):
                source, target = by_expression[expressions[t], j], result[params[n], j]
                if is_constant and is_first:
                    for k in range(batch):
                        target[k] = source[k] * constant
                elif is_constant:
                    for k in range(batch):
                        target[k] += source[k] * constant
                elif is_first:
                    factor = factors[rows[t]]
                    for k in range(batch):
                        target[k] = source[k] * factor[k]
                else:
                    factor = factors[rows[t]]
                    for k in range(batch):
                        target[k] += source[k] * factor[k]
