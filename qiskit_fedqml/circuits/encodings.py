"""Loops over the paper's encodings arctan(x) and arctan(x²), compiled by Numba: what NumPy needs a dozen calls for."""

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
    """Write the derivatives of arctan(x) or arctan(x²) by some parameters.

    Args:
        points: As above.
        params: As above.
        exponents: As above.
        fourth_powers: x⁴ of the rows whose exponent is 2, in their order, shape (such rows, batch).
        result: As above.
    """
    row = 0
    for n in range(len(params)):
        for i in range(len(points)):
            x = points[i, params[n]]
            result[n, i] = 2 * x / (fourth_powers[row, i] + 1) if exponents[n] == 2 else 1 / (x * x + 1)
        row += 1 if exponents[n] == 2 else 0


@compiled
def gathered(points, others, columns, result):
    """Write the parameters and the others that columns choose from both, in this order.

    Args:
        points: As above.
        others: Shape (others, batch).
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
