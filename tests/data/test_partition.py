import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qiskit_fedqml.data import partition
from qiskit_fedqml.errors import DataError

SCHEMES = {
    "iid": lambda labels, n, rng: partition.iid(len(labels), n, rng),
    "dirichlet": lambda labels, n, rng: partition.dirichlet(labels, n, 0.3, rng),
    "dirichlet, tiny alpha": lambda labels, n, rng: partition.dirichlet(labels, n, 1e-9, rng),
    "dirichlet, huge alpha": lambda labels, n, rng: partition.dirichlet(labels, n, 1e6, rng),
    "label shards": lambda labels, n, rng: partition.label_shards(labels, n, 1, rng),
    "quantity skew": lambda labels, n, rng: partition.quantity_skew(len(labels), n, 0.2, rng),
}


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_partitions_are_disjoint_complete_seeded_and_not_empty(scheme, data):
    count = data.draw(st.integers(1, 120))
    num_clients = data.draw(st.integers(1, count))
    labels = np.random.default_rng(0).integers(0, data.draw(st.integers(1, 5)), count)
    seed = data.draw(st.integers(0, 9))
    shards, again = (SCHEMES[scheme](labels, num_clients, np.random.default_rng(seed)) for _ in range(2))
    assert len(shards) == num_clients
    assert all(len(shard) for shard in shards)
    np.testing.assert_array_equal(np.sort(np.concatenate(shards)), np.arange(count))
    assert all(np.array_equal(a, b) and np.array_equal(a, np.sort(a)) for a, b in zip(shards, again, strict=True))


def test_iid_is_equal_and_truly_shuffled():
    labels = np.repeat([0, 1], 500)
    shards = partition.iid(1000, 10, np.random.default_rng(0))
    assert {len(shard) for shard in shards} == {100}
    share = np.array([labels[shard].mean() for shard in shards])
    assert (np.abs(share - 0.5) < 0.2).all()
    assert share.std() > 0


def test_dirichlet_skew_grows_as_alpha_falls():
    labels = np.repeat(np.arange(4), 500)

    def skew(alpha):
        shards = partition.dirichlet(labels, 8, alpha, np.random.default_rng(1))
        return np.mean([np.bincount(labels[s], minlength=4).max() / len(s) for s in shards])

    assert skew(0.1) > skew(1.0) > skew(100.0)
    assert skew(1e4) == pytest.approx(0.25, abs=0.02)


def test_label_shards_give_each_client_few_labels():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(5), 40))
    shards = partition.label_shards(labels, 10, 2, np.random.default_rng(0))
    assert max(len(np.unique(labels[shard])) for shard in shards) <= 4
    assert min(len(np.unique(labels[shard])) for shard in shards) <= 2


def test_too_many_clients():
    for make in SCHEMES.values():
        with pytest.raises(DataError, match="cannot be shared out"):
            make(np.zeros(3, dtype=np.int64), 4, np.random.default_rng(0))


def test_a_huge_alpha_gives_equal_shares():
    labels = np.repeat([0, 1], 50)
    for alpha in (1e300, 1.7e308):
        for shards in (
            partition.dirichlet(labels, 4, alpha, np.random.default_rng(0)),
            partition.quantity_skew(100, 4, alpha, np.random.default_rng(0)),
        ):
            assert all(24 <= len(shard) <= 26 for shard in shards)


@pytest.mark.parametrize("num_clients", [1, 3, 10, 1000])
def test_equal_parts_are_those_of_array_split_in_two_arrays(num_clients):
    shards = partition.iid(1000, num_clients, np.random.default_rng(3))
    expected = [np.sort(part) for part in np.array_split(np.random.default_rng(3).permutation(1000), num_clients)]
    assert len(shards) == num_clients
    for client, (rows, part) in enumerate(zip(shards, expected, strict=True)):
        np.testing.assert_array_equal(rows, part)
        np.testing.assert_array_equal(shards[client], part)
        assert np.shares_memory(rows, shards.rows)
    assert shards.sizes.tolist() == [len(part) for part in expected]
    np.testing.assert_array_equal(shards[-1], expected[-1])
    assert [rows.tolist() for rows in shards[:2]] == [part.tolist() for part in expected[:2]]
    with pytest.raises(IndexError):
        shards[num_clients]
