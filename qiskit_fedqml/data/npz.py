"""NPZ files: their arrays' headers are checked before anything is allocated, and nothing in them is unpickled."""

import math
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from qiskit_fedqml.data.datasets import Dataset, Split, choose
from qiskit_fedqml.data.images import ArrayImages, Images
from qiskit_fedqml.data.location import find_data
from qiskit_fedqml.data.memory import check_memory
from qiskit_fedqml.data.messages import listed, reason, shown
from qiskit_fedqml.errors import DataError

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def npz(path: str, classes: tuple[int, ...] | None) -> Dataset:
    """Load ``x_train``, ``y_train``, ``x_test`` and ``y_test`` from an NPZ file.

    Args:
        path: The file. Images are uint8 of shape (examples, height, width[, 1 or 3]), features are floats of shape
            (examples, features); labels are integers.
        classes: The labels to take, in the order of the classes; None takes all, in rising order.

    Raises:
        DataError: The file, an array, or a class is missing or malformed, or the arrays do not fit into memory.
    """
    file = find_data(path)
    arrays = read_npz(file, _ARRAYS)
    present = {}
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        check_inputs(file, f"x_{part}", x)
        present[part] = labels_in(file, f"y_{part}", y, len(x))
    wanted = classes if classes is not None else present["train"]
    unknown = sorted(set(present["test"]) - set(present["train"])) if classes is None else []
    if unknown:
        raise DataError(
            f"{shown(file)}: y_test has examples of class {unknown[0]}, but y_train has only "
            f"{listed(present['train'])}."
        )
    for part, labels in present.items():
        missing = sorted(set(wanted) - set(labels))
        if missing:
            raise DataError(
                f"{shown(file)}: y_{part} must have examples of class {missing[0]}, but has only {listed(labels)}."
            )
    if len(wanted) < 2:
        raise DataError(
            f"{shown(file)} must have examples of at least two classes, but y_train has only "
            f"{listed(present['train'])}."
        )
    splits = [_split(file, f"x_{part}", arrays[f"x_{part}"], arrays[f"y_{part}"], wanted) for part in ("train", "test")]
    widths = [s.inputs.shape[1] if isinstance(s.inputs, np.ndarray) else None for s in splits]  # None: images
    if widths[0] != widths[1]:
        raise DataError(f"{shown(file)}: x_train and x_test must be of one kind and width, but they differ.")
    return Dataset(tuple(str(c) for c in wanted), *splits)


def own_examples(path: str, num_classes: int) -> Split:
    """Load one client's own examples, ``x`` and ``y``, from an NPZ file.

    Args:
        path: The file. ``x`` is as ``x_train`` of :func:`npz`; ``y`` are class indices.
        num_classes: The number of classes.

    Raises:
        DataError: The file or an array is missing or malformed, there is no example, or a label is no class's index.
    """
    file = find_data(path)
    arrays = read_npz(file, ("x", "y"))
    check_inputs(file, "x", arrays["x"])
    labels = labels_in(file, "y", arrays["y"], len(arrays["x"]))
    if not 0 <= labels[0] <= labels[-1] < num_classes:
        raise DataError(f"{shown(file)}: y must be from 0 to {num_classes - 1}, but has {listed(labels)}.")
    return _split(file, "x", arrays["x"], arrays["y"], tuple(range(num_classes)))


def new_inputs(path: Path) -> Images | NDArray[np.float32]:
    """Load examples without labels, ``x``, from an NPZ file: images, or features as float32.

    Args:
        path: The file. ``x`` is as ``x_train`` of :func:`npz`.

    Raises:
        DataError: The file or the array is missing or malformed, or holds no example.
    """
    x = read_npz(path, ("x",))["x"]
    check_inputs(path, "x", x)
    return _inputs(path, "x", x)


def check_inputs(file: Path, name: str, x: np.ndarray) -> None:
    """Check that an array is images or features.

    Raises:
        DataError: It is neither.
    """
    images = x.dtype == np.uint8 and (x.ndim == 3 or (x.ndim == 4 and x.shape[-1] in (1, 3)))
    features = np.issubdtype(x.dtype, np.floating) and x.ndim == 2
    if 0 in x.shape or not (images or features):
        raise DataError(
            f"{shown(file)}: {name} must be uint8 images (examples, height, width[, 1 or 3]) or float features "
            f"(examples, features), but has shape {shown(x.shape, 60)} and dtype {shown(x.dtype, 60)}."
        )


def labels_in(file: Path, name: str, y: np.ndarray, count: int) -> tuple[int, ...]:
    """Check that labels are so many integers, and return those that occur, in rising order.

    Raises:
        DataError: They are not.
    """
    if y.shape != (count,) or y.dtype.kind not in "iu":  # to NumPy, time differences are integers too
        raise DataError(
            f"{shown(file)}: {name} must be {count} integers, but has shape {shown(y.shape, 60)} and dtype "
            f"{shown(y.dtype, 60)}."
        )
    return tuple(int(value) for value in np.unique(y))


def _split(file: Path, name: str, x: np.ndarray, y: np.ndarray, classes: tuple[int, ...]) -> Split:
    chosen, labels = choose(y, classes)
    return Split(_inputs(file, name, x[chosen]), labels)


def _inputs(file: Path, name: str, x: np.ndarray) -> Images | NDArray[np.float32]:
    if x.dtype == np.uint8:
        return ArrayImages(x)
    with np.errstate(over="ignore"):
        features = x.astype(np.float32)
    if not np.isfinite(features).all():
        raise DataError(f"{shown(file)}: {name} must be finite as float32, but has NaN, infinite or huge values.")
    return features


def read_npz(file: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the arrays of a file; whatever zipfile and numpy raise for a damaged one is mapped here.

    Args:
        file: The file.
        names: The arrays that it must hold.

    Raises:
        DataError: It is no such file, is damaged, holds Python objects, or does not fit into memory.
    """
    try:
        if file.exists() and not file.is_file():  # a pipe would be waited for, and a device read without end
            raise ValueError("it is a folder" if file.is_dir() else "it is not a file")
        with ZipFile(file) as archive:
            members = {name: _member(archive, name) for name in names}
            check_memory(sum(member.file_size for member in members.values()), f"The arrays of {shown(file)}")
            return {name: _array(archive, member) for name, member in members.items()}
    except DataError:
        raise
    except Exception as error:
        wanted = " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
        raise DataError(f"{shown(file)} must be an NPZ file of {wanted}: {reason(error)}.") from error


def _member(archive: ZipFile, name: str) -> ZipInfo:
    """Return an array's entry in the archive if its header is sound and declares as many bytes as there are.

    Raises:
        ValueError: It is not, or is made of Python objects.
    """
    if f"{name}.npy" not in archive.namelist():
        raise ValueError(f"it holds {listed(archive.namelist())}, but no {name}.npy")
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as stream:
        try:
            readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
            shape, _, dtype = readers[npy.read_magic(stream)](stream)
        except Exception as error:  # of NumPy and of Python's parser, by which it reads headers
            raise ValueError(f"the header of {name} is not that of an array of numbers") from error
        held = member.file_size - stream.tell()
    if dtype.hasobject:
        raise ValueError(f"{name} is made of Python objects, which this package doesn't load")
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != held:
        raise ValueError(f"{name} holds {held} bytes, which do not fit shape {shown(shape, 60)} and dtype {dtype}")
    return member


def _array(archive: ZipFile, member: ZipInfo) -> np.ndarray:
    with archive.open(member) as stream:
        return npy.read_array(stream, allow_pickle=False)
