import shutil

import numpy as np
import pytest

from qiskit_fedqml.data.image_folder import image_folder
from qiskit_fedqml.errors import DataError
from tests.data.samples import save_images


def load(test_fraction=None, seed=0):
    return image_folder("pets", test_fraction, np.random.default_rng(seed))


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Train", "Test"), ("TRAIN", "test")])
def test_train_and_test_folders(here, train, test):
    save_images(here / "pets" / train, ["cat", "dog"], 3)
    save_images(here / "pets" / test, ["cat", "dog"], 2, colour=9)
    data = load()
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.test)) == (6, 4)
    np.testing.assert_array_equal(data.train.inputs.read(np.array([4]), 8)[0, 3, 3], [100, 0, 1])
    with pytest.raises(DataError, match="must not be given"):
        load(0.5)


def test_folders_beside_train_and_test_are_named(here, caplog):
    for split in ("train", "test", "val"):
        save_images(here / "pets" / split, ["cat", "dog"], 1)
    load()
    assert "left out the folders ['val'] next to train and test" in caplog.text


def test_class_folders_are_split_class_by_class(here):
    save_images(here / "pets", ["cat", "dog"], 5)
    shutil.rmtree(here / "pets" / "dog")
    save_images(here / "pets", ["dog"], 20, colour=50)
    for seed in range(20):
        data = load(0.2, seed)
        np.testing.assert_array_equal(np.bincount(data.train.labels), [4, 16])
        np.testing.assert_array_equal(np.bincount(data.test.labels), [1, 4])
        colours = [
            tuple(s.inputs.read(np.array([i]), 8)[0, 0, 0]) for s in (data.train, data.test) for i in range(len(s))
        ]
        assert len(set(colours)) == 25
    with pytest.raises(DataError, match="must say how to split"):
        load()


def test_a_class_with_too_few_images(here):
    save_images(here / "pets", ["cat", "dog"], 1)
    with pytest.raises(DataError, match="Class 'cat' must have at least two examples"):
        load(0.25)


@pytest.mark.parametrize(
    "names", [("train", "val"), ("Training", "Testing"), ("train", "valid", "notes"), ("test", "dev")]
)
def test_splits_are_no_classes(here, names):
    for name in names:
        save_images(here / "pets" / name, ["cat", "dog"], 3)
    with pytest.raises(DataError, match="which are splits and no classes"):
        load(0.25)


def test_a_split_alone_is_no_class_but_a_railway_train_is(here):
    save_images(here / "pets" / "train", ["cat", "dog"], 3)
    save_images(here / "pets", ["other"], 3)
    with pytest.raises(DataError, match=r"has \['train'\], which are splits"):
        load(0.25)
    shutil.rmtree(here / "pets")
    save_images(here / "pets", ["car", "train"], 3)
    assert load(0.25).classes == ("car", "train")


def test_classes_that_differ_between_train_and_test(here):
    save_images(here / "pets" / "train", ["cat", "dog"], 1)
    save_images(here / "pets" / "test", ["cat", "cow"], 1)
    with pytest.raises(DataError, match=r"the same classes in train and test, but only train has \['dog'\]"):
        load()
    shutil.rmtree(here / "pets" / "test")
    save_images(here / "pets" / "test", ["cat", "dog", *(f"class {i}" for i in range(50))], 1)
    with pytest.raises(DataError, match=r"only test has \['class 0', .* … 42 more\]"):
        load()


def test_no_file_is_in_training_and_in_test_data(here):
    save_images(here / "pets" / "train", ["cat", "dog"], 2)
    (here / "pets" / "test").symlink_to(here / "pets" / "train")
    with pytest.raises(DataError, match="are one file, in training and in test data"):
        load()


def test_ambiguous_splits(here):
    for split in ("train", "Train", "test"):
        save_images(here / "pets" / split, ["cat", "dog"], 2)
    with pytest.raises(DataError, match=r"must have one of \['Train', 'train'\]"):
        load()
