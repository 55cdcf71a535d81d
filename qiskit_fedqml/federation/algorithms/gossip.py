"""Decentralised training: nodes of a graph train, and mix their models with their neighbours'.

In each step, a synchronous gossip round, a node first adapts and then combines: from its own model x_i it trains y_i on
its own data, and its next model is Σ_j W_ij y_j over itself and its neighbours, with Metropolis weights
(:func:`~.graphs.metropolis_weights`). D-PSGD (Lian et al., 2017, arXiv:1705.09056, Algorithm 1) takes one gradient, at
x_i, and adds it after the mixing, x_i ← Σ_j W_ij x_j − γ ∇F_i(x_i); here a node trains for all its local epochs and
sends what it has then.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from qiskit_fedqml.config.gossip import GossipOptions
from qiskit_fedqml.federation.algorithms.algorithm import Setting
from qiskit_fedqml.federation.algorithms.graphs import Neighbours, metropolis_weights, num_messages
from qiskit_fedqml.federation.algorithms.presence import left_before, present_in
from qiskit_fedqml.federation.algorithms.stepping import keep
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State, Status
from qiskit_fedqml.federation.nodes import Nodes, weighted_sum
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.federation.validation import validated


@dataclass(frozen=True)
class Gossip:
    """Each client is a node with a model of its own; there is no server.

    A node that is not there trains nothing, sends nothing and keeps its model; the others weigh each other by the
    neighbours that they have then. A node whose training failed, or whose update is refused, takes part with the model
    that it had. Nothing here looks at all models but the mean, ``ServerState.model``, which is there to be tested and
    saved, and which no node holds.

    Args:
        setting: The nodes; neither its rule nor its server optimiser is used.
        options: Which nodes are there when.
        neighbours: The graph.
    """

    setting: Setting
    options: GossipOptions
    neighbours: Neighbours

    def init(self, model: State) -> ServerState:
        """Return the state before the first step, in which all nodes have the same model."""
        copies = [{name: tensor.clone() for name, tensor in model.items()} for _ in self.neighbours]
        return ServerState(0, model, nodes=Nodes(tuple(copies)))

    def next_tasks(self, server: ServerState) -> list[ClientTask]:
        """Let each node that is there train from its own model."""
        assert server.nodes is not None
        tasks = []
        for node in self._present(server, self._left(server)):
            backend, kept = self.setting.backends[node], server.clients.get(node, {})
            model, trains = server.nodes.models[node], self.setting.trains(backend)
            tasks.append(ClientTask(server.step + 1, node, backend, model, trains, kept))
        return tasks

    def apply(self, server: ServerState, updates: Iterable[ClientUpdate]) -> tuple[ServerState, list[ClientUpdate]]:
        """Let nodes take what they trained, and mix with their neighbours that are there."""
        assert server.nodes is not None
        left, kept = self._left(server), dict(server.clients)
        models, returned = list(server.nodes.models), list[ClientUpdate]()
        for update in validated(updates, server.model, norm_ratio=None):
            if update.state is not None:
                models[update.client_id] = update.state
            keep(kept, update)
            returned.append(replace(update, state=None, client_states={}))
        rows = metropolis_weights(self.neighbours, self._present(server, left))
        mixed = [weighted_sum(models, rows[node]) if node in rows else model for node, model in enumerate(models)]
        nodes = Nodes(tuple(mixed), left, num_messages(rows))
        after = replace(server, step=server.step + 1, model=nodes.mean(), clients=kept, attempt=1, nodes=nodes)
        return after, _with_shares(returned)

    def _left(self, server: ServerState) -> tuple[int, ...]:
        """Return the nodes that have left by chance before the next step."""
        assert server.nodes is not None
        seed, nodes = self.setting.seed, len(self.neighbours)
        return left_before(seed, self.options, nodes, server.step + 1, server.nodes.left)

    def _present(self, server: ServerState, left: tuple[int, ...]) -> list[int]:
        return present_in(self.options, len(self.neighbours), server.step + 1, left)


def _with_shares(updates: list[ClientUpdate]) -> list[ClientUpdate]:
    """Give each node that trained an equal part of what moves the mean: mixing moves it no further."""
    trained = sum(update.status is Status.OK for update in updates)
    return [replace(update, share=1.0 / trained if update.status is Status.OK else 0.0) for update in updates]
