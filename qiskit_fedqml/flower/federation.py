"""The experiment and the data of a run whose clients are nodes, made of what the nodes said of themselves."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from qiskit_fedqml.backends.array.used import server_backends
from qiskit_fedqml.config.backends import AerEntry, BackendEntry, CalibrationFile
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.data.datasets import Dataset
from qiskit_fedqml.data.examples import Examples
from qiskit_fedqml.data.features import extract_features
from qiskit_fedqml.data.loading import cut_validation
from qiskit_fedqml.data.partition import Shards
from qiskit_fedqml.data.preparation import FederatedData, digest_of, prepare_test_data, scaling_of
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.files import make_folder, write_text
from qiskit_fedqml.flower.roll import Member


def experiment_with(experiment: Experiment, members: Mapping[int, Member], folder: Path) -> Experiment:
    """Return an experiment with the nodes' machines in the place of those that it names for clients.

    Args:
        experiment: The server's experiment.
        members: The nodes, by client.
        folder: Where calibrations that nodes sent are written.

    Raises:
        ConfigurationError: The machines do not fit the experiment, or the server would test on a device.
        ResultError: A calibration cannot be written.
    """
    own = server_backends(experiment)
    entries: dict[str, BackendEntry] = dict(own.backends)
    names: dict[int, str] = {}
    for client in sorted(members):
        introduction = members[client].introduction
        entry = _placed(introduction.entry, introduction.calibration, folder)
        name = introduction.backend
        if name in entries and entries[name] != entry:  # two organisations, one name
            name = f"{name[:80]}-of-client-{client}"
        entries[name], names[client] = entry, name
    default = names[min(names)]
    values: dict[str, Any] = experiment.resolved()
    values["backends"] = {
        "backends": {name: entry.model_dump(mode="json") for name, entry in entries.items()},
        "assignment": {
            "server": own.assignment.server,
            "default": default,
            "clients": {client: name for client, name in names.items() if name != default},
        },
    }
    return validate(Experiment, values, "the experiment with the nodes' machines")


def data_of(experiment: Experiment, dataset: Dataset, members: Mapping[int, Member]) -> FederatedData:
    """Return the server's data, with what is known of the clients' data: their numbers, digests and sums.

    Args:
        experiment: The experiment.
        dataset: Its dataset; the training data in it are used only for a tuning set.
        members: The nodes, by client.

    Raises:
        DataError: Test data or features are missing or do not fit.
        ConfigurationError: A node's examples have another number of features.
    """
    test = prepare_test_data(experiment, dataset)
    num_features = test.features.shape[1]
    ordered = [members[client] for client in sorted(members)]
    for member in ordered:
        if member.introduction.num_features != num_features:
            raise ConfigurationError(
                f"Client {member.introduction.client} (node {member.node}) has examples of "
                f"{member.introduction.num_features} features, but the server's test data have {num_features}."
            )
    train = Examples(np.empty((0, num_features), np.float32), np.empty(0, np.int64))
    _, validation = cut_validation(len(dataset.train), experiment.data.validation_fraction, experiment.seed)
    if len(validation):
        train = Examples(extract_features(dataset.train, experiment.features), dataset.train.labels)
    mean, deviation = scaling_of(experiment, (member.sums for member in ordered if member.sums is not None))
    digests = [member.introduction.digest or "" for member in ordered]
    return FederatedData(
        classes=dataset.classes,
        train=train,
        shards=_counted([member.introduction.examples for member in ordered]),
        validation=validation,
        test=test,
        mean=mean,
        deviation=deviation,
        digests={"train": sha256("".join(digests).encode()).hexdigest(), "test": digest_of(dataset.test)},
    )


def _counted(sizes: list[int]) -> Shards:
    """Return shards of which only the sizes are known."""
    return Shards(np.broadcast_to(np.intp(0), sum(sizes)), np.cumsum([0, *sizes]))


def _placed(entry: BackendEntry, calibration: str | None, folder: Path) -> BackendEntry:
    """Return an entry whose calibration file lies here."""
    if not isinstance(entry, AerEntry) or not isinstance(entry.noise, CalibrationFile):
        return entry
    if calibration is None:
        raise ConfigurationError("A node names a calibration file, but did not send it.")
    make_folder(folder)
    path = folder / f"{sha256(calibration.encode()).hexdigest()}.json"
    write_text(path, calibration)
    return entry.model_copy(update={"noise": CalibrationFile(calibration=str(path.absolute()))})
