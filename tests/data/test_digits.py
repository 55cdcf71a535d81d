import numpy as np
import pytest

from qiskit_fedqml.data.digits import digits
from qiskit_fedqml.errors import DataError


def test_digits_are_split_disjointly():
    data = digits((3, 8), 0.25, np.random.default_rng(0))
    assert data.classes == ("3", "8")
    assert len(data.test) == round(0.25 * (len(data.train) + len(data.test)))
    rows = np.concatenate([data.train.inputs, data.test.inputs])
    reference = digits((3, 8), 0.5, np.random.default_rng(1))
    everything = np.concatenate([reference.train.inputs, reference.test.inputs])
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], everything[np.lexsort(everything.T)])
    assert rows.max() == 1
    assert set(data.train.labels) == {0, 1}


def test_unknown_digits_and_splits_that_leave_one_out():
    with pytest.raises(DataError, match="from 0 to 9, but got 10"):
        digits((0, 10), 0.25, np.random.default_rng(0))
    with pytest.raises(DataError, match="must have test examples"):
        digits((3, 8), 0.001, np.random.default_rng(0))
