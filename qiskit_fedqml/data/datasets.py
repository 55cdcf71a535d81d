"""What a dataset is: images or ready features with labels, in training and test data that are disjoint."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.data.columns import Columns
from qiskit_fedqml.data.images import Images
from qiskit_fedqml.data.messages import listed
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
        test: The test data, which stays at the server.
        owners: The client of each training example, shape (examples,); None where they are to be shared out.
        columns: Of a table, which of its columns are used; None for other data.

    Raises:
        DataError: A class has no training or no test examples.
    """

    classes: tuple[str, ...]
    train: Split
    test: Split
    owners: NDArray[np.int64] | None = field(default=None, kw_only=True)
    columns: Columns | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for part, split in (("training", self.train), ("test", self.test)):
            counts = np.bincount(split.labels, minlength=len(self.classes))
            missing = [name for name, count in zip(self.classes, counts, strict=True) if not count]
            if missing:
                raise DataError(f"Each class must have {part} examples, but {listed(missing)} have none.")


def choose(targets: np.ndarray, classes: Sequence[int]) -> tuple[NDArray[np.intp], Labels]:
    """Return the positions of the examples of these classes, and their labels as indices into ``classes``.

    Args:
        targets: Integers, shape (examples,).
        classes: The integers to take, in the order of the classes.
    """
    labels = np.full(len(targets), -1, dtype=np.int64)
    for label, target in enumerate(classes):
        labels[targets == target] = label
    chosen = np.flatnonzero(labels >= 0)
    return chosen, labels[chosen]


def check_known(classes: Sequence[int], count: int) -> None:
    """Check that classes are from 0 to ``count`` − 1.

    Raises:
        DataError: One is not.
    """
    outside = sorted(set(classes) - set(range(count)))
    if outside:
        raise DataError(f"`data.classes` must be from 0 to {count - 1}, but got {outside[0]}.")
