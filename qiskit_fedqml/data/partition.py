"""Partitions of the training data over clients: disjoint, complete, seeded, and with no empty client."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.errors import DataError

Parts = list[NDArray[np.intp]]
"""For each client the indices of its examples."""


@dataclass(frozen=True, eq=False)
class Shards(Sequence[NDArray[np.intp]]):
    """For each client the sorted indices of its examples, in two arrays however many clients there are.

    Args:
        rows: The indices of all clients, one client after another.
        bounds: Where each client's indices begin and end in ``rows``, shape (clients + 1,).
    """

    rows: NDArray[np.intp]
    bounds: NDArray[np.intp]

    @classmethod
    def of(cls, parts: Sequence[NDArray[np.intp]]) -> "Shards":
        """Return the shards of parts, each sorted."""
        rows, sizes = np.concatenate(parts), [len(part) for part in parts]
        shards = cls(rows, np.concatenate([[0], np.cumsum(sizes)]))
        for rows_of_client in shards:
            rows_of_client.sort()
        return shards

    @property
    def sizes(self) -> NDArray[np.intp]:
        """How many examples each client holds, shape (clients,)."""
        return np.diff(self.bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @overload
    def __getitem__(self, client: int) -> NDArray[np.intp]: ...
    @overload
    def __getitem__(self, client: slice) -> Parts: ...
    def __getitem__(self, client: int | slice) -> NDArray[np.intp] | Parts:
        if isinstance(client, slice):
            return [self[c] for c in range(len(self))[client]]
        client = range(len(self))[client]  # raises where there is none, as a list does
        return self.rows[self.bounds[client] : self.bounds[client + 1]]

    def __iter__(self) -> Iterator[NDArray[np.intp]]:
        return (self.rows[start:end] for start, end in pairwise(self.bounds.tolist()))


def iid(num_examples: int, num_clients: int, rng: np.random.Generator) -> Shards:
    """Shuffle the examples and deal them out in equal parts (sizes differ by at most one)."""
    _check(num_examples, num_clients)
    rows = rng.permutation(num_examples)
    size, num_larger = divmod(num_examples, num_clients)
    split = num_larger * (size + 1)  # the first clients have one example more
    rows[:split].reshape(num_larger, size + 1).sort(axis=1)
    rows[split:].reshape(num_clients - num_larger, size).sort(axis=1)
    clients = np.arange(num_clients + 1)
    return Shards(rows, size * clients + np.minimum(clients, num_larger))


def dirichlet(labels: NDArray[np.int64], num_clients: int, alpha: float, rng: np.random.Generator) -> Shards:
    """Share out each class by proportions drawn from a symmetric Dirichlet distribution (arXiv:1905.12022).

    Li et al. (arXiv:2102.02079) call it distribution-based label imbalance. Clients differ in their numbers of examples
    too, unlike those of Hsu, Qi and Brown (arXiv:1909.06335), who draw each client's mix of classes, and give all
    clients equally many. A client that would be empty is given one example of the client that has most.

    Args:
        labels: Class indices of the examples.
        num_clients: Number of clients.
        alpha: Concentration, above 0: towards 0 each class goes to one client, towards infinity all get equal shares.
        rng: Draws the proportions and the order.
    """
    _check(len(labels), num_clients)
    parts: list[list[NDArray[np.intp]]] = [[] for _ in range(num_clients)]
    for label in np.unique(labels):
        examples = rng.permutation(np.flatnonzero(labels == label))
        for client, part in enumerate(np.split(examples, _cuts(len(examples), num_clients, alpha, rng))):
            parts[client].append(part)
    return Shards.of(_without_empty([np.concatenate(part) for part in parts]))


def label_shards(
    labels: NDArray[np.int64], num_clients: int, shards_per_client: int, rng: np.random.Generator
) -> Shards:
    """Sort the examples by label, cut them into equal shards, and deal each client some (arXiv:1602.05629, Sec. 3)."""
    _check(len(labels), num_clients * shards_per_client)
    shuffled = rng.permutation(len(labels))
    by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
    shards = np.array_split(by_label, num_clients * shards_per_client)
    dealt = rng.permutation(len(shards)).reshape(num_clients, shards_per_client)
    return Shards.of([np.concatenate([shards[s] for s in row]) for row in dealt])


def quantity_skew(num_examples: int, num_clients: int, alpha: float, rng: np.random.Generator) -> Shards:
    """Shuffle the examples and cut them into parts whose sizes follow a symmetric Dirichlet distribution.

    Args:
        num_examples: Number of examples.
        num_clients: Number of clients.
        alpha: Concentration, above 0: the smaller, the more unequal.
        rng: Draws the sizes and the order.
    """
    _check(num_examples, num_clients)
    cuts = _cuts(num_examples, num_clients, alpha, rng)
    return Shards.of(_without_empty(list(np.split(rng.permutation(num_examples), cuts))))


def _check(num_examples: int, num_parts: int) -> None:
    if num_parts > num_examples:
        raise DataError(f"{num_examples} training examples cannot be shared out into {num_parts} non-empty parts.")


def _cuts(count: int, num_clients: int, alpha: float, rng: np.random.Generator) -> NDArray[np.intp]:
    proportions = rng.dirichlet(np.full(num_clients, alpha))
    if not np.isfinite(proportions).all() or not np.isclose(proportions.sum(), 1.0):
        # A tiny alpha underflows, a huge one overflows; in the limits one client takes all, or all take equal shares.
        one = np.eye(num_clients)[rng.integers(num_clients)]
        proportions = one if alpha < 1 else np.full(num_clients, 1 / num_clients)
    return np.round(np.cumsum(proportions)[:-1] * count).astype(np.intp)


def _without_empty(parts: Parts) -> Parts:
    for client, part in enumerate(parts):
        if not len(part):
            largest = max(range(len(parts)), key=lambda c: len(parts[c]))
            parts[client], parts[largest] = parts[largest][-1:], parts[largest][:-1]
    return parts
