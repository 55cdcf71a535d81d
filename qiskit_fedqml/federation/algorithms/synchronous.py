"""Synchronous rounds, as in federated averaging (McMahan et al., 2017, arXiv:1602.05629, Algorithm 1)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from qiskit_fedqml.federation.algorithms.algorithm import Setting
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State, States, Status
from qiskit_fedqml.federation.sampling import sample_clients
from qiskit_fedqml.federation.server_state import ServerState


@dataclass(frozen=True)
class Synchronous:
    """Each server step is a round: some clients are drawn, all train from the same model, and all are waited for.

    Args:
        setting: Clients, rule and server optimiser.
    """

    setting: Setting

    def init(self, model: State) -> ServerState:
        """Return the state before the first round."""
        return ServerState(0, model)

    def next_tasks(self, server: ServerState) -> list[ClientTask]:
        """Draw the clients of the next round."""
        config = self.setting.config
        chosen = sample_clients(
            self.setting.seed, server.step + 1, config.clients, config.clients_per_round, server.attempt
        )
        return [self.setting.task(server, client) for client in chosen]

    def apply(self, server: ServerState, updates: Iterable[ClientUpdate]) -> tuple[ServerState, list[ClientUpdate]]:
        """Aggregate a round; where nothing came back, the global model stays."""
        rule, kept = self.setting.rule, dict(server.clients)
        seen: list[tuple[ClientUpdate, float]] = []
        total = 0.0
        rule.start(server.model)
        for update in updates:
            weight = self.setting.weight_of(update) if update.state is not None else 0.0
            if weight:
                rule.add(update, weight)
                total += weight
            _keep(kept, update)
            seen.append((replace(update, state=None, client_states={}), weight))
        returned = [replace(update, share=weight / total if total else 0.0) for update, weight in seen]
        model, memory = self._step(server, rule.finish()) if total else (server.model, server.optimizer)
        return ServerState(server.step + 1, model, memory, kept), returned

    def _step(self, server: ServerState, aggregate: State) -> tuple[State, States]:
        if self.setting.server_optimizer is None:
            return aggregate, server.optimizer
        return self.setting.server_optimizer.step(server.model, aggregate, server.optimizer)


def _keep(kept: dict[int, States], update: ClientUpdate) -> None:
    """Keep what a client that trained wants kept; what went wrong is forgotten."""
    if update.status is Status.TESTED:
        return
    if update.client_states:
        kept[update.client_id] = update.client_states
    else:
        kept.pop(update.client_id, None)
