"""Rounds in which some clients send something else than what they trained."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Literal, get_args

import torch

from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.federation.algorithms.algorithm import Setting
from qiskit_fedqml.federation.algorithms.synchronous import Synchronous
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State
from qiskit_fedqml.federation.server_state import ServerState

Kind = Literal["times", "mean", "little"]


class Forged:
    """Synchronous rounds in which some clients replace their updates before the server gets them.

    An update is what a client trained less the global model. What its tensors are replaced by derives from the updates
    of the clients that collude alone, which know each other's, and not those of the others.

    Args:
        setting: The run's.
        clients: Which clients do so.
        kind: ``"times"``: each its own update times ``factor``. ``"mean"``: all of them the mean of theirs times
            ``factor``, which with a negative one is inner-product manipulation (Xie, Koyejo and Gupta, 2019,
            arXiv:1903.03936, Eq. 3). ``"little"``: all of them the mean of theirs less z standard deviations of each
            number, which is "a little is enough" (Baruch, Baruch and Goldberg, 2019, arXiv:1902.06156, Algorithm 3).
        factor: What updates are multiplied by; NaN makes them so.

    Raises:
        ConfigurationError: There is no such kind.
    """

    def __init__(self, setting: Setting, clients: Sequence[int], kind: Kind, factor: float | str = 1.0) -> None:
        if kind not in get_args(Kind):
            raise ConfigurationError(f"Argument `kind` must be one of {get_args(Kind)}, but got {kind!r}.")
        self._inner, self._clients = Synchronous(setting), frozenset(clients)
        self._kind, self._factor = kind, float(factor)
        self._deviations = little_enough(setting.config.clients_per_round, len(self._clients))

    def init(self, model: State) -> ServerState:
        """Return the state before the first round."""
        return self._inner.init(model)

    def next_tasks(self, server: ServerState) -> list[ClientTask]:
        """Draw the clients of the next round."""
        return self._inner.next_tasks(server)

    def apply(self, server: ServerState, updates: Iterable[ClientUpdate]) -> tuple[ServerState, list[ClientUpdate]]:
        """Aggregate a round with the forged updates."""
        return self._inner.apply(server, self._forged(server.model, list(updates)))

    def _forged(self, model: State, updates: list[ClientUpdate]) -> list[ClientUpdate]:
        own = {
            update.client_id: {name: tensor - model[name] for name, tensor in update.state.items()}
            for update in updates
            if update.client_id in self._clients and update.state is not None
        }
        if not own:
            return updates
        sent = {client: self._sent(change, list(own.values())) for client, change in own.items()}
        return [
            replace(update, state={name: model[name] + change for name, change in sent[update.client_id].items()})
            if update.client_id in sent
            else update
            for update in updates
        ]

    def _sent(self, own: State, of_all: list[State]) -> State:
        """Return what a client sends in the place of its own change."""
        if self._kind == "times":
            return {name: self._factor * change for name, change in own.items()}
        found = {}
        for name in own:
            changes = torch.stack([each[name] for each in of_all])
            mean = changes.mean(dim=0)
            if self._kind == "mean":
                found[name] = self._factor * mean
            else:
                found[name] = mean - self._deviations * changes.std(dim=0, correction=0)
        return found


def little_enough(num_clients: int, num_attackers: int) -> float:
    """Return z of "a little is enough" (arXiv:1902.06156, Algorithm 3).

    With s = ⌊n/2 + 1⌋ − m supporters that are needed of the n − m others, it is the z below which a standard normal
    number lies with probability (n − m − s) / (n − m).

    Args:
        num_clients: n, of a round.
        num_attackers: m, fewer than half of them.
    """
    others = num_clients - num_attackers
    supporters = num_clients // 2 + 1 - num_attackers
    return NormalDist().inv_cdf((others - supporters) / others)
