"""Test data cut out of examples at random."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.errors import DataError

Indices = NDArray[np.intp]


def random_split(count: int, fraction: float, rng: np.random.Generator) -> tuple[Indices, Indices]:
    """Split 0 … count−1 into training and test data, neither of them empty, without regard to classes.

    Args:
        count: Number of examples.
        fraction: Share of the test data, from 0 to 1.
        rng: Draws the split.

    Returns:
        Sorted indices of the training data and of the test data.

    Raises:
        DataError: There are fewer than two examples.
    """
    num_test = min(max(1, round(count * fraction)), count - 1)
    if num_test < 1:
        raise DataError(f"There must be at least two examples to split, but there are {count}.")
    order = rng.permutation(count)
    return np.sort(order[num_test:]), np.sort(order[:num_test])


def stratified_split(
    labels: NDArray[np.int64], classes: Sequence[str], fraction: float, rng: np.random.Generator
) -> tuple[Indices, Indices]:
    """Split examples so that each class has its share of training and of test data, at least one example of either.

    The test data has ``fraction`` of all examples as nearly as that allows; what rounding leaves over goes to the
    classes with the largest remainders.

    Args:
        labels: Class indices, shape (examples,).
        classes: Names of the classes.
        fraction: Share of the test data, from 0 to 1.
        rng: Draws the split.

    Returns:
        Sorted indices of the training data and of the test data.

    Raises:
        DataError: A class has fewer than two examples.
    """
    counts = np.bincount(labels, minlength=len(classes))
    for name, count in zip(classes, counts, strict=True):
        if count < 2:
            raise DataError(
                f"Class {name!r} must have at least two examples, one for training and one for testing, but has "
                f"{count}."
            )
    shares = counts * fraction
    num_test = np.clip(np.floor(shares).astype(int), 1, counts - 1)
    left_over = max(0, round(len(labels) * fraction) - int(num_test.sum()))
    for label in np.argsort(num_test - shares, kind="stable")[:left_over]:
        num_test[label] = min(num_test[label] + 1, counts[label] - 1)
    order = rng.permutation(len(labels))
    by_class = [order[labels[order] == label] for label in range(len(classes))]
    train = np.concatenate([members[n:] for members, n in zip(by_class, num_test, strict=True)])
    test = np.concatenate([members[:n] for members, n in zip(by_class, num_test, strict=True)])
    return np.sort(train), np.sort(test)
