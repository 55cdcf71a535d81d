"""A tree of image files as a dataset."""

import logging
from pathlib import Path

import numpy as np

from qiskit_fedqml.data.datasets import Dataset, Split
from qiskit_fedqml.data.entries import visible_entries
from qiskit_fedqml.data.image_tree import ImageTree, check_disjoint, read_tree
from qiskit_fedqml.data.images import FileImages
from qiskit_fedqml.data.location import find_data
from qiskit_fedqml.data.messages import listed, shown
from qiskit_fedqml.data.splitting import stratified_split
from qiskit_fedqml.errors import DataError

logger = logging.getLogger(__name__)

_SPLITS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"})


def image_folder(path: str, test_fraction: float | None, rng: np.random.Generator) -> Dataset:
    """Load a tree of image files, one folder a class.

    Args:
        path: A folder with ``train`` and ``test`` (in capitals or not), each with a folder for each class; or with the
            class folders themselves, of which ``test_fraction`` becomes the test data, class by class.
        test_fraction: Share of the test data, from 0 to 1; only where there is no ``train`` and ``test``.
        rng: Draws that split.

    Raises:
        DataError: A folder is missing, empty or named like another split; the classes of the splits differ; a file is
            in both splits or in two classes; ``test_fraction`` is missing, or a class has too few images for it.
    """
    root = find_data(path)
    folders = [entry.path for entry in visible_entries(root) if entry.is_folder]
    splits = _train_and_test(root, folders)
    if splits is not None:
        if test_fraction is not None:
            raise DataError(f"{shown(root)} has train and test folders, so `data.test_fraction` must not be given.")
        train, test = map(read_tree, splits)
        _check_same_classes(root, train, test)
        check_disjoint(train.files, test.files, "in training and in test data")
        return Dataset(train.classes, *(Split(FileImages(list(t.files.values())), t.labels) for t in (train, test)))
    if test_fraction is None:
        raise DataError(
            f"{shown(root)} has no train and test folders, so `data.test_fraction` must say how to split it."
        )
    _check_no_splits(root, folders)
    tree = read_tree(root)
    paths = list(tree.files.values())
    parts = stratified_split(tree.labels, tree.classes, test_fraction, rng)
    return Dataset(tree.classes, *(Split(FileImages([paths[i] for i in part]), tree.labels[part]) for part in parts))


def _train_and_test(root: Path, folders: list[Path]) -> tuple[Path, Path] | None:
    """Return the folders of the training and of the test data if there are both."""
    found = [[folder for folder in folders if folder.name.casefold() == name] for name in ("train", "test")]
    if not all(found):
        return None
    for same in found:
        if len(same) > 1:
            raise DataError(f"{shown(root)} must have one of {listed([f.name for f in same])}, but has several.")
    (train,), (test,) = found
    if others := [folder.name for folder in folders if folder not in {train, test}]:
        logger.warning("%s: left out the folders %s next to train and test.", shown(root), listed(others))
    return train, test


def _check_same_classes(root: Path, train: ImageTree, test: ImageTree) -> None:
    for inside, classes, other in (("train", train.classes, test.classes), ("test", test.classes, train.classes)):
        if alone := sorted(set(classes) - set(other)):
            raise DataError(
                f"{shown(root)} must have the same classes in train and test, but only {inside} has {listed(alone)}."
            )


def _check_no_splits(root: Path, folders: list[Path]) -> None:
    """Check that folders are classes: not several with names of splits, nor such a one that holds classes itself."""
    named = [folder for folder in folders if folder.name.casefold() in _SPLITS]
    if len(named) > 1 or any(_holds_folders(folder) for folder in named):
        raise DataError(
            f"{shown(root)} has {listed([folder.name for folder in named])}, which are splits and no classes; it must "
            "have train and test folders, or the class folders themselves."
        )


def _holds_folders(folder: Path) -> bool:
    return sum(entry.is_folder for entry in visible_entries(folder)) > 1
