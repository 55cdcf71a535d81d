import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiskit_fedqml.data.splitting import random_split, stratified_split
from qiskit_fedqml.errors import DataError

SIZES = st.lists(st.integers(2, 40), min_size=1, max_size=5)


@given(sizes=SIZES, fraction=st.floats(0.001, 0.999), seed=st.integers(0, 99))
def test_stratified_split_gives_each_class_its_share_of_either_part(sizes, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    names = [str(size) for size in sizes]
    train, test = stratified_split(labels, names, fraction, np.random.default_rng(seed))
    again = stratified_split(labels, names, fraction, np.random.default_rng(seed))
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(labels)))
    assert np.array_equal(train, again[0])
    assert np.array_equal(test, again[1])
    for label, size in enumerate(sizes):
        in_test = np.count_nonzero(labels[test] == label)
        assert 0 < in_test < size
        assert abs(in_test - fraction * size) < 1 or in_test in {1, size - 1}
    if all(1 <= np.floor(fraction * size) < size - 1 for size in sizes):
        assert len(test) == round(fraction * len(labels))


def test_a_class_of_one_example_cannot_be_split():
    with pytest.raises(DataError, match="Class 'cat' must have at least two examples.* but has 1"):
        stratified_split(np.array([0, 1, 1]), ["cat", "dog"], 0.5, np.random.default_rng(0))


def test_random_split_leaves_no_part_empty():
    for fraction in (0.01, 0.5, 0.99):
        train, test = random_split(3, fraction, np.random.default_rng(0))
        assert len(train)
        assert len(test)
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(3))
    with pytest.raises(DataError, match="at least two examples"):
        random_split(1, 0.5, np.random.default_rng(0))
