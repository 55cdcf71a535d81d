import numpy as np

from qiskit_fedqml.data.class_counts import count_classes, summary
from qiskit_fedqml.data.partition import Shards
from qiskit_fedqml.data.preparation import class_counts, prepare_data
from tests.conftest import make_tiny


def test_counts_are_those_of_each_clients_examples():
    labels = np.array([0, 2, 2, 1, 0, 2])
    shards = Shards.of([np.array([0, 1, 2]), np.array([5])])
    assert count_classes(labels, shards, 4).tolist() == [[1, 0, 2, 0], [0, 0, 1, 0]]


def test_counts_of_an_experiment_leave_out_the_tuning_set():
    experiment = make_tiny(
        data__classes=[0, 1, 7], data__partition={"scheme": "dirichlet", "alpha": 0.3}, data__validation_fraction=0.2
    )
    data, (classes, counts) = prepare_data(experiment), class_counts(experiment)
    assert classes == ("0", "1", "7")
    assert counts.tolist() == data.class_counts.tolist()
    assert counts.tolist() == [np.bincount(data.train.labels[rows], minlength=3).tolist() for rows in data.shards]


def test_few_clients_are_kept_one_by_one():
    counts = np.array([[1, 2], [5, 0]])
    assert summary(counts) == {"clients": [1, 1], "counts": [[1, 2], [5, 0]]}


def test_many_clients_are_kept_in_groups_of_like_size_and_none_is_lost():
    counts = np.random.default_rng(0).integers(0, 50, (1003, 3))
    kept = summary(counts)
    means, sizes = np.array(kept["counts"]), np.array(kept["clients"])
    assert len(means) == 100
    assert sizes.sum() == 1003
    assert set(sizes.tolist()) == {10, 11}
    assert (np.diff(means.sum(axis=1)) <= 0.01).all(), "from the largest to the smallest"
    np.testing.assert_allclose((means * sizes[:, None]).sum(axis=0), counts.sum(axis=0), atol=1.0)
