"""A few of an experiment's images, for runs of the smallest size."""

from pathlib import Path

import numpy as np

from qiskit_fedqml import load_experiment
from qiskit_fedqml.config.data import NpzData
from qiskit_fedqml.data.location import find_data
from qiskit_fedqml.errors import ConfigurationError, DataError

FEW = {"train": 200, "test": 100}
"""How many are taken, the first ones of each part."""


def has_images(experiment: Path) -> bool:
    """Return whether the data of an experiment file are there."""
    try:
        find_data(_data_of(experiment).path)
    except DataError:
        return False
    return True


def few_images(experiment: Path, target: Path) -> str:
    """Write the first images of an experiment's NPZ file to another one, and return its path.

    Raises:
        ConfigurationError: The experiment's data are in no NPZ file.
        DataError: The file is not there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with np.load(find_data(_data_of(experiment).path), allow_pickle=False) as images:
        few = {f"{kind}_{part}": images[f"{kind}_{part}"][:count] for part, count in FEW.items() for kind in "xy"}
    np.savez(target, **few)
    return str(target.absolute())


def _data_of(experiment: Path) -> NpzData:
    data = load_experiment(experiment).data
    if not isinstance(data, NpzData):
        raise ConfigurationError(f"The smallest size needs images in an NPZ file, but {experiment} has {data.dataset}.")
    return data
