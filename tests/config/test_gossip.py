"""Graphs of nodes: which fit, how they are read, and what is refused where there is no server."""

import re

import pytest
import yaml

from qiskit_fedqml import load_experiment
from qiskit_fedqml.config import graph as graphs
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.graph import torus_sides
from qiskit_fedqml.config.remote import check_remote
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.errors import ConfigurationError
from tests.config.test_experiment import put
from tests.conftest import TINY


def made(graph="ring", nodes=4, changes=None, **options):
    data = {key: dict(value) for key, value in TINY.items() if isinstance(value, dict)}
    put(data, "federation.clients", nodes)
    put(data, "federation.clients_per_round", nodes)
    put(data, "federation.algorithm", {"gossip": {"graph": graph} | options})
    for key, value in (changes or {}).items():
        put(data, key, value)
    return validate(Experiment, data, "nodes.yaml")


def test_sides_of_a_torus_are_as_equal_as_can_be():
    assert [torus_sides(nodes) for nodes in (9, 12, 16, 30, 64)] == [(3, 3), (3, 4), (4, 4), (5, 6), (8, 8)]
    assert not any(map(torus_sides, (1, 4, 8, 10, 11, 14, 23)))


GRAPHS = [
    ("star", 4, r"must be ring, torus, complete, {random_regular: {degree: D}} or {edges: .*, but got 'star'"),
    ("ring", 2, "a ring has at least 3 nodes, but clients is 2"),
    ("complete", 1, "algorithm: gossip needs at least 2 nodes, but clients is 1"),
    ("torus", 23, "at least 3 of each, which 23 nodes cannot fill; sizes near it that fit are 20, 21, 24, 25"),
    ("torus", 4, "which 4 nodes cannot fill; sizes near it that fit are 9, 12"),
    ({"random_regular": {"degree": 2}}, 6, "must be greater than or equal to 3, but got 2"),
    ({"random_regular": {"degree": 5}}, 6, r"random_regular.degree \(5\) must be at most 4 with 6 nodes"),
    ({"random_regular": {"degree": 3}}, 7, "no graph has 7 nodes of 3 neighbours each"),
    ({"edges": []}, 4, "must have at least 1 item"),
    ({"edges": [[0, 1], [2, 3]]}, 4, "falls into 2 parts: no path leads from node 0 to node 2"),
    ({"edges": [[0, 1], [1, 2]]}, 4, "falls into 2 parts: no path leads from node 0 to node 3"),
    ({"edges": [[0, 4]]}, 4, "edges names node 4, but with 4 clients the nodes are 0 to 3"),
    ({"edges": [[1, 1]]}, 4, "edges joins node 1 with itself"),
    ({"edges": [[0, 1], [1, 0]]}, 4, "edges joins nodes 1 and 0 twice"),
    ({"edges": [[0, -1]]}, 4, "must be greater than or equal to 0, but got -1"),
    ({"edges": "edges.csv", "random_regular": {"degree": 3}}, 4, "but has the keys 'edges', 'random_regular'"),
]


@pytest.mark.parametrize(("graph", "nodes", "message"), GRAPHS)
def test_a_graph_that_does_not_fit_is_refused(graph, nodes, message):
    with pytest.raises(ConfigurationError, match=message):
        made(graph, nodes)


def test_a_graph_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(graphs, "MOST_EDGES", 9)
    assert made("ring", 9)
    with pytest.raises(ConfigurationError, match="the graph has 10 edges with 5 nodes, more than 9"):
        made("complete", 5)


ONE_DEVICE = {
    "backends": {
        "backends": {"ideal": {"type": "aer"}, "manila": {"type": "ibm", "device": "FakeManilaV2", "shots": 16}},
        "assignment": {"server": "manila"},
    }
}
QUEUES = {"backends": {"backends": {"ideal": {"type": "aer"}}}, "scheduling": {"queue": {"trace": [[0, 1]]}}}
REFUSED = [
    ({"federation.clients_per_round": 2}, {}, r"clients_per_round \(2\) must be clients \(4\) with algorithm: gossip"),
    ({"federation.on_too_few": "repeat", "federation.min_clients": 1}, {}, "on_too_few: repeat cannot come with alg"),
    ({}, {"absences": [{"node": 4, "first": 1, "last": 1}]}, "absences names node 4, but the nodes are 0 to 3"),
    ({}, {"absences": [{"node": 0, "first": 3, "last": 4}]}, "node 0 has no effect: it begins in step 3, and there ar"),
    ({}, {"absences": [{"node": 0, "first": 2, "last": 1}]}, r"last \(1\) must be at least first \(2\)"),
    ({}, {"leaving": {"probability": 0.0, "return_probability": 1.0}}, "must be greater than 0, but got 0"),
    ({}, {"test_nodes_every": 3}, r"test_nodes_every \(3\) has no effect with 2 rounds"),
    (ONE_DEVICE, {}, "test_nodes_every must be null where assignment.server is the device manila"),
    (QUEUES, {}, "scheduling cannot come with algorithm: gossip: it simulates the clock of a server"),
]


