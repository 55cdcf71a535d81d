"""Connected groups of qubits."""

import itertools

import pytest
import rustworkx as rx

from qiskit_fedqml.backends.packing.groups import connected_groups


def neighbours(graph):
    return {node: frozenset(graph.neighbors(node)) for node in graph.node_indices()}


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("graph", [rx.generators.grid_graph(3, 3), rx.generators.star_graph(6), rx.PyGraph()])
def test_all_connected_groups_are_found_once(graph, size):
    found = connected_groups(neighbours(graph), size, 10_000)
    by_trying = [
        group
        for group in itertools.combinations(graph.node_indices(), size)
        if rx.is_connected(graph.subgraph(list(group)))
    ]
    assert found == by_trying


def test_too_many_groups_are_not_listed():
    lattice = neighbours(rx.generators.grid_graph(12, 12))
    assert connected_groups(lattice, 2, 264) is not None
    assert connected_groups(lattice, 2, 263) is None
    assert connected_groups(lattice, 30, 1000) is None
