"""The graph of a federation without a server: who sends its model to whom."""

from math import isqrt
from typing import Annotated, Literal

from pydantic import Field, Tag

from qiskit_fedqml.config.alternatives import NAME, one_of, tag_of
from qiskit_fedqml.config.strict import Integer, StrictModel
from qiskit_fedqml.errors import listed

MOST_EDGES = 1_000_000
"""Of a graph; a model goes along each of them in both directions, in each step."""

_Node = Annotated[Integer, Field(ge=0, lt=10_000_000)]


class RandomRegularOptions(StrictModel):
    """A random graph in which each node has the same number of neighbours, drawn from the run's seed."""

    degree: Annotated[Integer, Field(ge=3, le=MOST_EDGES)]
    """How many neighbours each node has; with 2 it would be a ring."""


class RandomRegular(StrictModel):
    """A random regular graph; it is drawn again, 100 times at most, until it is connected."""

    random_regular: RandomRegularOptions
    """A random graph in which each node has the same number of neighbours."""


class Edges(StrictModel):
    """A graph by its edges, each a pair of nodes."""

    edges: Annotated[tuple[tuple[_Node, _Node], ...], Field(min_length=1, max_length=MOST_EDGES)]
    """The graph's edges: pairs of nodes, from 0, or the path of a CSV file with the columns node and neighbour."""


NamedGraph = Literal["ring", "torus", "complete"]

Graph = Annotated[
    Annotated[NamedGraph, Tag(NAME)]
    | Annotated[RandomRegular, Tag(tag_of("random_regular"))]
    | Annotated[Edges, Tag(tag_of("edges"))],
    one_of(
        "must be ring, torus, complete, {random_regular: {degree: D}} or {edges: [[NODE, NODE], …]}",
        {"random_regular": RandomRegular, "edges": Edges},
        ("ring", "torus", "complete"),
    ),
]


def check_graph(graph: "NamedGraph | RandomRegular | Edges", nodes: int) -> None:
    """Refuse a graph that does not fit the number of nodes, is too large, or is not connected.

    Args:
        graph: The graph.
        nodes: How many nodes there are, from 2.

    Raises:
        ValueError: It does not, or is.
    """
    if isinstance(graph, Edges):
        _check_edges(graph.edges, nodes)
    elif isinstance(graph, RandomRegular):
        _check_degree(graph.random_regular.degree, nodes)
    elif graph == "torus" and torus_sides(nodes) is None:
        fitting = [*reversed(_torus_sizes(range(nodes - 1, 8, -1))), *_torus_sizes(range(max(9, nodes + 1), 2 * 10**7))]
        raise ValueError(
            f"a torus has rows and columns, at least 3 of each, which {nodes} nodes cannot fill; sizes near it that "
            f"fit are {listed(map(str, fitting))}"
        )
    elif graph == "ring" and nodes < 3:
        raise ValueError(f"a ring has at least 3 nodes, but clients is {nodes}; the graph complete joins them")
    if (num_edges := _num_edges(graph, nodes)) > MOST_EDGES:
        raise ValueError(f"the graph has {num_edges:,} edges with {nodes:,} nodes, more than {MOST_EDGES:,}")


def torus_sides(nodes: int) -> tuple[int, int] | None:
    """Return rows and columns of the torus that is nearest to a square; None where there is none."""
    found = (rows for rows in range(isqrt(nodes), 2, -1) if nodes % rows == 0)
    return next(((rows, nodes // rows) for rows in found), None)


def _torus_sizes(sizes: range, most: int = 2) -> list[int]:
    found: list[int] = []
    for size in sizes:
        if len(found) == most:
            break
        if torus_sides(size):
            found.append(size)
    return found


def _num_edges(graph: "NamedGraph | RandomRegular | Edges", nodes: int) -> int:
    if isinstance(graph, Edges):
        return len(graph.edges)
    if isinstance(graph, RandomRegular):
        return nodes * graph.random_regular.degree // 2
    return {"ring": nodes, "torus": 2 * nodes, "complete": nodes * (nodes - 1) // 2}[graph]


def _check_degree(degree: int, nodes: int) -> None:
    if degree > nodes - 2:
        raise ValueError(
            f"algorithm.gossip.graph.random_regular.degree ({degree}) must be at most {nodes - 2} with {nodes} "
            "nodes; with one more neighbour it would be the graph complete"
        )
    if degree * nodes % 2:
        raise ValueError(f"no graph has {nodes} nodes of {degree} neighbours each: one of the two numbers must be even")


def _check_edges(edges: tuple[tuple[int, int], ...], nodes: int) -> None:
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(range(nodes))
    for first, second in edges:
        if max(first, second) >= nodes:
            raise ValueError(
                f"algorithm.gossip.graph.edges names node {max(first, second)}, but with {nodes} clients the nodes are "
                f"0 to {nodes - 1}"
            )
        if first == second:
            raise ValueError(f"algorithm.gossip.graph.edges joins node {first} with itself")
        if graph.has_edge(first, second):
            raise ValueError(f"algorithm.gossip.graph.edges joins nodes {first} and {second} twice")
        graph.add_edge(first, second)
    parts = sorted(nx.connected_components(graph), key=min)
    if len(parts) > 1:
        raise ValueError(
            f"the graph must be connected, but falls into {len(parts)} parts: no path leads from node {min(parts[0])} "
            f"to node {min(parts[1])}"
        )