@pytest.mark.parametrize(("changes", "options", "message"), REFUSED)
def test_what_does_not_fit_nodes_is_refused(changes, options, message):
    with pytest.raises(ConfigurationError, match=message):
        made(changes=changes, **options)


AGGREGATIONS = {
    "rule": "coordinate_median",
    "weights": "uniform",
    "norm_bound": 1.0,
    "norm_ratio": 2.0,
    "success_exponent": 1.0,
    "angles": "circular",
    "server_optimizer": {"method": "fedavgm"},
    "secure": {"threshold": 9},
}


@pytest.mark.parametrize("key", AGGREGATIONS)
def test_what_a_server_would_do_is_refused(key):
    with pytest.raises(ConfigurationError, match=f"aggregation.{key} has no effect with algorithm: gossip: no server"):
        made(changes={f"aggregation.{key}": AGGREGATIONS[key]})


def test_no_part_of_the_aggregation_is_left_out():
    assert AGGREGATIONS.keys() == type(made().aggregation).model_fields.keys()


def test_what_is_no_servers_may_be_asked_for():
    kept = {
        **{"federation.client_optimizer_state": "keep", "federation.proximal_mu": 0.1, "federation.keep_best": True},
        **{"federation.rounds": 9, "federation.stop": {"patience": 2}, "federation.min_clients": 2},
        **{"federation.lockstep": 2, "federation.workers": 2, "federation.on_client_failure": "skip"},
    }
    assert made(changes=kept)
    assert made(changes=ONE_DEVICE, test_nodes_every=None)


def test_clients_elsewhere_are_no_nodes():
    with pytest.raises(ConfigurationError, match="take part in synchronous rounds, not in `algorithm: gossip`"):
        check_remote(made())


def test_edges_are_read_from_a_file_and_kept(tmp_path):
    (tmp_path / "edges.csv").write_text("node,neighbour\n0,1\n1,2\n2, 3\n")
    data = made({"edges": [[0, 1], [1, 2], [2, 3]]}).resolved()
    path = tmp_path / "nodes.yaml"
    data["federation"]["algorithm"]["gossip"]["graph"]["edges"] = "edges.csv"
    path.write_text(yaml.safe_dump(data))
    loaded = load_experiment(path)
    assert loaded.resolved()["federation"]["algorithm"]["gossip"]["graph"] == {"edges": [[0, 1], [1, 2], [2, 3]]}
    file = str(tmp_path / "edges.csv")
    again = load_experiment(loaded.resolved(), {"federation.algorithm.gossip.graph.edges": file})
    assert again == loaded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "edges.csv: the first line must be node,neighbour, but is ''."),
        ("a,b\n0,1\n", "edges.csv: the first line must be node,neighbour, but is 'a,b'."),
        ("node,neighbour\n0,x\n", "edges.csv, line 2: must be two nodes, such as 0,1, but is '0,x'."),
        ("node,neighbour\n0,1\n0\n", "edges.csv, line 3: must be two nodes, such as 0,1, but is '0'."),
        ("node,neighbour\n0,-1\n", "edges.csv, line 2: must be two nodes, such as 0,1, but is '0,-1'."),
        (f"node,neighbour\n0,{'1' * 5000}\n", "edges.csv, line 2: '0,1"),
        ("node,neighbour\n0,1\n0,9\n", "edges names node 9, but with 4 clients the nodes are 0 to 3."),
    ],
)
def test_a_file_that_holds_no_edges_is_refused(tmp_path, text, message):
    (tmp_path / "edges.csv").write_text(text)
    data = made().resolved()
    data["federation"]["algorithm"]["gossip"]["graph"] = {"edges": str(tmp_path / "edges.csv")}
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        load_experiment(data)


def test_a_file_of_edges_that_is_not_there_is_refused():
    with pytest.raises(ConfigurationError, match=r"nowhere.csv: cannot be read: No such file"):
        load_experiment(made().resolved(), {"federation.algorithm.gossip.graph": {"edges": "nowhere.csv"}})
