import numpy as np
import pytest

from qiskit_fedqml.data.given import given, given_section, write_given
from qiskit_fedqml.data.images import ArrayImages
from qiskit_fedqml.data.preparation import digests_of
from qiskit_fedqml.errors import DataError
from tests.conftest import make_tiny
from tests.own_parts import own_data

SKEW = {"scheme": "dirichlet", "alpha": 0.3}


@pytest.mark.parametrize("is_divided", [True, False])
def test_what_is_written_is_read_again(is_divided, tmp_path):
    path, collected = write_given(own_data(is_divided=is_divided), tmp_path)
    dataset = given(str(path))
    assert dataset.classes == ("red", "blue")
    assert digests_of(dataset) == digests_of(collected.dataset())
    assert (dataset.owners is not None) == is_divided
    assert write_given(own_data(is_divided=is_divided), tmp_path)[0] == path
    assert write_given(own_data(is_divided=is_divided, seed=1), tmp_path)[0] != path


def test_images_are_kept_to_the_bit(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 5), dtype=np.uint8)
    data = [(x, k % 2) for k, x in enumerate(pixels)]
    dataset = given(str(write_given(([data], data[:2]), tmp_path)[0]))
    found = dataset.train.inputs.read(np.arange(6), 4)
    np.testing.assert_array_equal(found, ArrayImages(pixels).read(np.arange(6), 4))
    np.testing.assert_array_equal(np.load(next(tmp_path.glob("*.npz")))["x_train"], pixels)


def test_what_a_section_says_of_the_partition_stays(tmp_path):
    before = make_tiny(data__partition=SKEW, data__min_examples=3, data__redraw=9).data
    section = given_section(own_data(is_divided=False), before, 4, tmp_path)
    assert {key: section[key] for key in ("partition", "min_examples", "redraw")} == {
        "partition": SKEW,
        "min_examples": 3,
        "redraw": 9,
    }
    assert "partition" not in given_section(own_data(), make_tiny().data, 4, tmp_path)


def test_the_number_of_clients_must_fit(tmp_path):
    with pytest.raises(DataError, match="`data` has 4 clients, but `federation.clients` is 5; they must be as many"):
        given_section(own_data(), make_tiny().data, 5, tmp_path)


def test_data_that_are_still_to_be_given():
    with pytest.raises(DataError, match="`data` names no examples; give them from Python"):
        given(None)


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"classes": None}, "no classes.npy"),
        ({"classes": np.array([1, 2])}, "classes must be two names or more, but has dtype int64"),
        ({"classes": np.array(["a"])}, "classes must be two names or more"),
        ({"y_train": np.full(54, 2)}, "y_train must be from 0 to 1"),
        ({"y_train": np.zeros(54)}, "y_train must be 54 integers"),
        ({"client_train": np.zeros(3, int)}, "client_train must be 54 integers"),
        ({"x_test": np.zeros((20, 4), np.float32)}, "x_train and x_test must be of one kind and shape"),
        ({"x_test": np.full((20, 3), np.nan, np.float32)}, "features must be finite"),
    ],
)
def test_a_file_of_another_kind_is_refused(replaced, message, tmp_path):
    path, _ = write_given(own_data(), tmp_path)
    arrays = {**np.load(path), **replaced}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DataError, match=message):
        given(str(path))
