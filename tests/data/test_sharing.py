import logging

import numpy as np
import pytest

from qiskit_fedqml.data.loading import partition_examples
from qiskit_fedqml.data.sharing import shards_of
from qiskit_fedqml.errors import DataError
from tests.conftest import make_tiny

LABELS = np.repeat([0, 1], 100)
SKEW = {"scheme": "quantity_skew", "alpha": 1.0}


def data(**keys):
    return make_tiny(**{f"data__{key}": value for key, value in keys.items()}).data


def test_small_clients_are_named_and_the_partition_stays(caplog):
    config = data(partition=SKEW, min_examples=20)
    with caplog.at_level(logging.WARNING):
        shards = shards_of(LABELS, None, 6, config, 3)
    same = partition_examples(LABELS, 6, config.partition, 3)
    np.testing.assert_array_equal(shards.rows, same.rows)
    few = [f"client {c} has {n}" for c, n in enumerate(shards.sizes) if n < 20]
    assert few
    assert (
        f"{len(few)} of 6 clients have fewer than 20 examples (`data.min_examples`): {', '.join(few)}." in caplog.text
    )


def test_the_partition_is_drawn_again_until_all_have_enough_the_same_each_time(caplog):
    config = data(partition=SKEW, min_examples=20, redraw=1000)
    with caplog.at_level(logging.INFO):
        shards = shards_of(LABELS, None, 6, config, 3)
    assert shards.sizes.min() >= 20
    np.testing.assert_array_equal(shards.rows, shards_of(LABELS, None, 6, config, 3).rows)
    draws = [partition_examples(LABELS, 6, config.partition, 3, k).sizes.min() for k in range(1001)]
    first = next(k for k, least in enumerate(draws) if least >= 20)
    assert first > 0
    assert caplog.messages == [f"The partition was drawn {first + 1} times until each client had 20 examples."]
    np.testing.assert_array_equal(shards.rows, partition_examples(LABELS, 6, config.partition, 3, first).rows)


def test_a_first_draw_that_is_good_is_kept():
    config = data(partition=SKEW, min_examples=2, redraw=9)
    np.testing.assert_array_equal(
        shards_of(LABELS, None, 2, config, 0).rows, partition_examples(LABELS, 2, config.partition, 0).rows
    )


def test_draws_that_never_give_enough_are_an_error():
    with pytest.raises(DataError, match=r"None of 4 draws .* gives each of 6 clients 34 examples .* fewer"):
        shards_of(LABELS, None, 6, data(partition=SKEW, min_examples=34, redraw=3), 3)


def own(**keys):
    section = {"dataset": "given", "path": "data.npz", **keys}
    return make_tiny(data=section).data


def test_clients_have_what_the_dataset_says():
    owners = np.array([2, 0, 1, 0, 2])
    shards = shards_of(LABELS[:5], owners, 3, own(), 0)
    assert [rows.tolist() for rows in shards] == [[1, 3], [2], [0, 4]]


def test_small_clients_of_a_divided_dataset_are_named(caplog):
    shards_of(LABELS[:5], np.array([2, 0, 1, 0, 2]), 3, own(min_examples=2), 0)
    assert "1 of 3 clients have fewer than 2 examples (`data.min_examples`): client 1 has 1." in caplog.text


@pytest.mark.parametrize(
    ("owners", "keys", "message"),
    [
        ([0, 1], {"partition": SKEW}, "`data.partition` has no effect where the data of each client are given"),
        ([0, 1], {}, "`data` has 2 clients, but `federation.clients` is 3; they must be as many"),
        ([0, 1, 3], {}, "`data` has 4 clients"),
        ([0, 2, 2], {}, "Client 1 has no examples left once `data.validation_fraction` is cut out"),
    ],
)
def test_divided_data_that_do_not_fit(owners, keys, message):
    with pytest.raises(DataError, match=message):
        shards_of(LABELS[: len(owners)], np.array(owners), 3, own(**keys), 0)
