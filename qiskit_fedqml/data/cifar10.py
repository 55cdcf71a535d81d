"""CIFAR-10 in its binary version."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.data.datasets import Dataset, Split, check_known, choose
from qiskit_fedqml.data.images import ArrayImages
from qiskit_fedqml.data.location import find_data
from qiskit_fedqml.data.messages import reason, shown
from qiskit_fedqml.data.vision import import_torchvision
from qiskit_fedqml.errors import DataError

_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_TRAINING = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
_TEST = ("test_batch.bin",)
_FOLDER = "cifar-10-batches-bin"
_ARCHIVE = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
_RECORD = 1 + 3 * 32 * 32
"""Bytes of an image: its class, then its red, green and blue pixels."""


def cifar10(path: str, classes: tuple[int, ...], download: bool) -> Dataset:
    """Load CIFAR-10 (Krizhevsky, 2009) in its binary version, in the official split.

    The binary version is read because its Python version is made of pickles, which this package doesn't load.

    Args:
        path: The folder that holds, or will hold, ``cifar-10-batches-bin``.
        classes: The classes to take: 0 airplane, 1 automobile, …, 9 truck.
        download: Whether torchvision may download the data.

    Raises:
        DataError: The data is not there, or damaged.
    """
    check_known(classes, len(_NAMES))
    folder = _folder(path, download)
    splits = []
    for files in (_TRAINING, _TEST):
        raw = np.concatenate([_records(folder / file) for file in files])
        chosen, labels = choose(raw[:, 0], classes)
        pixels = raw[chosen, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        splits.append(Split(ArrayImages(np.ascontiguousarray(pixels)), labels))
    return Dataset(tuple(_NAMES[c] for c in classes), *splits)


def _folder(path: str, download: bool) -> Path:
    try:
        return find_data(str(Path(path) / _FOLDER))
    except DataError as error:
        if not download:
            raise DataError(f"{error} `data.download: true` lets torchvision download it.") from None
    import_torchvision()
    from torchvision.datasets.utils import download_and_extract_archive

    root = Path(os.environ.get("FEDQML_DATA", ".")) / path
    try:
        download_and_extract_archive(_ARCHIVE, str(root), md5=_MD5)
    except Exception as error:  # of the network, of the archive, or of the disk: urllib, tarfile and torchvision
        raise DataError(f"CIFAR-10 could not be downloaded to {shown(root)}: {reason(error)}.") from error
    return root / _FOLDER


def _records(file: Path) -> NDArray[np.uint8]:
    try:
        raw = np.fromfile(file, dtype=np.uint8)
    except (OSError, MemoryError) as error:
        raise DataError(f"{shown(file)} cannot be read: {reason(error)}.") from error
    if not raw.size or raw.size % _RECORD:
        raise DataError(f"{shown(file)} must consist of records of {_RECORD} bytes, but has {raw.size} bytes.")
    records = raw.reshape(-1, _RECORD)
    if records[:, 0].max() >= len(_NAMES):
        raise DataError(f"{shown(file)} must have classes from 0 to 9, but has {records[:, 0].max()}.")
    return records
