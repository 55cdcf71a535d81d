"""What each client gets: by a partition, drawn again if need be, or as the dataset itself says."""

import logging

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.config.data import DataConfig
from qiskit_fedqml.data.loading import partition_examples
from qiskit_fedqml.data.partition import Shards
from qiskit_fedqml.errors import DataError, listed

logger = logging.getLogger(__name__)


def shards_of(
    labels: NDArray[np.int64], owners: NDArray[np.int64] | None, num_clients: int, config: DataConfig, seed: int
) -> Shards:
    """Return each client's positions in ``labels``; a warning names clients with fewer than ``min_examples``.

    Args:
        labels: Class indices of the examples.
        owners: The client of each example; None where they are to be shared out.
        num_clients: Number of clients.
        config: The `data` section.
        seed: The run's seed.

    Raises:
        DataError: A client would be empty; or so many draws of the partition as ``redraw`` allows leave clients with
            fewer than ``min_examples``.
    """
    shards = _owned(owners, num_clients, config) if owners is not None else _drawn(labels, num_clients, config, seed)
    few = np.flatnonzero(shards.sizes < config.min_examples)
    if len(few):
        logger.warning(
            "%d of %d clients have fewer than %d examples (`data.min_examples`): %s.",
            *(len(few), num_clients, config.min_examples),
            listed((f"client {client} has {shards.sizes[client]}" for client in few), 5),
        )
    return shards


def _drawn(labels: NDArray[np.int64], num_clients: int, config: DataConfig, seed: int) -> Shards:
    num_few = 0
    for draw in range(config.redraw + 1):
        shards = partition_examples(labels, num_clients, config.partition, seed, draw)
        num_few = int(np.count_nonzero(shards.sizes < config.min_examples))
        if not num_few or not config.redraw:
            if draw:
                logger.info(
                    "The partition was drawn %d times until each client had %d examples.", draw + 1, config.min_examples
                )
            return shards
    raise DataError(
        f"None of {config.redraw + 1} draws of the partition gives each of {num_clients} clients "
        f"{config.min_examples} examples (`data.min_examples`); in the last one, {num_few} have fewer. Ask for fewer, "
        "take fewer clients, or a partition that is less unequal."
    )


def _owned(owners: NDArray[np.int64], num_clients: int, config: DataConfig) -> Shards:
    if config.partition is not None:
        raise DataError("`data.partition` has no effect where the data of each client are given; leave it out.")
    have = int(owners.max(initial=-1)) + 1
    if have != num_clients or owners.min(initial=0) < 0:
        raise DataError(f"`data` has {have} clients, but `federation.clients` is {num_clients}; they must be as many.")
    sizes = np.bincount(owners, minlength=num_clients)
    if not sizes.all():
        raise DataError(
            f"Client {int(np.argmin(sizes))} has no examples left once `data.validation_fraction` is cut out."
        )
    return Shards(np.argsort(owners, kind="stable").astype(np.intp), np.concatenate([[0], np.cumsum(sizes)]))
