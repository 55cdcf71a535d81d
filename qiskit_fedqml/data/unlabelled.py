"""Examples without labels, which a trained model classifies: image files, and files of images or ready features."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.config.data import FeaturesConfig
from qiskit_fedqml.config.text_files import read_text
from qiskit_fedqml.data.decoding import decode
from qiskit_fedqml.data.features import batch_of, open_backbone
from qiskit_fedqml.data.image_tree import images_below
from qiskit_fedqml.data.images import Images
from qiskit_fedqml.data.messages import shown
from qiskit_fedqml.data.npz import new_inputs
from qiskit_fedqml.errors import DataError

Progress = Callable[[str, int, int], None]
"""Called with what is done, how many images are done, and how many there are."""
Read = Callable[[int], NDArray[np.uint8]]
"""Gives an image as RGB, uint8 of shape (size, size, 3)."""


@dataclass
class NewExamples:
    """Examples without labels, named, and read a few at a time.

    Args:
        names: A name for each: an image file's path, or a file and the example's number in it.
        batches: Gives features, float32 of shape (examples, features), each batch with the positions of its examples
            in ``names``; those that cannot be read are in none.
        unreadable: Why an example cannot be read, by its name, as far as the batches have come.
    """

    names: tuple[str, ...]
    batches: Iterator[tuple[list[int], NDArray[np.float32]]]
    unreadable: dict[str, str] = field(default_factory=dict)


def new_images(paths: Sequence[Path], config: FeaturesConfig, progress: Progress | None = None) -> NewExamples:
    """Find image files, and let them go through a backbone.

    Args:
        paths: Image files; folders of images, with those below them; and NPZ files with images ``x``.
        config: The `features` section, with a backbone.
        progress: Called with how far the computation is.

    Raises:
        DataError: The backbone or its weights are not to be had.
    """
    unreadable: dict[str, str] = {}
    reads: dict[str, Read] = {}
    size = config.image_size or 0
    for path in paths:
        try:
            reads |= _npz_images(path, size) if path.suffix.lower() == ".npz" else _image_files(path, size)
        except DataError as error:
            unreadable[str(path)] = str(error)
    names = (*reads, *(name for name in unreadable if name not in reads))
    batches = _features(list(reads.items()), config, unreadable, progress) if reads else iter(())
    return NewExamples(names, batches, unreadable)


def new_features(paths: Sequence[Path], num_features: int) -> NewExamples:
    """Read files of ready features.

    Args:
        paths: NPZ files with features ``x``, and CSV files with a column for each feature.
        num_features: Number of features of an example.
    """
    unreadable: dict[str, str] = {}
    names: list[str] = []
    found: list[tuple[list[int], NDArray[np.float32]]] = []
    for path in paths:
        try:
            features = _ready_features(path, num_features)
        except DataError as error:
            unreadable[str(path)] = str(error)
            continue
        found.append(([*range(len(names), len(names) + len(features))], features))
        names += [f"{path}[{row}]" for row in range(len(features))]
    return NewExamples((*names, *unreadable), iter(found), unreadable)


def _image_files(path: Path, size: int) -> dict[str, Read]:
    """Return an image file, or those of a folder and below, by their paths.

    Raises:
        DataError: A folder holds none, or cannot be read.
    """
    if not path.is_dir():
        return {str(path): lambda size, path=path: decode(path, size).pixels}  # type: ignore[misc]
    files, _ = images_below(path)
    if not files:
        raise DataError(f"{shown(path)} holds no images (.jpg, .png, .tif, …).")
    return {str(file): lambda size, file=file: decode(file, size).pixels for file in files.values()}  # type: ignore[misc]


def _npz_images(path: Path, size: int) -> dict[str, Read]:
    inputs = new_inputs(path)
    if isinstance(inputs, np.ndarray):
        raise DataError(f"{shown(path)} holds features, but the model was trained on images.")

    def image(row: int, images: Images = inputs) -> Read:
        return lambda size: images.read(np.array([row]), size)[0]

    return {f"{path}[{row}]": image(row) for row in range(len(inputs))}


def _features(
    reads: Sequence[tuple[str, Read]],
    config: FeaturesConfig,
    unreadable: dict[str, str],
    progress: Progress | None,
) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
    backbone, size, step = open_backbone(config), config.image_size or 0, batch_of(config)
    for start in range(0, len(reads), step):
        positions, pixels = list[int](), list[NDArray[np.uint8]]()
        for position in range(start, min(start + step, len(reads))):
            name, read = reads[position]
            try:
                pixels.append(read(size))
                positions.append(position)
            except DataError as error:
                unreadable[name] = str(error)
        if positions:
            yield positions, backbone(np.stack(pixels))
        if progress:
            progress(f"{config.backbone} features", min(start + step, len(reads)), len(reads))


def _ready_features(path: Path, num_features: int) -> NDArray[np.float32]:
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".csv"):
        raise DataError(f"{shown(path)}: the model was trained on ready features, so it takes .npz and .csv files.")
    features = _csv_features(path) if suffix == ".csv" else new_inputs(path)
    if not isinstance(features, np.ndarray):
        raise DataError(f"{shown(path)} holds images, but the model was trained on ready features.")
    check_width(features, num_features, shown(path))
    return features


def check_width(features: NDArray[np.float32], num_features: int, what: str) -> None:
    """Check that examples have as many features as a model takes.

    Raises:
        DataError: They have not.
    """
    if features.shape[1] != num_features:
        raise DataError(f"{what} must have {num_features} features for each example, but has {features.shape[1]}.")


def _csv_features(path: Path) -> NDArray[np.float32]:
    """Return the numbers of a CSV file, whose first line may name the columns.

    Raises:
        DataError: It cannot be read, is empty, has lines of different lengths, or values that are no finite numbers.
    """
    lines = [line for line in csv.reader(io.StringIO(read_text(path, DataError))) if line]
    first = 1 if lines and not any(_is_number(cell) for cell in lines[0]) else 0
    rows = lines[first:]
    if not rows:
        raise DataError(f"{shown(path)} holds no lines of numbers.")
    for number, line in enumerate(rows, start=1):
        if len(line) != len(rows[0]):
            raise DataError(f"{shown(path)}: example {number} has {len(line)} values, but the first {len(rows[0])}.")
        wrong = next((cell for cell in line if not _is_number(cell)), None)
        if wrong is not None:
            raise DataError(f"{shown(path)}: example {number} has the value {shown(repr(wrong), 60)}, no number.")
    with np.errstate(over="ignore"):
        features = np.array(rows, dtype=np.float64).astype(np.float32)
    if not np.isfinite(features).all():
        raise DataError(f"{shown(path)}: values must be finite as float32, but there are NaN, infinite or huge ones.")
    return features


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
