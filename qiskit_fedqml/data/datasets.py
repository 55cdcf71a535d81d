"""Datasets: images or ready features with labels, in training and test data that are disjoint by construction."""

import os
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.data.images import ArrayImages, FileImages, Images
from qiskit_fedqml.data.vision import import_torchvision
from qiskit_fedqml.errors import DataError

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Examples of one split.

    Args:
        inputs: Images, or ready features as float32 of shape (examples, features).
        labels: Class indices, shape (examples,).
    """

    inputs: Images | NDArray[np.float32]
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A dataset.

    Args:
        classes: Names of the classes; a label is an index into them.
        train: The training data, which is shared out to the clients.
        test: The test data, which stays at the centre.
    """

    classes: tuple[str, ...]
    train: Split
    test: Split


def find_data(path: str) -> Path:
    """Find a file or folder of data: a relative path is looked for in ``$FEDQML_DATA``, then in the current folder.

    Raises:
        DataError: It is in neither place.
    """
    folders = [Path(folder) for folder in (os.environ.get("FEDQML_DATA"), ".") if folder]
    candidates = [folder / path for folder in folders]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    looked = " and ".join(str(candidate) for candidate in candidates)
    hint = "" if "FEDQML_DATA" in os.environ else "; the environment variable FEDQML_DATA can name another folder"
    raise DataError(f"There is no {path!r}: looked for {looked}{hint}.")


def digits(classes: tuple[int, ...], test_fraction: float, rng: np.random.Generator) -> Dataset:
    """Load scikit-learn's handwritten digits as features: 8×8 pixels from 0 to 1, shape (examples, 64).

    Args:
        classes: The digits to take.
        test_fraction: Share of the examples that becomes the test data.
        rng: Draws the split.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    features, targets = (bunch.data / 16.0).astype(np.float32), bunch.target
    chosen, labels = _choose(targets, classes, [str(d) for d in range(10)])
    return _split(features[chosen], labels, tuple(str(c) for c in classes), test_fraction, rng)


def npz(path: str, classes: tuple[int, ...] | None) -> Dataset:
    """Load ``x_train``, ``y_train``, ``x_test`` and ``y_test`` from an NPZ file.

    Args:
        path: The file. Images are uint8 of shape (examples, height, width[, channels]), features are floats of shape
            (examples, features); labels are integers.
        classes: The labels to take, in the order of the classes; None takes all, in rising order.

    Raises:
        DataError: The file, an array, or a class is missing or malformed.
    """
    file = find_data(path)
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in ("x_train", "y_train", "x_test", "y_test")}
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise DataError(f"{file} must be an NPZ file of x_train, y_train, x_test and y_test: {error}.") from error
    present = tuple(sorted({int(v) for v in np.unique(arrays["y_train"])})) if arrays["y_train"].ndim == 1 else ()
    wanted = classes if classes is not None else present
    splits = [_npz_split(file, part, arrays[f"x_{part}"], arrays[f"y_{part}"], wanted) for part in ("train", "test")]
    unknown = sorted({int(v) for v in np.unique(arrays["y_test"])} - set(present)) if classes is None else []
    if unknown:
        raise DataError(f"{file}: y_test has examples of class {unknown[0]}, but y_train has only {list(present)}.")
    if len(wanted) < 2:
        raise DataError(f"{file} must have examples of at least two classes, but y_train has only {list(present)}.")
    widths = [s.inputs.shape[1] if isinstance(s.inputs, np.ndarray) else None for s in splits]  # None: images
    if widths[0] != widths[1]:
        raise DataError(f"{file}: x_train and x_test must be of one kind and width, but they differ.")
    return Dataset(tuple(str(c) for c in wanted), *splits)


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
    folder = _cifar_folder(path, download)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    splits = []
    for files in ([f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"]):
        raw = np.concatenate([_cifar_records(folder / file) for file in files])
        chosen, labels = _choose(raw[:, 0], classes, names)
        pixels = raw[chosen, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        splits.append(Split(ArrayImages(np.ascontiguousarray(pixels)), labels))
    return Dataset(tuple(names[c] for c in classes), *splits)


def image_folder(path: str, test_fraction: float | None, rng: np.random.Generator) -> Dataset:
    """Load a tree of image files, one folder a class.

    Args:
        path: A folder with ``train`` and ``test``, each with a folder for each class; or with the classes' folders
            themselves, of which ``test_fraction`` becomes the test data.
        test_fraction: Share of the test data, from 0 to 1; only where there is no ``train`` and ``test``.
        rng: Draws that split.

    Raises:
        DataError: A folder is missing or empty, the classes of the splits differ, or ``test_fraction`` is missing or
            has nothing to split.
    """
    root = find_data(path)
    if (root / "train").is_dir() and (root / "test").is_dir():
        if test_fraction is not None:
            raise DataError(f"{root} has train and test folders, so `data.test_fraction` must not be given.")
        classes, train_paths, train_labels = _image_files(root / "train")
        test_classes, test_paths, test_labels = _image_files(root / "test")
        if classes != test_classes:
            raise DataError(
                f"{root} must have the same classes in train and test, but has {classes} and {test_classes}."
            )
        train = Split(FileImages(train_paths), train_labels)
        return Dataset(classes, train, Split(FileImages(test_paths), test_labels))
    if test_fraction is None:
        raise DataError(f"{root} has no train and test folders, so `data.test_fraction` must say how to split it.")
    classes, paths, labels = _image_files(root)
    train_index, test_index = _split_indices(len(labels), test_fraction, rng)
    parts = [Split(FileImages([paths[i] for i in index]), labels[index]) for index in (train_index, test_index)]
    return Dataset(classes, *parts)


def _npz_split(file: Path, part: str, x: np.ndarray, y: np.ndarray, classes: tuple[int, ...]) -> Split:
    if y.ndim != 1 or len(y) != len(x) or not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{file}: y_{part} must be {len(x)} integers, but has shape {y.shape} and dtype {y.dtype}.")
    present = sorted({int(v) for v in np.unique(y)})
    missing = sorted(set(classes) - set(present))
    if missing:
        raise DataError(f"{file}: y_{part} must have examples of class {missing[0]}, but has only {present}.")
    chosen, labels = _choose(y, classes, None)
    if x.dtype == np.uint8 and (x.ndim == 3 or (x.ndim == 4 and x.shape[-1] in (1, 3))):
        return Split(ArrayImages(x[chosen]), labels)
    if np.issubdtype(x.dtype, np.floating) and x.ndim == 2 and x.shape[1]:
        features = x[chosen].astype(np.float32)
        if not np.isfinite(features).all():
            raise DataError(f"{file}: x_{part} must be finite, but has NaN or infinite values.")
        return Split(features, labels)
    raise DataError(
        f"{file}: x_{part} must be uint8 images (examples, height, width[, 1 or 3]) or float features "
        f"(examples, features), but has shape {x.shape} and dtype {x.dtype}."
    )


def _choose(targets: np.ndarray, classes: tuple[int, ...], names: list[str] | None) -> tuple[np.ndarray, Labels]:
    """Return the indices of the examples of these classes, and their labels as indices into ``classes``."""
    if names is not None and (outside := sorted(set(classes) - set(range(len(names))))):
        raise DataError(f"`data.classes` must be from 0 to {len(names) - 1}, but got {outside[0]}.")
    labels = np.full(len(targets), -1, dtype=np.int64)
    for label, target in enumerate(classes):
        labels[targets == target] = label
    chosen = np.flatnonzero(labels >= 0)
    return chosen, labels[chosen]


def _split(
    features: NDArray[np.float32],
    labels: Labels,
    classes: tuple[str, ...],
    test_fraction: float,
    rng: np.random.Generator,
) -> Dataset:
    train, test = _split_indices(len(labels), test_fraction, rng)
    return Dataset(classes, Split(features[train], labels[train]), Split(features[test], labels[test]))


def _split_indices(count: int, fraction: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Split 0 … count−1 at random into a large and a small part, neither of them empty."""
    num_second = min(max(1, round(count * fraction)), count - 1)
    if num_second < 1:
        raise DataError(f"There must be at least two examples to split, but there are {count}.")
    order = rng.permutation(count)
    return np.sort(order[num_second:]), np.sort(order[:num_second])


