"""Graphs of nodes, and the weights by which neighbours mix their models."""

from collections.abc import Collection

import networkx as nx

from qiskit_fedqml.config.graph import Edges, NamedGraph, RandomRegular, torus_sides
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.seeds import derive_seed

_MOST_DRAWS = 100
"""So often a random graph is drawn until it is connected."""

Neighbours = tuple[tuple[int, ...], ...]
"""The neighbours of each node, in order."""


def neighbours_in(graph: NamedGraph | RandomRegular | Edges, nodes: int, seed: int) -> Neighbours:
    """Return the neighbours of each node.

    A torus has its nodes row by row, as near to a square as their number allows.

    Args:
        graph: The graph, which fits the number of nodes.
        nodes: How many nodes there are.
        seed: The run's seed, from which a random graph is drawn.

    Raises:
        ConfigurationError: A random graph is not connected, however often it is drawn.
    """
    made = _graph(graph, nodes, seed)
    return tuple(tuple(sorted(made.neighbors(node))) for node in range(nodes))


def metropolis_weights(neighbours: Neighbours, present: Collection[int]) -> dict[int, dict[int, float]]:
    """Return the weights by which each node that is present mixes: W_ij of node i and its neighbours j.

    W_ij = 1 / (1 + max(d_i, d_j)) for neighbours, and W_ii is what is left to 1, with d the numbers of neighbours that
    are present: Metropolis weights (Xiao, Boyd and Lall, 2005, doi:10.1109/IPSN.2005.1440896), also for graphs that
    change from step to step. A node needs to know its own degree and its neighbours'. W is symmetric and each row adds
    up to 1, so the mean of all models stays.

    Args:
        neighbours: The graph.
        present: The nodes that are there.

    Returns:
        A row for each of them, by node, in the order of nodes.
    """
    there = set(present)
    around = {node: [other for other in neighbours[node] if other in there] for node in sorted(there)}
    rows = {}
    for node, others in around.items():
        row = {other: 1.0 / (1 + max(len(others), len(around[other]))) for other in others}
        rows[node] = dict(sorted((row | {node: 1.0 - sum(row.values())}).items()))
    return rows


def num_messages(rows: dict[int, dict[int, float]]) -> int:
    """Return how many models are sent: one along each edge between nodes that are present, in both directions."""
    return sum(len(row) - 1 for row in rows.values())


def _graph(graph: NamedGraph | RandomRegular | Edges, nodes: int, seed: int) -> nx.Graph:
    if isinstance(graph, Edges):
        made = nx.Graph()
        made.add_nodes_from(range(nodes))
        made.add_edges_from(graph.edges)
        return made
    if isinstance(graph, RandomRegular):
        return _drawn(graph.random_regular.degree, nodes, seed)
    if graph == "torus":
        sides = torus_sides(nodes)
        assert sides is not None, "the configuration refuses others"
        return nx.convert_node_labels_to_integers(nx.grid_2d_graph(*sides, periodic=True), ordering="sorted")
    return nx.cycle_graph(nodes) if graph == "ring" else nx.complete_graph(nodes)


def _drawn(degree: int, nodes: int, seed: int) -> nx.Graph:
    for draw in range(_MOST_DRAWS):
        drawn = derive_seed(seed, "edges of the graph", step=draw) % 2**32
        made = nx.random_regular_graph(degree, nodes, seed=drawn)
        if nx.is_connected(made):
            return made
    raise ConfigurationError(
        f"`federation.algorithm.gossip.graph`: none of {_MOST_DRAWS} random graphs of {nodes} nodes with {degree} "
        "neighbours each is connected; choose a higher degree."
    )
