"""From an experiment's `data` section to a dataset and its partition."""

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.config.data import (
    Cifar10Data,
    DataConfig,
    DigitsData,
    ImageFolderData,
    NpzData,
)
from qiskit_fedqml.config.own_data import GivenData, HuggingFaceData, PythonData, TableData
from qiskit_fedqml.config.partition import Dirichlet, LabelShards, Partition, QuantitySkew
from qiskit_fedqml.data import partition
from qiskit_fedqml.data.cifar10 import cifar10
from qiskit_fedqml.data.datasets import Dataset
from qiskit_fedqml.data.digits import digits
from qiskit_fedqml.data.given import given
from qiskit_fedqml.data.hugging_face import hugging_face
from qiskit_fedqml.data.image_folder import image_folder
from qiskit_fedqml.data.made import made
from qiskit_fedqml.data.npz import npz
from qiskit_fedqml.data.table import table
from qiskit_fedqml.errors import DataError
from qiskit_fedqml.seeds import derive_seed, numpy_generator


def load_dataset(config: DataConfig, seed: int) -> Dataset:
    """Load the dataset that a configuration names.

    Args:
        config: The `data` section.
        seed: The run's seed, from which a random split derives.

    Raises:
        DataError: The data is missing or malformed.
        ConfigurationError: A function of the user's own cannot be found, or does not take its arguments.
    """
    rng = numpy_generator(derive_seed(seed, "test split"))
    match config:
        case DigitsData():
            dataset = digits(config.classes, config.test_fraction, rng)
        case NpzData():
            dataset = npz(config.path, config.classes)
        case Cifar10Data():
            dataset = cifar10(config.path, config.classes, config.download)
        case ImageFolderData():
            dataset = image_folder(config.path, config.test_fraction, rng)
        case GivenData():
            dataset = given(config.path)
        case TableData():
            dataset = table(config, rng)
        case HuggingFaceData():
            dataset = hugging_face(config, rng)
        case PythonData():
            dataset = made(config)
    return dataset


def cut_validation(num_examples: int, fraction: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Cut a validation set out of the training data.

    Args:
        num_examples: Number of training examples.
        fraction: Share of the validation set, from 0 (none) to below 1.
        seed: The run's seed.

    Returns:
        Sorted indices of the examples left for training, and of the validation set.
    """
    order = numpy_generator(derive_seed(seed, "validation split")).permutation(num_examples)
    num_validation = round(num_examples * fraction)
    if fraction and not 0 < num_validation < num_examples:
        raise DataError(f"`data.validation_fraction` {fraction} of {num_examples} examples leaves a part empty.")
    return np.sort(order[num_validation:]), np.sort(order[:num_validation])


def partition_examples(
    labels: NDArray[np.int64], num_clients: int, config: Partition | None, seed: int, draw: int = 0
) -> partition.Shards:
    """Share examples out to clients.

    Args:
        labels: Class indices of the examples.
        num_clients: Number of clients.
        config: The scheme; None is ``iid``.
        seed: The run's seed.
        draw: Another number gives another partition.

    Returns:
        For each client the sorted positions of its examples in ``labels``; disjoint, complete, none empty.

    Raises:
        DataError: There are fewer examples than clients need.
    """
    rng = numpy_generator(derive_seed(seed, "partition", draw))
    match config:
        case Dirichlet():
            return partition.dirichlet(labels, num_clients, config.alpha, rng)
        case LabelShards():
            return partition.label_shards(labels, num_clients, config.shards_per_client, rng)
        case QuantitySkew():
            return partition.quantity_skew(len(labels), num_clients, config.alpha, rng)
        case _:
            return partition.iid(len(labels), num_clients, rng)
