"""A server step: the rule makes an aggregate of updates, and the server optimiser steps towards it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from qiskit_fedqml.errors import TrainingError, shown
from qiskit_fedqml.federation.messages import ClientUpdate, State, States, Status
from qiskit_fedqml.federation.rules.aggregator import chooses, releases, remembers
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.federation.validation import validated

if TYPE_CHECKING:
    from qiskit_fedqml.federation.algorithms.algorithm import Setting


def stepped(
    setting: "Setting", server: ServerState, updates: Iterable[ClientUpdate]
) -> tuple[ServerState, list[ClientUpdate]]:
    """Aggregate updates; where nothing came back, the global model stays, unless the rule releases noise all the same.

    Args:
        setting: Rule, weights and server optimiser.
        server: The state before the step.
        updates: The updates, which are used up one after another.

    Returns:
        The state after the step, and the updates without their tensors but with their shares.
    """
    rule, kept = setting.rule, dict(server.clients)
    seen: list[tuple[ClientUpdate, float]] = []
    total = 0.0
    if remembers(rule):
        rule.recall(server.rule)
    if releases(rule):
        rule.begin_release(server.step + 1)
    rule.start(server.model)
    for update in validated(updates, server.model, setting.norm_ratio):
        weight = setting.weight_of(update) if update.state is not None else 0.0
        if weight:
            rule.add(update, weight)
            total += weight
        keep(kept, update)
        seen.append((replace(update, state=None, client_states={}), weight))
    is_moved = total > 0 or releases(rule)
    model, memory = _moved(setting, server, rule.finish()) if is_moved else (server.model, server.optimizer)
    shares = [weight / total if total else 0.0 for _, weight in seen]
    if total and chooses(rule) and (parts := rule.parts()):
        chosen = iter(parts)
        shares = [next(chosen) if weight else 0.0 for _, weight in seen]
    returned = [replace(update, share=share) for (update, _), share in zip(seen, shares, strict=True)]
    after = replace(server, step=server.step + 1, model=model, optimizer=memory, clients=kept, attempt=1)
    if remembers(rule):
        after = replace(after, rule=rule.remembered())
    return after, returned


def _moved(setting: "Setting", server: ServerState, aggregate: State) -> tuple[State, States]:
    for name, tensor in server.model.items():
        if (found := aggregate.get(name)) is None or found.shape != tensor.shape:
            wrong = "is missing" if found is None else f"has the shape {tuple(found.shape)}, not {tuple(tensor.shape)}"
            raise TrainingError(
                f"Round {server.step + 1}: `aggregation.rule` must give each of the model's tensors, but {shown(name)} "
                f"{wrong}."
            )
    if setting.server_optimizer is None:
        return aggregate, server.optimizer
    return setting.server_optimizer.step(server.model, aggregate, server.optimizer)


def keep(kept: dict[int, States], update: ClientUpdate) -> None:
    """Keep what a client that trained wants kept; what went wrong is forgotten."""
    if update.status is Status.TESTED:
        return
    if update.client_states:
        kept[update.client_id] = update.client_states
    else:
        kept.pop(update.client_id, None)
