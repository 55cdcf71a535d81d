"""What a model's outputs can be at most."""

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.circuits.observables import as_observables
from qiskit_fedqml.model.prediction import highest_probability

TWICE = SparsePauliOp(["ZI"], [2.0])
SHIFTED = SparsePauliOp(["II", "IZ", "XI"], [3.0, 0.5, -0.25])


@pytest.mark.parametrize(
    ("observables", "logits"),
    [
        (["ZI", "IZ"], [1, -1]),
        (["ZII", "IZI", "IIZ"], [1, -1, -1]),
        ([TWICE, "IZ"], [2, -1]),
        ([TWICE, SHIFTED], [-2, 3.75]),
        (["0I", "1I"], [1, 0]),  # projectors, from 0 to 1
    ],
)
def test_the_highest_probability_is_that_of_the_extreme_expectations(observables, logits):
    weights = np.exp(logits)
    assert highest_probability(as_observables(observables)) == pytest.approx(max(weights / weights.sum()))
