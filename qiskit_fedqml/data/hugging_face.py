"""Datasets of Hugging Face's library ``datasets``; the one door to it, opened late."""

import hashlib
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.config.own_data import HuggingFaceData
from qiskit_fedqml.config.strict import nearest
from qiskit_fedqml.data.datasets import Dataset, Split
from qiskit_fedqml.data.decoding import READING_RULES, decode_encoded
from qiskit_fedqml.data.images import ArrayImages, Images
from qiskit_fedqml.data.location import find_data
from qiskit_fedqml.data.messages import listed, reason, shown
from qiskit_fedqml.data.splitting import stratified_split
from qiskit_fedqml.errors import DataError

Inputs = Images | NDArray[np.float32]


def hugging_face(config: HuggingFaceData, rng: np.random.Generator) -> Dataset:
    """Load a dataset of Hugging Face's library.

    Args:
        config: The `data` section. Its path is a folder that ``save_to_disk`` made, or a name on the hub.
        rng: Draws the split, class by class, where ``test_fraction`` says how much becomes test data.

    Raises:
        DataError: The library is not installed; the dataset cannot be had; a split or column is missing, or holds
            neither images nor numbers; or there are too few classes or examples.
    """
    library, found = _load(config)
    train = _split_of(found, config.train, config)
    if config.test is not None:
        test = _split_of(found, config.test, config)
        classes = _classes(train, config)
    else:
        classes = _classes(train, config)
        parts = stratified_split(_labels(train, config, classes), classes, config.test_fraction or 0.0, rng)
        train, test = (train.select(part) for part in parts)
    splits = [Split(_inputs(library, part, config), _labels(part, config, classes)) for part in (train, test)]
    widths = [s.inputs.shape[1] if isinstance(s.inputs, np.ndarray) else None for s in splits]  # None: images
    if widths[0] != widths[1]:
        raise DataError(f"{shown(config.path)}: training and test data must be of one kind and width, but they differ.")
    return Dataset(classes, splits[0], splits[1])


class EncodedImages:
    """Encoded images in a column, decoded when they are read.

    Args:
        column: Has for each example a mapping with ``bytes``, or the ``path`` of a file.
        name: What errors call the dataset.
    """

    def __init__(self, column: Any, name: str) -> None:
        self._column = column
        self._name = name

    def __len__(self) -> int:
        return len(self._column)

    def read(self, indices: NDArray[np.intp], size: int) -> NDArray[np.uint8]:
        """Return images as RGB of shape (indices, size, size, 3).

        Raises:
            DataError: One is not an image.
        """
        return np.stack(
            [decode_encoded(self._content(i), f"{self._name}, example {i},", size) for i in indices.tolist()]
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the encoded images, in order, and of the rules by which they are read.

        Raises:
            DataError: One cannot be read.
        """
        digest = hashlib.sha256(f"reading rules {READING_RULES}".encode())
        for index in range(len(self)):
            digest.update(hashlib.sha256(self._content(index)).digest())
        return digest.hexdigest()

    def _content(self, index: int) -> bytes:
        image = self._column[index]
        if image is None:
            raise DataError(f"{self._name}, example {index}, has no image.")
        try:
            return image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()
        except (OSError, TypeError) as error:
            raise DataError(f"{self._name}, example {index}, cannot be read: {reason(error)}.") from error


def _load(config: HuggingFaceData) -> tuple[Any, Any]:
    """Return the library, and the dataset or its splits."""
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"Such datasets are read by datasets: `pip install 'qiskit-fedqml[huggingface]'` ({error})."
        ) from error
    folder = None
    with suppress(DataError):
        folder = find_data(config.path)
    is_saved = folder is not None and any((folder / file).is_file() for file in ("dataset_dict.json", "state.json"))
    if is_saved and config.subset is not None:
        raise DataError("`data.subset` has no effect on a folder of save_to_disk, which holds one dataset.")
    try:
        if is_saved:
            return datasets, datasets.load_from_disk(str(folder))
        return datasets, datasets.load_dataset(config.path, config.subset)
    except Exception as error:  # of the library, of the network, or of the disk
        where = "" if folder else "; it is no folder here either, and relative ones start at $FEDQML_DATA or here"
        raise DataError(f"{shown(config.path)} cannot be had from datasets: {reason(error)}{where}.") from error


def _split_of(found: Any, name: str, config: HuggingFaceData) -> Any:
    if not isinstance(found, dict):  # one dataset, saved alone
        if config.test is not None:
            raise DataError(f"{shown(config.path)} has no splits, so `data.test_fraction` must say how to split it.")
        part = found
    elif name not in found:
        raise DataError(f"{shown(config.path)} has no split {shown(repr(name), 60)}{nearest(name, found)}")
    else:
        part = found[name]
    for column in (config.column, config.label):
        if column not in part.column_names:
            raise DataError(
                f"{shown(config.path)} has no column {shown(repr(column), 60)}{nearest(column, part.column_names)}"
            )
    if not len(part):
        raise DataError(f"{shown(config.path)}: the split {name!r} has no examples.")
    return part


def _classes(part: Any, config: HuggingFaceData) -> tuple[str, ...]:
    """Return the names of the classes that have training examples."""
    values, names = _values(part, config), getattr(part.features[config.label], "names", None)
    classes = tuple(shown(names[value] if names else value, 60) for value in sorted({*values}))
    if len(classes) < 2:
        raise DataError(
            f"{shown(config.path)} must have examples of at least two classes, but has only {listed(classes)}."
        )
    return classes


def _labels(part: Any, config: HuggingFaceData, classes: tuple[str, ...]) -> NDArray[np.int64]:
    names, index = getattr(part.features[config.label], "names", None), {name: k for k, name in enumerate(classes)}
    labels = [shown(names[value] if names else value, 60) for value in _values(part, config)]
    if unknown := sorted({*labels} - {*classes}):
        raise DataError(f"{shown(config.path)}: the training data have no examples of the classes {listed(unknown)}.")
    return np.array([index[label] for label in labels], dtype=np.int64)


def _values(part: Any, config: HuggingFaceData) -> list[str | int]:
    values = part[config.label][:]
    for position, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise DataError(
                f"{shown(config.path)}, example {position}: the label must be a whole number or text, but is "
                f"{shown(repr(value), 60)}."
            )
    return values


def _inputs(library: Any, part: Any, config: HuggingFaceData) -> Inputs:
    if isinstance(part.features[config.column], library.Image):
        encoded = part.select_columns([config.column]).cast_column(config.column, library.Image(decode=False))
        return EncodedImages(encoded[config.column], shown(config.path))
    try:
        values = np.array(part.select_columns([config.column]).with_format("numpy")[:][config.column])
    except ValueError:  # lists of several lengths
        values = np.empty(0, dtype=object)
    is_image = values.ndim == 3 or (values.ndim == 4 and values.shape[-1] in (1, 3))
    if is_image and values.size and values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= 255:
        return ArrayImages(values.astype(np.uint8))
    if values.dtype.kind not in "fiub" or values.ndim != 2 or not values.size:
        raise DataError(
            f"{shown(config.path)}: column {config.column!r} must hold images, or lists of numbers of one length, but "
            f"holds {shown(part.features[config.column], 100)}."
        )
    with np.errstate(over="ignore"):
        features = values.astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if wrong.size:
        raise DataError(
            f"{shown(config.path)}, example {wrong[0]}: {config.column} must be finite as float32, but has NaN, "
            "infinite or huge values."
        )
    return features
