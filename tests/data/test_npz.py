import io
import os
import zipfile

import numpy as np
import pytest

from qiskit_fedqml.data.images import ArrayImages
from qiskit_fedqml.data.npz import npz, own_examples
from qiskit_fedqml.errors import DataError
from tests.data.samples import save_npz

SIX = np.array([0, 7, 0, 7, 3, 3])


def test_images_and_classes(here):
    arrays = save_npz(here / "d.npz")
    data = npz("d.npz", (7, 0))
    np.testing.assert_array_equal(data.train.labels, [1, 0, 1, 0])
    np.testing.assert_array_equal(data.test.labels, [0, 1])
    pixels = data.train.inputs.read(np.array([1, 2]), 5)
    assert pixels.shape == (2, 5, 5, 3)
    assert npz("d.npz", None).classes == ("0", "3", "7")
    square = ArrayImages(arrays["x_train"][:, :4])
    np.testing.assert_array_equal(square.read(np.array([0]), 4), arrays["x_train"][:1, :4])


@pytest.mark.parametrize("dtype", ["f2", "<f4", ">f4", "f8", "g"])
def test_features_of_any_float(here, dtype):
    values = np.arange(54).reshape(6, 9)
    save_npz(here / "f.npz", x_train=np.asfortranarray(values.astype(dtype)), x_test=np.ones((3, 9), dtype))
    features = npz("f.npz", None).train.inputs
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, values)


@pytest.mark.parametrize("dtype", ["i1", "u8", ">i4"])
def test_labels_of_any_integer(here, dtype):
    save_npz(here / "d.npz", y_train=SIX.astype(dtype))
    assert npz("d.npz", None).classes == ("0", "3", "7")


def test_compressed_files_give_the_same_values(here):
    arrays = save_npz(here / "d.npz")
    np.savez_compressed(here / "c.npz", **arrays)
    plain, compressed = (npz(name, None).train.inputs for name in ("d.npz", "c.npz"))
    assert plain.fingerprint == compressed.fingerprint


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"y_test": None}, "must be an NPZ file of x_train.*but no y_test.npy"),
        ({"y_train": np.zeros(5, dtype=int)}, r"y_train must be 6 integers, but has shape \(5,\)"),
        ({"y_train": np.zeros((6, 1), dtype=int)}, r"shape \(6, 1\)"),
        ({"y_train": np.zeros(6)}, "dtype float64"),
        ({"y_train": np.where(SIX, np.nan, 0)}, "y_train must be 6 integers.*dtype float64"),
        ({"y_train": np.where(SIX, np.inf, 0)}, "y_train must be 6 integers.*dtype float64"),
        ({"y_train": SIX > 0}, "dtype bool"),
        ({"y_train": np.array(["a", "b"] * 3)}, "y_train must be 6 integers.*dtype <U1"),
        ({"y_train": np.array(["2020-01-01"] * 6, "M8[D]")}, r"dtype datetime64\[D\]"),
        ({"y_train": np.zeros(6, [(f"field_{i}", int) for i in range(99)])}, "y_train must be 6 integers"),
        ({"x_train": np.float32(1)}, r"x_train must be uint8 images .* shape \(\)"),
        ({"x_test": np.zeros((3, 2, 2, 2, 2))}, r"x_test must be uint8 images .* shape \(3, 2, 2, 2, 2\)"),
        ({"x_test": np.zeros((3, 2, 2))}, r"x_test must be uint8 .* dtype float64"),
        ({"x_train": np.zeros((6, 4, 4, 4), np.uint8)}, r"shape \(6, 4, 4, 4\)"),
        ({"x_train": np.zeros((6, 0, 5, 3), np.uint8)}, r"shape \(6, 0, 5, 3\)"),
        ({"x_train": np.zeros((6, 5, 5), np.uint16)}, "dtype uint16"),
        ({"x_train": np.zeros((6, 5), complex)}, "dtype complex128"),
        ({"x_train": np.zeros((0, 5)), "y_train": np.zeros(0, int)}, r"shape \(0, 5\)"),
        ({"x_train": np.full((6, 9), np.nan), "x_test": np.ones((3, 9))}, "x_train must be finite"),
        ({"x_train": np.full((6, 9), 1e300), "x_test": np.ones((3, 9))}, "x_train must be finite as float32"),
        ({"y_test": np.array([0, 0, 0])}, "y_test must have examples of class 3"),
        ({"y_test": np.array([0, 3, 7]), "x_test": np.ones((3, 9))}, "of one kind and width"),
        ({"x_train": np.ones((6, 4)), "x_test": np.ones((3, 9))}, "of one kind and width"),
        ({"x_train": np.ones((6, 0)), "x_test": np.ones((3, 0))}, r"shape \(6, 0\)"),
        ({"y_train": np.zeros(6, dtype=int), "y_test": np.zeros(3, dtype=int)}, "at least two classes"),
        ({"y_train": np.array([0, 7, 0, 7, 7, 7])}, "y_test has examples of class 3, but y_train has only"),
        ({"x_train": np.array([{"a": 1}] * 6, dtype=object)}, "x_train is made of Python objects"),
    ],
)
def test_malformed_arrays(here, replaced, message):
    save_npz(here / "d.npz", **replaced)
    with pytest.raises(DataError, match=message) as caught:
        npz("d.npz", None)
    assert len(str(caught.value)) < 400


