import numpy as np
import pytest
import torch
from torch.utils.data import IterableDataset, Subset, TensorDataset

from qiskit_fedqml.data.collecting import collect
from qiskit_fedqml.errors import DataError
from tests.own_parts import Blobs, own_data


def pairs(*labels, x=(0.0, 1.0)):
    """A list of pairs is a map-style dataset."""
    return [(list(x), label) for label in labels]


class Of:
    """One dataset of pairs: as the first of data, a list of them would be one of clients."""

    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def image(value, shape=(4, 5), label=0):
    return np.full(shape, value, np.uint8), label


def test_one_dataset_for_each_client():
    collected = collect(own_data())
    assert collected.classes == ("red", "blue")
    assert np.bincount(collected.owners).tolist() == [12, 13, 14, 15]
    clients, test = own_data()
    x, y = clients[2][3]
    position = 12 + 13 + 3
    np.testing.assert_array_equal(collected.inputs[0][position], x.float())
    assert collected.labels[0][position] == y
    np.testing.assert_array_equal(collected.inputs[1][-1], test[19][0].float())
    assert len(collected.labels[1]) == 20


def test_one_dataset_that_is_to_be_shared_out():
    collected = collect(own_data(is_divided=False))
    assert collected.owners is None
    assert collected.dataset().train.inputs.shape == (54, 3)


def test_classes_are_the_labels_where_they_have_no_names():
    features, labels = torch.zeros(4, 2), torch.tensor([-7, 30, 30, 2])
    data = TensorDataset(features, labels)
    collected = collect((data, data))
    assert collected.classes == ("-7", "2", "30")
    assert collected.labels[0].tolist() == [0, 2, 2, 1]


def test_a_subset_has_the_classes_of_its_dataset_and_classes_without_examples_are_left_out():
    blobs = Blobs(8, 0)
    blobs.classes, blobs.labels = ["a", "b", "c"], blobs.labels * 2
    collected = collect((Subset(blobs, range(6)), Subset(blobs, [6, 7])))
    assert collected.classes == ("a", "c")
    assert collected.labels[0].tolist() == [0, 1, 0, 1, 0, 1]


def test_grey_images_become_rgb_where_others_have_colours():
    grey, colour = image(7), image(9, (4, 5, 3), 1)
    for order in ([grey, colour, grey], [colour, grey]):
        x = collect(([order], order)).inputs[0]
        assert x.shape == (len(order), 4, 5, 3)
        assert [set(one.ravel()) for one in x] == [{7} if y[1] == 0 else {9} for y in order]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(pairs(0, 1))


class Broken(Blobs):
    def __getitem__(self, index):
        return super().__getitem__(index) if index < 5 else open("/no/such/file")


GOOD = pairs(0, 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([GOOD, GOOD], r"`data` must be \(clients, test\).* but is a list"),
        ((GOOD,), r"`data` must be \(clients, test\)"),
        (([], GOOD), "one dataset for each client, but has none"),
        (([GOOD, []], GOOD), "Client 1 has no examples"),
        (([GOOD], []), "The test data have no examples"),
        ((Stream(), GOOD), "The training data must be a map-style dataset, .* but is a Stream"),
        (([GOOD, 3], GOOD), "Client 1 must be a map-style dataset, .* but is a int"),
        (([Broken(8, 0)], GOOD), "Client 0, example 5 cannot be read: the dataset raised FileNotFoundError: No such"),
        (([GOOD, pairs(0, 1.5)], GOOD), "Client 1, example 1: y must be an integer, but is 1.5"),
        (([GOOD, pairs(0, x=[1.0])], GOOD), r"Client 1, example 0: x has shape \(1,\), but those before it .*\(2,\)"),
        (([GOOD, pairs(0, x=[1.0, np.nan])], GOOD), r"Client 1, example 0: x must be finite"),
        (([GOOD], pairs(0, 1, x=[1.0])), r"The test data, example 0: x has shape \(1,\)"),
        (([GOOD, [image(3)]], GOOD), "Client 1, example 0: x is of images, but those before it are of features"),
        (
            ([[image(3), image(3, (5, 5))]], GOOD),
            "Client 0, example 1: .* images must be of one size, such as .*Resize",
        ),
        (([[{"image": 3}]], GOOD), r"Client 0, example 0: it must be a pair \(x, y\), but is a dict"),
        ((Of(*pairs(1, 1)), pairs(1)), r"at least two classes, but has only \['1'\]"),
    ],
)
def test_what_is_no_data(data, message):
    with pytest.raises(DataError, match=message):
        collect(data)


def test_a_label_that_is_no_index_of_the_classes_is_named():
    first, second = Blobs(4, 0), Blobs(6, 1)
    second.labels[3] = 2
    with pytest.raises(DataError, match="Client 1, example 3: y must be from 0 to 1, .* but is 2"):
        collect(([first, second], Blobs(4, 2)))


def test_datasets_of_other_classes_are_refused():
    other = Blobs(4, 0)
    other.classes = ["green", "blue"]
    with pytest.raises(
        DataError, match=r"same `classes`, but Client 0 has \['red', 'blue'\], and The test data \['green'"
    ):
        collect(([Blobs(4, 0)], other))


def test_a_class_that_only_tests_have_is_refused():
    with pytest.raises(DataError, match=r"Each class must have training examples, but \['2'\] have none"):
        collect((Of(*GOOD), pairs(0, 1, 2))).dataset()


def test_examples_that_do_not_fit_into_memory_are_refused_before_they_are_read(monkeypatch):
    monkeypatch.setattr("qiskit_fedqml.simulation.memory.memory_bytes", lambda: 100)
    with pytest.raises(DataError, match="The examples need at least"):
        collect(([pairs(*[0, 1] * 20)], GOOD))
