"""Datasets of Hugging Face's library, saved to a folder; the hub itself cannot be reached in tests."""

import sys

import numpy as np
import pytest
from PIL import Image

from qiskit_fedqml.config.own_data import HuggingFaceData
from qiskit_fedqml.data.hugging_face import EncodedImages, hugging_face
from qiskit_fedqml.data.images import FileImages
from qiskit_fedqml.errors import DataError

NAMES = ["cat", "dog", "eel"]


def load(**keys):
    split = {} if "test_fraction" in keys else {"test": "test"}
    config = HuggingFaceData(**{"dataset": "huggingface", "path": "saved", "column": "image", **split, **keys})
    return hugging_face(config, np.random.default_rng(0))


@pytest.fixture
def library():
    return pytest.importorskip("datasets")


@pytest.fixture
def saved(library, here):
    """A folder of save_to_disk with images of several sizes, numbers, and labels of several kinds."""
    rng = np.random.default_rng(0)

    def part(name, count):
        pictures = [Image.fromarray(rng.integers(0, 256, (9 + k, 8, 3), np.uint8)) for k in range(count)]
        for k, picture in enumerate(pictures):
            picture.save(here / f"{name}-{k}.png")
        columns = {
            "image": [str(here / f"{name}-{k}.png") for k in range(count)],
            "numbers": rng.normal(size=(count, 4)).tolist(),
            "ragged": [[1.0] * (1 + k % 2) for k in range(count)],
            "broken": [[float("nan") if k == 1 else 1.0] for k in range(count)],
            "grey": rng.integers(0, 256, (count, 5, 6)).tolist(),
            "label": [k % 2 for k in range(count)],
            "word": [["b", "a"][k % 2] for k in range(count)],
            "part": [k / 2 for k in range(count)],
        }
        types = {key: library.Dataset.from_dict({key: values}).features[key] for key, values in columns.items()}
        types |= {"image": library.Image(), "label": library.ClassLabel(names=NAMES)}
        types["grey"] = library.Array2D((5, 6), "uint8")
        return library.Dataset.from_dict(columns, features=library.Features(types))

    library.DatasetDict({"train": part("train", 6), "test": part("test", 4)}).save_to_disk(here / "saved")
    part("alone", 6).save_to_disk(here / "alone")
    return here


def test_images_are_read_as_those_of_files_are(saved):
    dataset = load()
    assert dataset.classes == ("cat", "dog")  # eels have no examples
    assert dataset.train.labels.tolist() == [0, 1] * 3
    files = FileImages([saved / f"train-{k}.png" for k in range(6)])
    np.testing.assert_array_equal(dataset.train.inputs.read(np.arange(6), 7), files.read(np.arange(6), 7))
    assert dataset.train.inputs.fingerprint == load().train.inputs.fingerprint
    assert dataset.train.inputs.fingerprint != dataset.test.inputs.fingerprint
    assert len(dataset.test.inputs) == 4


def test_numbers_and_words(saved):
    dataset = load(column="numbers", label="word")
    assert dataset.classes == ("a", "b")
    assert dataset.train.labels.tolist() == [1, 0] * 3
    assert dataset.train.inputs.dtype == np.float32
    assert dataset.test.inputs.shape == (4, 4)


def test_grey_arrays_are_images(saved):
    assert load(column="grey").train.inputs.read(np.arange(2), 5).shape == (2, 5, 5, 3)


def test_a_dataset_without_splits_is_split_class_by_class(saved):
    dataset = load(path="alone", test_fraction=0.4, column="numbers")
    assert np.bincount(dataset.test.labels).tolist() == [1, 1]
    assert len(dataset.train) == 4


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"train": "trian"}, "saved has no split 'trian'; did you mean 'train'"),
        ({"label": "lable"}, "saved has no column 'lable'; did you mean 'label'"),
        ({"column": "ragged"}, "column 'ragged' must hold images, or lists of numbers of one length, but holds List"),
        ({"column": "word"}, "column 'word' must hold images"),
        ({"column": "broken"}, "saved, example 1: broken must be finite"),
        (
            {"column": "numbers", "label": "part"},
            "example 0: the label must be a whole number or text, but is 0.0",
        ),
        ({"path": "alone"}, "alone has no splits, so `data.test_fraction` must say how to split it"),
        ({"subset": "en"}, "`data.subset` has no effect on a folder of save_to_disk"),
    ],
)
def test_what_is_wrong_is_named(saved, keys, message):
    with pytest.raises(DataError, match=message):
        load(**keys)


def test_what_the_library_says_of_the_hub_is_passed_on(library, here, monkeypatch):
    def load_dataset(path, name):
        raise ConnectionError(f"Couldn't reach {path!r}, subset {name!r}")

    monkeypatch.setattr(library, "load_dataset", load_dataset)
    with pytest.raises(DataError, match="cannot be had from datasets: Couldn't reach 'beans', subset 'en'; it is no"):
        load(path="beans", subset="en")


def test_a_damaged_image_is_named(library, here):
    data = library.Dataset.from_dict({"image": [{"bytes": b"no image", "path": None}] * 6, "label": [0, 1] * 3})
    data.cast_column("image", library.Image()).save_to_disk(here / "saved")
    with pytest.raises(DataError, match=r"saved, example 0, cannot be read as an image: it is damaged"):
        load(test_fraction=0.4).train.inputs.read(np.array([0]), 4)
    images = EncodedImages([{"bytes": None, "path": str(here / "gone.png")}, None], "saved")
    with pytest.raises(DataError, match="saved, example 0, cannot be read: No such file"):
        _ = images.fingerprint
    with pytest.raises(DataError, match="saved, example 1, has no image"):
        images.read(np.array([1]), 4)


def test_without_the_library_the_extra_is_named(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'qiskit-fedqml\[huggingface\]'"):
        load()