def _cifar_folder(path: str, download: bool) -> Path:
    archive = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    name = "cifar-10-batches-bin"
    try:
        return find_data(str(Path(path) / name))
    except DataError as error:
        if not download:
            raise DataError(f"{error} `data.download: true` lets torchvision download it.") from None
    import_torchvision()
    from torchvision.datasets.utils import download_and_extract_archive

    root = Path(os.environ.get("FEDQML_DATA", ".")) / path
    try:
        download_and_extract_archive(archive, str(root), md5="c32a1d4ab5d03f1284b67883e8d87530")
    except (OSError, RuntimeError) as error:
        raise DataError(f"CIFAR-10 could not be downloaded to {root}: {error}.") from error
    return root / name


def _cifar_records(file: Path) -> NDArray[np.uint8]:
    record = 1 + 3 * 32 * 32
    try:
        raw = np.fromfile(file, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    if not raw.size or raw.size % record:
        raise DataError(f"{file} must consist of records of {record} bytes, but has {raw.size} bytes.")
    return raw.reshape(-1, record)


def _image_files(root: Path) -> tuple[tuple[str, ...], list[Path], Labels]:
    suffixes = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
    classes = tuple(sorted(entry.name for entry in root.iterdir() if entry.is_dir()))
    if len(classes) < 2:
        raise DataError(f"{root} must have a folder for each of at least two classes, but has {list(classes)}.")
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = sorted(file for file in (root / name).rglob("*") if file.suffix.lower() in suffixes)
        if not files:
            raise DataError(f"{root / name} must hold images ({', '.join(sorted(suffixes))}), but holds none.")
        paths += files
        labels += [label] * len(files)
    return classes, paths, np.array(labels, dtype=np.int64)
