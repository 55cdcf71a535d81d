"""Federated averaging (McMahan et al., 2017, arXiv:1602.05629, Algorithm 1), streamed.

Updates are added in the order in which they come, one in memory at a time. Angles are averaged as plain real numbers,
whichever device trained them.
"""

from collections.abc import Iterable

from qiskit_fedqml.training import ClientUpdate, State


def fedavg(updates: Iterable[ClientUpdate]) -> tuple[State | None, list[ClientUpdate]]:
    """Average client updates, each weighted by its number of examples.

    Updates without a state (failed or refused) are not averaged.

    Args:
        updates: The clients' updates in the order of client ids; each one's tensors are used before the next is taken.

    Returns:
        The average (None if there was nothing to average), and the updates without their tensors.
    """
    average: State = {}
    num_examples = 0
    seen: list[ClientUpdate] = []
    for update in updates:
        seen.append(_without_state(update))
        if update.state is None:
            continue
        num_examples += update.num_examples
        for name, tensor in update.state.items():
            if name in average:  # a running mean, so that equal updates average to themselves, to the bit
                average[name].lerp_(tensor, update.num_examples / num_examples)
            else:
                average[name] = tensor.clone()
    return average or None, seen


def _without_state(update: ClientUpdate) -> ClientUpdate:
    values = {**update.__dict__, "state": None}
    return ClientUpdate(**values)
