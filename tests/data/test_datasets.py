import numpy as np
import pytest
from PIL import Image

from qiskit_fedqml.data import datasets
from qiskit_fedqml.data.images import ArrayImages, FileImages
from qiskit_fedqml.data.loading import cut_validation
from qiskit_fedqml.errors import DataError


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.delenv("FEDQML_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save_npz(path, **replaced):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8),
        "y_train": np.array([0, 7, 0, 7, 3, 3]),
        "x_test": rng.integers(0, 256, (3, 5, 4, 3), dtype=np.uint8),
        "y_test": np.array([7, 0, 3]),
        **replaced,
    }
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return arrays


def save_images(root, names, count, colour=0):
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (6, 8), (100 * label, colour, i)).save(root / name / f"{i}.png")


def test_digits_are_split_disjointly():
    data = datasets.digits((3, 8), 0.25, np.random.default_rng(0))
    assert data.classes == ("3", "8")
    assert len(data.test) == round(0.25 * (len(data.train) + len(data.test)))
    rows = np.concatenate([data.train.inputs, data.test.inputs])
    reference = datasets.digits((3, 8), 0.5, np.random.default_rng(1))
    everything = np.concatenate([reference.train.inputs, reference.test.inputs])
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], everything[np.lexsort(everything.T)])
    assert rows.max() == 1
    assert set(data.train.labels) == {0, 1}


def test_npz_images_and_classes(here):
    arrays = save_npz(here / "d.npz")
    data = datasets.npz("d.npz", (7, 0))
    np.testing.assert_array_equal(data.train.labels, [1, 0, 1, 0])
    np.testing.assert_array_equal(data.test.labels, [0, 1])
    pixels = data.train.inputs.read(np.array([1, 2]), 5)
    assert pixels.shape == (2, 5, 5, 3)
    assert datasets.npz("d.npz", None).classes == ("0", "3", "7")
    square = ArrayImages(arrays["x_train"][:, :4])
    np.testing.assert_array_equal(square.read(np.array([0]), 4), arrays["x_train"][:1, :4])


def test_npz_features_and_grey_images(here):
    save_npz(here / "f.npz", x_train=np.ones((6, 9)), x_test=np.ones((3, 9)))
    assert datasets.npz("f.npz", None).train.inputs.dtype == np.float32
    grey = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    read = ArrayImages(grey).read(np.array([0]), 4)
    np.testing.assert_array_equal(read[0, :, :, 0], grey[0])
    np.testing.assert_array_equal(read[0, :, :, 2], grey[0])


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"y_test": None}, "must be an NPZ file of x_train"),
        ({"y_train": np.zeros(5, dtype=int)}, r"y_train must be 6 integers, but has shape \(5,\)"),
        ({"y_train": np.zeros(6)}, "dtype float64"),
        ({"x_test": np.zeros((3, 2, 2, 2, 2))}, r"x_test must be uint8 images .* shape \(3, 2, 2, 2, 2\)"),
        ({"x_train": np.full((6, 9), np.nan), "x_test": np.ones((3, 9))}, "x_train must be finite"),
        ({"y_test": np.array([0, 0, 0])}, "y_test must have examples of class 3"),
        ({"y_test": np.array([0, 3, 7]), "x_test": np.ones((3, 9))}, "of one kind and width"),
        ({"x_train": np.ones((6, 4)), "x_test": np.ones((3, 9))}, "of one kind and width"),
        ({"x_train": np.ones((6, 0)), "x_test": np.ones((3, 0))}, r"shape \(6, 0\)"),
        ({"y_train": np.zeros(6, dtype=int), "y_test": np.zeros(3, dtype=int)}, "at least two classes"),
        ({"y_train": np.array([0, 7, 0, 7, 7, 7])}, "y_test has examples of class 3, but y_train has only"),
        ({"x_train": np.array([{"a": 1}] * 6, dtype=object)}, "must be an NPZ file"),
    ],
)
def test_malformed_npz(here, replaced, message):
    save_npz(here / "d.npz", **replaced)
    with pytest.raises(DataError, match=message):
        datasets.npz("d.npz", None)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x93NUMPY"])
def test_files_that_are_no_npz(here, content):
    (here / "d.npz").write_bytes(content)
    with pytest.raises(DataError, match="must be an NPZ file"):
        datasets.npz("d.npz", None)
    np.save(here / "array.npy", np.zeros(3))
    with pytest.raises(DataError, match="must be an NPZ file"):
        datasets.npz("array.npy", None)


