"""Private runs: whether one can begin, and what an interrupted one has spent."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING

from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.results.writer import RunWriter

if TYPE_CHECKING:
    from qiskit_fedqml.federation.runs.assembly import Federation


def check_first_round(federation: "Federation") -> None:
    """Check that a run may begin.

    Raises:
        ConfigurationError: Its first round would spend more than ``privacy.epsilon``.
    """
    if (budget := federation.privacy) is None:
        return
    first = federation.spending(federation.initial, federation.algorithm.next_tasks(federation.initial))
    if not budget.allows(first.spent):
        raise ConfigurationError(
            f"The first round would spend ε = {budget.epsilon(first.spent):.4g}, more than `privacy.epsilon`, "
            f"{budget.config.epsilon:g}: it takes more noise (`noise_multiplier`); `fedqml privacy` says how much."
        )


def with_interrupted(federation: "Federation", server: ServerState, stored: RunResult) -> ServerState:
    """Return the server's state with what was released after it, by rounds that will be replayed with other noise.

    One more round may have begun than there are records. Simulated noise is the same again, and so releases nothing.

    Args:
        federation: The run.
        server: The state of its last checkpoint.
        stored: The run with all rounds that were recorded; one that has ended was not interrupted.
    """
    budget, has_ended = federation.privacy, stored.folder is not None and RunFolder(stored.folder).is_finished
    if budget is None or budget.config.randomness == "simulated" or has_ended:
        return server
    spent = server.spent
    for record in stored.rounds[server.step :]:
        spent = budget.after(spent, [client.id for client in record.clients])
    begun = replace(server, step=len(stored.rounds), spent=spent)
    return replace(server, spent=federation.spending(begun, federation.algorithm.next_tasks(begun)).spent)


def record_spending(
    federation: "Federation", server: ServerState, records: Sequence[RoundRecord], writer: RunWriter
) -> Sequence[RoundRecord]:
    """Let the last record say what was spent with an interrupted round; return the records.

    Raises:
        ResultError: They cannot be written; or there is none yet, and the first round, which was interrupted, cannot be
            begun once more.
    """
    budget = federation.privacy
    if not records and budget is not None:
        again = federation.spending(server, federation.algorithm.next_tasks(server)).spent
        if not budget.allows(again):
            raise ResultError(
                f"{writer.path}: the first round was interrupted, which counts as if it had been released. To begin it "
                f"once more would spend ε = {budget.epsilon(again):.4g}, more than `privacy.epsilon`, "
                f"{budget.config.epsilon:g}."
            )
    if not records or (last := replace(records[-1], **federation.epsilons(server))) == records[-1]:
        return records
    writer.rewrite_records(chain(islice(records, len(records) - 1), [last]))
    return writer.records
