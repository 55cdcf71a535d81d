"""Each client's and each machine's part of the averages that became the global model."""

from collections.abc import Callable

from qiskit_fedqml.results.records import ClientRecord
from qiskit_fedqml.results.result import RunResult


def share_of_average(run: RunResult, is_counted: Callable[[ClientRecord], bool]) -> str:
    """Return the mean part that some clients had in a round's average, so that all clients together have 100%.

    Rounds of which nothing was averaged don't count. Records of version 0.1 don't have their shares, which gives "–".

    Args:
        run: The run.
        is_counted: Which clients.
    """
    averaged = [record for record in run.rounds if any(client.share for client in record.clients)]
    if not averaged:
        return "–"
    total = sum(client.share for record in averaged for client in record.clients if is_counted(client))
    return f"{total / len(averaged):.1%}"
