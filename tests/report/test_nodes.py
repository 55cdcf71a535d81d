"""What a report shows of federations without a server."""

import dataclasses

import numpy as np
import pytest

from qiskit_fedqml import run_federation, write_report
from qiskit_fedqml.report import overview
from qiskit_fedqml.report.cost import cost_rows
from qiskit_fedqml.report.curves import round_rows
from qiskit_fedqml.report.drawing import style
from qiskit_fedqml.report.nodes import graph_name, has_nodes, node_panels, node_rows
from qiskit_fedqml.tracking.tracking import metrics_of
from tests.conftest import make_tiny


def nodes_of(graph, **options):
    shape = {"federation__clients_per_round": 4, "federation__rounds": 3}
    return make_tiny(**shape, federation__algorithm={"gossip": {"graph": graph} | options})


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    absences = [{"node": 1, "first": 2, "last": 2}]
    return run_federation(
        nodes_of("ring", absences=absences, test_nodes_every=2), tmp_path_factory.mktemp("nodes") / "ring"
    )


@pytest.fixture(autouse=True)
def drawn_as_on_the_page():
    with style():
        yield


def test_a_row_says_what_nodes_sent_and_how_far_they_are(ring, run):
    (row,) = node_rows({"A": ring, "B": run})
    of, tested = ring.final.nodes, ring.rounds[1].nodes
    assert not has_nodes(run)
    assert (row["Run"], row["Graph"], row["Nodes"]) == ("A", "ring", "4")
    assert (row["There in the mean"], row["Models sent"]) == ("3.7", "20"), "8 models, or 4 while node 1 is away"
    assert float(row["Consensus distance"]) == pytest.approx(of.consensus_distance, rel=1e-2)
    assert row["Accuracy of nodes"] == f"{tested.accuracy:.2%}", "the last step after which they were tested"


def test_rounds_have_columns_for_nodes_where_a_run_has_some(ring, run):
    alone = round_rows({"B": run})
    assert not any("Consensus distance" in row for row in alone)
    rows = round_rows({"A": ring, "B": run})
    assert [row["Models sent"] for row in rows if row["Run"] == "A"] == ["8", "4", "8"]
    assert [row["Nodes there"] for row in rows if row["Run"] == "A"] == ["4", "3", "4"]
    assert [row["Accuracy of nodes"] == "–" for row in rows if row["Run"] == "A"] == [True, False, True]
    assert {row["Consensus distance"] for row in rows if row["Run"] == "B"} == {"–"}


def test_panels_show_the_records(ring):
    distance, accuracy = node_panels(ring, "A", "A")
    (line,) = distance.axis.lines
    assert line.get_ydata().tolist() == [record.nodes.consensus_distance for record in ring.rounds]
    mean, own = accuracy.axis.lines
    assert mean.get_ydata().tolist() == [record.test_accuracy for record in ring.rounds]
    assert (own.get_xdata().tolist(), own.get_ydata().tolist()) == ([2], [ring.rounds[1].nodes.accuracy])
    assert set(accuracy.legend) == {"mean of the models", "nodes' own models"}
    assert any(mark.text.startswith("Round 2, nodes: ") for mark in accuracy.marks)


def test_panels_do_without_tests_of_nodes(ring):
    records = [
        dataclasses.replace(record, nodes=dataclasses.replace(record.nodes, accuracy=None)) for record in ring.rounds
    ]
    untested = dataclasses.replace(ring, rounds=tuple(records))
    _, accuracy = node_panels(untested, "A", "A")
    assert len(accuracy.axis.lines) == 1
    assert set(accuracy.legend) == {"mean of the models"}
    (row,) = node_rows({"A": untested})
    assert row["Accuracy of nodes"] == row["Lowest"] == row["Highest"] == "–"


def test_the_page_says_that_there_is_no_server(ring, tmp_path):
    text = write_report([ring.folder], tmp_path / "page").read_text()
    assert "decentralised training" in text
    assert "which no node holds" in text
    assert "tested by the server" not in text
    assert (tmp_path / "page" / "figures" / "consensus_ring.svg").exists()
    assert (tmp_path / "page" / "tables" / "nodes.csv").exists()
    assert "4 nodes of a ring" in overview.run_facts(ring)
    (row,) = cost_rows({"A": ring})
    assert row["Clients sent"] == row["Clients received"]


def test_graphs_have_names():
    edges = {"edges": [[0, 1], [1, 2], [2, 3]]}
    assert graph_name(nodes_of(edges).federation.algorithm) == "graph of 3 edges"
    regular = make_tiny(
        federation__clients=6,
        federation__clients_per_round=6,
        federation__algorithm={"gossip": {"graph": {"random_regular": {"degree": 3}}}},
    )
    assert graph_name(regular.federation.algorithm) == "random graph of degree 3"


def test_trackers_show_nodes(ring):
    shown = metrics_of(ring.rounds[1], 0)
    assert shown["consensus_distance"] == ring.rounds[1].nodes.consensus_distance
    assert np.isfinite(shown["node_accuracy"])
    assert "node_accuracy" not in metrics_of(ring.rounds[0], 0)
