"""Each client's and each machine's part of the averages that became the global model."""

from collections.abc import Callable
from typing import TypeVar

from qiskit_fedqml.results.records import ClientRecord
from qiskit_fedqml.results.result import RunResult

Key = TypeVar("Key", int, str)


def shares_by(run: RunResult, key_of: Callable[[ClientRecord], Key]) -> dict[Key, str]:
    """Return the mean part of a round's average that each client or machine had, so that all together have 100%.

    Rounds of which nothing was averaged don't count. Records of version 0.1 don't have shares: nothing is returned.

    Args:
        run: The run.
        key_of: What a client counts for: itself, or its machine.
    """
    totals: dict[Key, float] = {}
    num_averaged = 0
    for record in run.rounds:
        num_averaged += any(client.share for client in record.clients)
        for client in record.clients:
            totals[key_of(client)] = totals.get(key_of(client), 0.0) + client.share
    return {key: f"{total / num_averaged:.1%}" for key, total in totals.items()} if num_averaged else {}
