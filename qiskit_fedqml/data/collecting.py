"""Datasets of the user's own as arrays: one for each client and one of tests, or one that is still to be shared out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.data.datasets import Dataset, Labels, Split
from qiskit_fedqml.data.images import ArrayImages
from qiskit_fedqml.data.items import as_pair
from qiskit_fedqml.data.memory import check_memory
from qiskit_fedqml.data.messages import listed, reason, shown
from qiskit_fedqml.errors import DataError


@dataclass(frozen=True)
class Collected:
    """Examples in memory.

    Args:
        classes: Names of the classes.
        inputs: Of training and test data: uint8 images or float32 features, the examples on the first axis.
        labels: Of training and test data: indices of classes, shape (examples,).
        owners: The client of each training example, shape (examples,); None where they are to be shared out.
    """

    classes: tuple[str, ...]
    inputs: tuple[NDArray[Any], NDArray[Any]]
    labels: tuple[Labels, Labels]
    owners: Labels | None

    def dataset(self) -> Dataset:
        """Return them as a dataset.

        Raises:
            DataError: A class has no training or no test examples.
        """
        parts = [x if x.dtype == np.float32 else ArrayImages(x) for x in self.inputs]
        train, test = (Split(x, y) for x, y in zip(parts, self.labels, strict=True))
        return Dataset(self.classes, train, test, owners=self.owners)


def collect(data: Any) -> Collected:
    """Read all examples of a user's own datasets.

    Args:
        data: ``(clients, test)``: a list of one map-style dataset for each client, or one dataset of all training
            examples; and a dataset of tests. An item is a pair (x, y), as :func:`~qiskit_fedqml.data.items.as_pair`
            takes it. Names of classes are a dataset's ``classes`` where it has some, the labels elsewhere.

    Raises:
        DataError: It is none of that, a dataset is empty, an item is wrong or cannot be had, which is named; or
            examples do not fit together, or into memory.
    """
    if not isinstance(data, tuple) or len(data) != 2:
        raise DataError(
            f"`data` must be (clients, test), a list of one dataset for each client, or one dataset, and a dataset of "
            f"tests; but is a {type(data).__name__}."
        )
    clients, test = data
    is_divided = isinstance(clients, (list, tuple))
    named = {f"Client {k}": of for k, of in enumerate(clients)} if is_divided else {"The training data": clients}
    if not named:
        raise DataError("`data` must have one dataset for each client, but has none.")
    named |= {"The test data": test}
    sizes = [_size(name, of) for name, of in named.items()]
    inputs, labels = _read(named, sizes)
    classes, targets = _classes(labels, named, sizes)
    if len(classes) < 2:
        raise DataError(f"`data` must have examples of at least two classes, but has only {listed(classes)}.")
    cut = sum(sizes[:-1])
    return Collected(
        classes=tuple(classes),
        inputs=(inputs[:cut], inputs[cut:]),
        labels=(targets[:cut], targets[cut:]),
        owners=np.repeat(np.arange(len(sizes) - 1), sizes[:-1]) if is_divided else None,
    )


def _read(named: Mapping[str, Any], sizes: Sequence[int]) -> tuple[NDArray[Any], Labels]:
    """Return inputs and labels of all datasets, one after another."""
    pile, labels = _Pile(sum(sizes)), np.empty(sum(sizes), np.int64)
    position = 0
    for (name, of), size in zip(named.items(), sizes, strict=True):
        for index in range(size):
            labels[position] = _put(pile, position, of, name, index)
            position += 1
    return pile.values, labels


def _classes(labels: Labels, named: Mapping[str, Any], sizes: Sequence[int]) -> tuple[list[str], Labels]:
    """Return the names of the classes that have examples, and the examples' indices of them."""
    names, values = _names(named), np.unique(labels)
    if names is None:
        names = [str(value) for value in values]
    else:
        _check_indices(labels, len(names), named, sizes)
        names = [names[value] for value in values]
    return names, np.searchsorted(values, labels).astype(np.int64)


