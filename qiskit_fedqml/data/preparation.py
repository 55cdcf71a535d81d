"""What is made before the first round: features, each client's shard, the test set, and the scaling of features."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.config.data import ConstantScaling
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.data.class_counts import count_classes
from qiskit_fedqml.data.columns import Columns
from qiskit_fedqml.data.datasets import Dataset, Split
from qiskit_fedqml.data.examples import Examples, Shard, SharedOut
from qiskit_fedqml.data.features import Progress, extract_features
from qiskit_fedqml.data.loading import cut_validation, load_dataset
from qiskit_fedqml.data.partition import Shards
from qiskit_fedqml.data.scaling import FeatureSums, feature_sums, mean_and_deviation
from qiskit_fedqml.data.sharing import shards_of


@dataclass(frozen=True)
class FederatedData:
    """An experiment's data, shared out.

    Args:
        classes: Names of the classes.
        train: The training data of all clients; only :attr:`shards` says what a client sees of them.
        shards: For each client the sorted rows of ``train`` that it holds.
        validation: Rows of ``train`` that no client holds, for tuning; may be empty.
        test: The server's test data.
        mean: Subtracted from features, shape (features,) or (1,).
        deviation: Divides features, shape (features,) or (1,).
        digests: Of the images or features and labels, ``"train"`` and ``"test"``; where the dataset itself says what
            each client has, of that too, ``"clients"``.
        columns: Of a table, which of its columns are used; None for other data.
    """

    classes: tuple[str, ...]
    train: Examples
    shards: Shards
    validation: NDArray[np.intp]
    test: Examples
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    digests: Mapping[str, str]
    columns: Columns | None = None

    @property
    def clients(self) -> SharedOut:
        """The clients' data, opened by id."""
        return SharedOut(self.train, self.shards)

    @property
    def held_out(self) -> Shard:
        """The tuning set."""
        return Shard(self.train, self.validation)

    @property
    def class_counts(self) -> NDArray[np.int64]:
        """How many examples of each class each client holds, shape (clients, classes)."""
        return count_classes(self.train.labels, self.shards, len(self.classes))

    @property
    def num_features(self) -> int:
        """Number of features of an example."""
        return int(self.train.features.shape[1])


def prepare_data(experiment: Experiment, progress: Progress | None = None) -> FederatedData:
    """Load, extract, share out and scale.

    Args:
        experiment: The experiment.
        progress: Called with how far the extraction of features is.

    Raises:
        DataError: Data, weights or features are missing or do not fit together.
    """
    dataset = load_dataset(experiment.data, experiment.seed)
    train = Examples(extract_features(dataset.train, experiment.features, progress), dataset.train.labels)
    shards, validation = share_out(experiment, dataset)
    mean, deviation = scaling_of(experiment, (feature_sums(train.features, rows) for rows in shards))
    return FederatedData(
        classes=dataset.classes,
        train=train,
        shards=shards,
        validation=validation,
        test=prepare_test_data(experiment, dataset, progress),
        mean=mean,
        deviation=deviation,
        digests=digests_of(dataset),
        columns=dataset.columns,
    )


def share_out(experiment: Experiment, dataset: Dataset) -> tuple[Shards, NDArray[np.intp]]:
    """Return each client's rows of the training data, sorted, and the rows that are kept for tuning.

    Raises:
        DataError: There are too few examples for so many clients, or for ``data.min_examples``; or the dataset says
            what each client has, and that does not fit.
    """
    kept, validation = cut_validation(len(dataset.train), experiment.data.validation_fraction, experiment.seed)
    owners = None if dataset.owners is None else dataset.owners[kept]
    parts = shards_of(
        dataset.train.labels[kept], owners, experiment.federation.clients, experiment.data, experiment.seed
    )
    return replace(parts, rows=kept[parts.rows]), validation


def class_counts(experiment: Experiment) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the classes of an experiment's data, and how many examples of each its clients hold.

    No features are computed, and nothing is trained.

    Args:
        experiment: The experiment.

    Returns:
        The names of the classes, and the counts, shape (clients, classes).

    Raises:
        DataError: As :func:`prepare_data`.
    """
    dataset = load_dataset(experiment.data, experiment.seed)
    shards, _ = share_out(experiment, dataset)
    return dataset.classes, count_classes(dataset.train.labels, shards, len(dataset.classes))


def prepare_test_data(
    experiment: Experiment, dataset: Dataset | None = None, progress: Progress | None = None
) -> Examples:
    """Load the test data and extract its features.

    Args:
        experiment: The experiment.
        dataset: Its dataset, if it is loaded already.
        progress: Called with how far the extraction of features is.
    """
    dataset = dataset or load_dataset(experiment.data, experiment.seed)
    return Examples(extract_features(dataset.test, experiment.features, progress), dataset.test.labels)


def digests_of(dataset: Dataset) -> dict[str, str]:
    """Return the digests of a dataset's parts, as :attr:`FederatedData.digests` has them."""
    digests = {"train": digest_of(dataset.train), "test": digest_of(dataset.test)}
    if dataset.owners is not None:
        digests["clients"] = sha256(np.ascontiguousarray(dataset.owners, dtype=np.int64).data).hexdigest()
    return digests


def digest_of(split: Split) -> str:
    """Return the SHA-256 of a split's images or ready features, and of its labels."""
    digest = sha256(np.ascontiguousarray(split.labels, dtype=np.int64).data)
    if isinstance(split.inputs, np.ndarray):
        digest.update(f"{split.inputs.dtype} {split.inputs.shape}".encode())
        digest.update(np.ascontiguousarray(split.inputs).data)
    else:
        digest.update(split.inputs.fingerprint.encode())
    return digest.hexdigest()


def scaling_of(
    experiment: Experiment, client_sums: Iterable[FeatureSums]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what is subtracted from features and what divides them, each of shape (features,) or (1,).

    Args:
        experiment: The experiment.
        client_sums: Each client's sums, in the order of client ids; used up only if the scaling needs them.
    """
    scaling = experiment.features.scaling
    if scaling is None:
        return np.zeros(1), np.ones(1)
    if isinstance(scaling, ConstantScaling):
        return np.zeros(1), np.array([scaling.divisor])
    return mean_and_deviation(client_sums, scaling.per_feature, center=scaling.center)
