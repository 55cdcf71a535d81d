import numpy as np
import pytest

from qiskit_fedqml.data.datasets import Dataset, Split, check_known, choose
from qiskit_fedqml.errors import DataError


def features(labels):
    return Split(np.zeros((len(labels), 2), dtype=np.float32), np.array(labels))


def test_each_class_has_training_and_test_examples():
    assert len(Dataset(("a", "b"), features([0, 1, 1]), features([1, 0])).train) == 3
    with pytest.raises(DataError, match=r"must have training examples, but \['b'\] have none"):
        Dataset(("a", "b"), features([0]), features([0, 1]))
    with pytest.raises(DataError, match=r"must have test examples, but \['a', 'c'\] have none"):
        Dataset(("a", "b", "c"), features([0, 1, 2]), features([1]))


def test_labels_are_positions_in_the_chosen_classes():
    chosen, labels = choose(np.array([5, 9, 2, 9]), (9, 5))
    np.testing.assert_array_equal(chosen, [0, 1, 3])
    np.testing.assert_array_equal(labels, [1, 0, 0])
    with pytest.raises(DataError, match="from 0 to 9, but got 11"):
        check_known((0, 11), 10)
