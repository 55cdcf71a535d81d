"""The chain rule's loop, compiled by Numba: dozens of short rows, for which NumPy takes a call each."""

import numpy as np

from qiskit_fedqml.circuits.compiling import compiled


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
