"""What becomes of a server step in which clients failed: it counts, is repeated, or ends the run."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from qiskit_fedqml.config.aggregation import AggregationConfig
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.errors import TrainingError, shortened
from qiskit_fedqml.federation.messages import ClientUpdate, Status
from qiskit_fedqml.federation.past_attempts import PastAttempts
from qiskit_fedqml.federation.server_state import ServerState

MOST_ATTEMPTS = 3
"""So often a round is begun at most where ``on_too_few`` is ``"repeat"``."""

_MOST_REASONS = 3

logger = logging.getLogger(__name__)

Updates = list[ClientUpdate]


def check_may_fail(config: FederationConfig, server_step: int, update: ClientUpdate) -> None:
    """Check that the run continues after what an executor returned of a client.

    Raises:
        TrainingError: The client failed, and ``on_client_failure`` is ``"stop"``.
    """
    if update.status is Status.FAILED and config.on_client_failure == "stop":
        raise TrainingError(f"Round {server_step}, client {update.client_id}: {update.reason}")


def attempted(
    config: FederationConfig,
    server: ServerState,
    attempt: Callable[[ServerState], tuple[ServerState, Updates]],
    past: PastAttempts,
    rule: AggregationConfig,
) -> tuple[ServerState, Updates, list[Updates]]:
    """Try a server step until enough clients have returned.

    Args:
        config: The `federation` section.
        server: The state before the step.
        attempt: Lets clients work; returns the state after the step, and their updates without tensors.
        past: Keeps the attempts of which too few returned; those that are there already are not made again.
        rule: The `aggregation` section, whose rule may need so many updates.

    Returns:
        The state after the step, the updates, and those of earlier attempts, which are not aggregated.

    Raises:
        TrainingError: Too few clients returned, at the last attempt.
        FedQMLError: What an attempt raises.
    """
    most = MOST_ATTEMPTS if config.on_too_few == "repeat" else 1
    step, earlier = server.step + 1, past.of(server.step + 1)
    for number in range(len(earlier) + 1, most + 1):
        after, updates = attempt(replace(server, attempt=number))
        if not (shortage := _shortage(config, rule, step, updates)):
            return after, updates, earlier
        earlier.append([replace(update, share=0.0) for update in updates])  # what was made of them is dropped
        server = replace(server, clock_seconds=after.clock_seconds, dispatched=after.dispatched)  # but not their time
        past.keep(step, earlier if number < most else [])  # after the last one, the step begins again
        if number < most:
            logger.warning("%s; it is repeated (attempt %d of %d).", shortage, number + 1, most)
    times = f", {most} times" if most > 1 else ""
    shortage = _shortage(config, rule, step, earlier[-1])
    raise TrainingError(f"{shortage}{times}. {_reasons(earlier[-1])}".rstrip())


def _shortage(config: FederationConfig, rule: AggregationConfig, step: int, updates: Sequence[ClientUpdate]) -> str:
    """Return what is missing in words; nothing where enough clients returned, and enough of them with an update."""
    num_updates = sum(update.status is Status.OK for update in updates)
    num_returned = num_updates + sum(update.status is Status.TESTED for update in updates)
    if num_returned < config.min_clients:
        return (
            f"Round {step}: {num_returned} of {len(updates)} clients returned, fewer than "
            f"`federation.min_clients` ({config.min_clients})"
        )
    if num_updates < rule.least_updates:
        return (
            f"Round {step}: {num_updates} of {len(updates)} clients returned an update, fewer than "
            f"{rule.what_needs_them} needs ({rule.least_updates})"
        )
    return ""


def _reasons(updates: Sequence[ClientUpdate]) -> str:
    """Return what became of the clients that were lost, those first that failed and may have taken others with them."""
    lost = [update for update in updates if update.status not in (Status.OK, Status.TESTED)]
    lost.sort(key=lambda update: update.status is not Status.FAILED)
    words = [shortened(f"client {update.client_id} {update.outcome}", 200) for update in lost[:_MOST_REASONS]]
    left = len(lost) - len(words)
    return ", ".join([*words, f"… ({left:,} more)"] if left else words)