def test_a_class_that_is_asked_for_and_missing(here):
    save_npz(here / "d.npz")
    with pytest.raises(DataError, match=r"y_train must have examples of class 10{30}, but has only \[0, 3, 7\]"):
        npz("d.npz", (0, 10**30))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x93NUMPY", b"PK\x05\x06" + 18 * b"\0"])
def test_files_that_are_no_npz(here, content):
    (here / "d.npz").write_bytes(content)
    with pytest.raises(DataError, match="must be an NPZ file"):
        npz("d.npz", None)
    np.save(here / "array.npy", np.zeros(3))
    with pytest.raises(DataError, match="must be an NPZ file"):
        npz("array.npy", None)
    with pytest.raises(DataError, match="must be an NPZ file.*it is a folder"):
        npz(".", None)


@pytest.mark.parametrize("read", [lambda path: npz(path, None), lambda path: own_examples(path, 2)])
def test_a_device_and_a_pipe_are_refused_before_they_are_read(here, read):
    os.mkfifo(here / "pipe")
    for path in ("/dev/zero", "pipe"):
        with pytest.raises(DataError, match="must be an NPZ file.*it is not a file"):
            read(path)


def header(text, version=b"\x01\x00"):
    padded = text.encode("latin1") + b"\n"
    return b"\x93NUMPY" + version + len(padded).to_bytes(2, "little") + padded


def with_member(here, content, name="x_train"):
    """Write a sound NPZ file, but with this content of one array."""
    save_npz(here / "d.npz", **{name: None})
    with zipfile.ZipFile(here / "d.npz", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.npy", content)
    return here / "d.npz"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x_train"),
        (b"\x93NUMPY\x01\x00", "x_train"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (6,")[:-1], "x_train"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (6, 'a')}"), "x_train"),
        (header("{'descr': 'no dtype', 'fortran_order': False, 'shape': (6, 5)}"), "x_train"),
        (header("{'descr': '|u1', 'shape': (6, 5)}"), "x_train"),
        (header("[" * 5000), "x_train"),
        (header("__import__('os').system('false')"), "x_train"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (6, 5)}", b"\x03\x00") + 30 * b"\0", "x_train"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (6, 5)}", b"\x09\x00"), "x_train"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (6, 5, 5)}") + 30 * b"\0", "holds 30 bytes"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (6, 5, 5)}") + 300 * b"\0", "holds 300 bytes"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (-6, -5)}") + 30 * b"\0", "do not fit shape"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (10**15, 8)}"), "x_train"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 8)}"), "do not fit shape"),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (6,)}") + b"cos\nsystem\n", "Python objects"),
    ],
)
def test_headers_that_are_not_true(here, content, message):
    with pytest.raises(DataError, match=f"must be an NPZ file of x_train, y_train.*: .*{message}"):
        npz(str(with_member(here, content)), None)


def test_arrays_larger_than_memory_are_refused_before_they_are_allocated(here, monkeypatch):
    save_npz(here / "d.npz")
    monkeypatch.setattr("qiskit_fedqml.simulation.memory.memory_bytes", lambda: 300)
    monkeypatch.setattr("numpy.lib.format.read_array", None)
    with pytest.raises(DataError, match=r"d.npz need at least .* GiB of memory, but this computer has"):
        npz("d.npz", None)


def test_archives_damaged_in_any_byte_are_refused_or_unharmed(here):
    save_npz(here / "d.npz", x_train=np.arange(12).reshape(6, 2) / 7, x_test=np.ones((3, 2)))
    sound, content = npz("d.npz", None), (here / "d.npz").read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(content), 150):
        damaged = bytearray(content)
        damaged[position] ^= 1 << rng.integers(8)
        (here / "damaged.npz").write_bytes(damaged)
        try:
            data = npz("damaged.npz", None)
        except DataError:
            continue
        for split, other in ((data.train, sound.train), (data.test, sound.test)):
            np.testing.assert_array_equal(split.inputs, other.inputs)
            np.testing.assert_array_equal(split.labels, other.labels)


def test_archives_with_a_password(here):
    content = io.BytesIO()
    np.savez(content, x_train=np.zeros((6, 5)))
    damaged = bytearray(content.getvalue())
    damaged[6] |= 1  # the flag for a password, in the local header and in the directory
    damaged[damaged.index(b"PK\x01\x02") + 8] |= 1
    (here / "d.npz").write_bytes(damaged)
    with pytest.raises(DataError, match="must be an NPZ file"):
        npz("d.npz", None)


def test_time_differences_are_no_labels(tmp_path):
    arrays = {"x_train": np.ones((4, 2)), "x_test": np.ones((4, 2)), "y_train": np.arange(4) % 2}
    np.savez(tmp_path / "d.npz", **arrays, y_test=(np.arange(4) % 2).astype("m8[s]"))
    with pytest.raises(DataError, match="y_test must be 4 integers"):
        npz(str(tmp_path / "d.npz"), None)
