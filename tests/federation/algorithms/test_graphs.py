"""Graphs have the neighbours that their names say, and mixing is the product with a doubly stochastic matrix."""

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qiskit_fedqml.config.graph import Edges, RandomRegular
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.federation.algorithms.graphs import metropolis_weights, neighbours_in, num_messages
from qiskit_fedqml.federation.nodes import weighted_sum

STAR = Edges(edges=[[0, 1], [2, 0], [0, 3], [4, 0], [4, 3]])
GRAPHS = {
    "ring": ("ring", 7, [2] * 7),
    "torus": ("torus", 12, [4] * 12),
    "complete": ("complete", 5, [4] * 5),
    "regular": (RandomRegular(random_regular={"degree": 3}), 10, [3] * 10),
    "edges": (STAR, 5, [4, 1, 1, 2, 2]),
}


def matrix(rows, nodes):
    """Return W, in which nodes that are not there keep what they have."""
    found = np.eye(nodes)
    for node, row in rows.items():
        found[node] = 0
        for other, weight in row.items():
            found[node, other] = weight
    return found


@pytest.mark.parametrize("name", GRAPHS)
def test_neighbours_are_those_of_the_graph(name):
    graph, nodes, degrees = GRAPHS[name]
    neighbours = neighbours_in(graph, nodes, seed=3)
    assert [len(of) for of in neighbours] == degrees
    assert all(node in neighbours[other] for node, of in enumerate(neighbours) for other in of)
    assert nx.is_connected(nx.Graph([(node, other) for node, of in enumerate(neighbours) for other in of]))


def test_ring_and_torus_lie_as_their_numbers_do():
    assert neighbours_in("ring", 5, 0)[0] == (1, 4)
    assert neighbours_in("torus", 12, 0)[5] == (1, 4, 6, 9), "three rows of four, row by row"
    assert neighbours_in("torus", 12, 0)[0] == (1, 3, 4, 8)


def test_a_random_graph_is_drawn_from_the_seed():
    graph = RandomRegular(random_regular={"degree": 4})
    drawn = [neighbours_in(graph, 20, seed) for seed in range(5)]
    assert drawn == [neighbours_in(graph, 20, seed) for seed in range(5)]
    assert len(set(drawn)) == 5


def test_a_random_graph_that_is_never_connected_is_refused(monkeypatch):
    monkeypatch.setattr(nx, "is_connected", lambda graph: False)
    with pytest.raises(
        ConfigurationError, match=r"none of 100 random graphs of 8 nodes with 3 neighbours each is conn"
    ):
        neighbours_in(RandomRegular(random_regular={"degree": 3}), 8, 0)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("absent", [(), (0, 3)])
def test_mixing_is_a_product_with_a_doubly_stochastic_matrix(name, absent):
    graph, nodes, _ = GRAPHS[name]
    neighbours = neighbours_in(graph, nodes, seed=3)
    present = [node for node in range(nodes) if node not in absent]
    rows = metropolis_weights(neighbours, present)
    assert list(rows) == present
    weights = matrix(rows, nodes)
    assert (weights == weights.T).all()
    assert weights.sum(axis=0) == pytest.approx(1, abs=1e-12)
    assert (weights >= 0).all()
    assert (weights[list(absent)] == np.eye(nodes)[list(absent)]).all()
    models = [{"a": torch.randn(2, 3), "b": torch.randn(4)} for _ in range(nodes)]
    for key in ("a", "b"):
        stacked = np.stack([model[key].double().numpy().ravel() for model in models])
        mixed = np.stack([weighted_sum(models, rows[node])[key].numpy().ravel() for node in present])
        assert mixed == pytest.approx((weights @ stacked)[present], abs=1e-6)
        assert mixed.dtype == np.float32
    there = nx.Graph([(node, other) for node in present for other in neighbours[node] if other in present])
    assert num_messages(rows) == 2 * there.number_of_edges()


def test_weights_are_metropolis():
    weights = matrix(metropolis_weights(neighbours_in(STAR, 5, 0), range(5)), 5)
    assert weights[0, 1] == weights[0, 4] == 1 / 5, "the hub has 4 neighbours"
    assert weights[3, 4] == 1 / 3, "both have 2"
    assert weights[1, 1] == pytest.approx(4 / 5)
    alone = metropolis_weights(neighbours_in(STAR, 5, 0), [0, 3, 4])
    assert matrix(alone, 5)[0, 3] == 1 / 3, "degrees are among those that are there"
    assert metropolis_weights(neighbours_in("ring", 5, 0), [0, 2]) == {0: {0: 1.0}, 2: {2: 1.0}}


@given(st.integers(3, 9), st.data())
def test_the_mean_stays_whoever_is_there(nodes, data):
    pairs = [[a, b] for a in range(nodes) for b in range(a)]
    chosen = data.draw(st.lists(st.sampled_from(pairs), min_size=1, unique_by=tuple))
    present = data.draw(st.sets(st.integers(0, nodes - 1)))
    weights = matrix(metropolis_weights(neighbours_in(Edges(edges=chosen), nodes, 0), present), nodes)
    assert weights.sum(axis=0) == pytest.approx(1, abs=1e-12)
    assert weights.sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert (weights >= 0).all()