class _Pile:
    """Inputs of one kind and shape in one array, which the first of them decides."""

    def __init__(self, count: int) -> None:
        self.values: NDArray[Any] = np.empty(0)
        self._count = count

    def put(self, position: int, x: NDArray[Any]) -> None:
        """Put an input to its place; grey images become RGB once there is one in colour.

        Raises:
            ValueError: It is not like those before it.
        """
        if position == 0:
            check_memory(x.nbytes * self._count, "The examples")
            self.values = np.empty((self._count, *x.shape), x.dtype)
        is_image = x.dtype == np.uint8 == self.values.dtype
        if is_image and x.ndim == 3 and self.values.ndim == 3:
            check_memory(x.nbytes * self._count, "The examples")
            self.values = np.repeat(self.values[..., None], 3, axis=-1)
        elif is_image and x.ndim == 2 and self.values.ndim == 4:
            x = np.repeat(x[..., None], 3, axis=-1)
        if x.dtype != self.values.dtype:
            kinds = ["images" if dtype == np.uint8 else "features" for dtype in (x.dtype, self.values.dtype)]
            raise ValueError(f"x is of {kinds[0]}, but those before it are of {kinds[1]}")
        if x.shape != self.values.shape[1:]:
            hint = "; images must be of one size, such as torchvision's Resize makes them" if is_image else ""
            raise ValueError(f"x has shape {x.shape}, but those before it have {self.values.shape[1:]}{hint}")
        self.values[position] = x


def _size(name: str, dataset: Any) -> int:
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise DataError(
            f"{name} must be a map-style dataset, with __len__ and __getitem__, but is a {type(dataset).__name__}."
        )
    try:
        size = len(dataset)
    except Exception as error:  # of the user's own code
        raise DataError(f"{name} cannot say its length: {_raised(error)}.") from error
    if size < 1:
        has = "have" if name.endswith("data") else "has"
        raise DataError(f"{name} {has} no examples.")
    return size


def _put(pile: _Pile, position: int, dataset: Any, name: str, index: int) -> int:
    """Put an item's input to its place, and return its label."""
    try:
        item = dataset[index]
    except Exception as error:  # of the user's own code
        raise DataError(f"{name}, example {index} cannot be read: the dataset raised {_raised(error)}.") from error
    try:
        x, label = as_pair(item)
        pile.put(position, x)
    except DataError:  # too little memory
        raise
    except ValueError as error:
        raise DataError(f"{name}, example {index}: {error}.") from error
    return label


def _raised(error: Exception) -> str:
    text = reason(error)
    return type(error).__name__ if text == type(error).__name__ else f"{type(error).__name__}: {text}"


def _names(named: Mapping[str, Any]) -> list[str] | None:
    """Return the names of the classes that datasets have; None where none has any."""
    first: tuple[str, list[str]] | None = None
    for name, dataset in named.items():
        classes = _classes_of(dataset)
        if classes is None:
            continue
        if first is not None and classes != first[1]:
            raise DataError(
                f"All datasets must have the same `classes`, but {first[0]} has {listed(first[1])}, and {name} "
                f"{listed(classes)}."
            )
        first = first or (name, classes)
    return first[1] if first else None


def _classes_of(dataset: Any) -> list[str] | None:
    """Return a dataset's ``classes``; those of a subset are in the dataset that it is of."""
    for _ in range(10):
        classes = getattr(dataset, "classes", None)
        if isinstance(classes, Sequence) and not isinstance(classes, str) and len(classes):
            return [", ".join(map(str, name)) if isinstance(name, tuple) else shown(name) for name in classes]
        dataset = getattr(dataset, "dataset", None)
    return None


def _check_indices(labels: Labels, num_classes: int, named: Mapping[str, Any], sizes: Sequence[int]) -> None:
    """Check that each label is the index of a class.

    Raises:
        DataError: One is not.
    """
    outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(outside):
        starts = np.cumsum([0, *sizes])
        k = int(np.searchsorted(starts, outside[0], side="right")) - 1
        raise DataError(
            f"{[*named][k]}, example {outside[0] - starts[k]}: y must be from 0 to {num_classes - 1}, the index of one "
            f"of the dataset's `classes`, but is {labels[outside[0]]}."
        )