def test_missing_data_names_where_it_was_looked_for(here, monkeypatch):
    with pytest.raises(DataError, match="FEDQML_DATA can name another folder"):
        datasets.npz("none.npz", None)
    monkeypatch.setenv("FEDQML_DATA", str(here / "elsewhere"))
    with pytest.raises(DataError, match="elsewhere"):
        datasets.npz("none.npz", None)
    (here / "elsewhere").mkdir()
    save_npz(here / "elsewhere" / "d.npz")
    assert len(datasets.npz("d.npz", None).train) == 6


def test_image_folder_with_train_and_test(here):
    save_images(here / "pets" / "train", ["cat", "dog"], 3)
    save_images(here / "pets" / "test", ["cat", "dog"], 2, colour=9)
    data = datasets.image_folder("pets", None, np.random.default_rng(0))
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.test)) == (6, 4)
    np.testing.assert_array_equal(data.train.inputs.read(np.array([4]), 8)[0, 3, 3], [100, 0, 1])
    with pytest.raises(DataError, match="must not be given"):
        datasets.image_folder("pets", 0.5, np.random.default_rng(0))


def test_image_folder_is_split_where_it_has_no_test_folder(here):
    save_images(here / "pets", ["cat", "dog"], 5)
    data = datasets.image_folder("pets", 0.3, np.random.default_rng(0))
    assert (len(data.train), len(data.test)) == (7, 3)
    pixels = [tuple(s.inputs.read(np.array([i]), 8)[0, 0, 0]) for s in (data.train, data.test) for i in range(len(s))]
    assert len(set(pixels)) == 10
    with pytest.raises(DataError, match="must say how to split"):
        datasets.image_folder("pets", None, np.random.default_rng(0))


def test_damaged_image_folders(here):
    save_images(here / "pets" / "train", ["cat", "dog"], 1)
    save_images(here / "pets" / "test", ["cat", "cow"], 1)
    with pytest.raises(DataError, match="same classes"):
        datasets.image_folder("pets", None, np.random.default_rng(0))
    (here / "one" / "only").mkdir(parents=True)
    with pytest.raises(DataError, match="at least two classes"):
        datasets.image_folder("one", 0.5, np.random.default_rng(0))
    (here / "one" / "other").mkdir()
    with pytest.raises(DataError, match="holds none"):
        datasets.image_folder("one", 0.5, np.random.default_rng(0))
    (here / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"text\.png cannot be read as an image"):
        FileImages([here / "text.png"]).read(np.array([0]), 8)


def test_fingerprints_follow_content(here):
    arrays = save_npz(here / "d.npz")
    first = ArrayImages(arrays["x_train"]).fingerprint
    changed = arrays["x_train"].copy()
    changed[0, 0, 0, 0] ^= 1
    assert ArrayImages(changed).fingerprint != first
    assert ArrayImages(arrays["x_train"].copy()).fingerprint == first
    save_images(here / "a", ["x", "y"], 1)
    paths = sorted((here / "a").rglob("*.png"))
    assert FileImages(paths).fingerprint != FileImages(paths[::-1]).fingerprint


def test_cifar10_reads_the_binary_version(here):
    folder = here / "data" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
    labels = np.array([0, 1, 2, 1, 0, 9], dtype=np.uint8)
    records = np.concatenate([labels[:, None], images.reshape(6, -1)], axis=1)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        records.tofile(folder / name)
    data = datasets.cifar10("data", (1, 0), download=False)
    assert data.classes == ("automobile", "airplane")
    assert (len(data.train), len(data.test)) == (20, 4)
    np.testing.assert_array_equal(data.test.labels, [1, 0, 0, 1])
    np.testing.assert_array_equal(data.test.inputs.read(np.array([0]), 32)[0], images[0].transpose(1, 2, 0))
    with pytest.raises(DataError, match="from 0 to 9, but got 11"):
        datasets.cifar10("data", (0, 11), download=False)
    (folder / "test_batch.bin").write_bytes(b"abc")
    with pytest.raises(DataError, match="records of 3073 bytes, but has 3"):
        datasets.cifar10("data", (0, 1), download=False)
    with pytest.raises(DataError, match="download: true"):
        datasets.cifar10("other", (0, 1), download=False)


def test_validation_is_cut_from_the_training_data():
    kept, validation = cut_validation(10, 0.3, seed=1)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, validation])), np.arange(10))
    assert len(validation) == 3
    assert len(cut_validation(10, 0.0, seed=1)[1]) == 0
    with pytest.raises(DataError, match="leaves a part empty"):
        cut_validation(3, 0.05, seed=1)
