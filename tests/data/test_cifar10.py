from tarfile import ReadError

import numpy as np
import pytest

from qiskit_fedqml.data.cifar10 import cifar10
from qiskit_fedqml.errors import DataError

FILES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]


@pytest.fixture
def records(here):
    folder = here / "data" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
    labels = np.array([0, 1, 2, 1, 0, 9], dtype=np.uint8)
    records = np.concatenate([labels[:, None], images.reshape(6, -1)], axis=1)
    for name in FILES:
        records.tofile(folder / name)
    return folder, records


def test_cifar10_reads_the_binary_version(records):
    data = cifar10("data", (1, 0), download=False)
    assert data.classes == ("automobile", "airplane")
    assert (len(data.train), len(data.test)) == (20, 4)
    np.testing.assert_array_equal(data.test.labels, [1, 0, 0, 1])
    first = records[1][0, 1:].reshape(3, 32, 32).transpose(1, 2, 0)
    np.testing.assert_array_equal(data.test.inputs.read(np.array([0]), 32)[0], first)


def test_damaged_cifar10(records):
    folder, sound = records
    with pytest.raises(DataError, match="from 0 to 9, but got 11"):
        cifar10("data", (0, 11), download=False)
    with pytest.raises(DataError, match=r"training examples, but \['bird', 'cat'\]|\['cat'\] have none"):
        cifar10("data", (2, 3), download=False)
    damaged = sound.copy()
    damaged[3, 0] = 200
    damaged.tofile(folder / "test_batch.bin")
    with pytest.raises(DataError, match=r"test_batch.bin must have classes from 0 to 9, but has 200"):
        cifar10("data", (0, 1), download=False)
    (folder / "test_batch.bin").write_bytes(b"abc")
    with pytest.raises(DataError, match="records of 3073 bytes, but has 3"):
        cifar10("data", (0, 1), download=False)
    (folder / "test_batch.bin").unlink()
    with pytest.raises(DataError, match=r"test_batch.bin cannot be read: No such file"):
        cifar10("data", (0, 1), download=False)
    with pytest.raises(DataError, match="download: true"):
        cifar10("other", (0, 1), download=False)


@pytest.mark.parametrize("error", [OSError("no network"), RuntimeError("corrupted"), ReadError("no tar"), EOFError()])
def test_downloads_that_fail(here, monkeypatch, error):
    utils = pytest.importorskip("torchvision.datasets.utils", exc_type=(ImportError, RuntimeError))

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(utils, "download_and_extract_archive", fail)
    with pytest.raises(DataError, match="CIFAR-10 could not be downloaded to data: (no|corrupted|EOFError)"):
        cifar10("data", (0, 1), download=True)
