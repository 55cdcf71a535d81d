"""Nodes of federations without a server: how far they are from each other, what they sent, and how good each is."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from qiskit_fedqml.config.gossip import Gossip
from qiskit_fedqml.config.graph import Edges, RandomRegular
from qiskit_fedqml.report.cells import NOTHING, mean_of, percent_cell
from qiskit_fedqml.report.drawing import COLOURS, MOST_MARKS, Mark, Panel, count_percent, count_rounds, new_figure
from qiskit_fedqml.report.naming import step_word
from qiskit_fedqml.report.thinning import thinned
from qiskit_fedqml.results.node_records import NodesRecord
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import number

_OF_MEAN, _OF_NODES = COLOURS[0], COLOURS[1]


def has_nodes(run: RunResult) -> bool:
    """Return whether a run has no server."""
    return run.final.nodes is not None


def graph_name(named: Gossip) -> str:
    """Return what a graph is called, such as ``"ring"``."""
    graph = named.gossip.graph
    if isinstance(graph, RandomRegular):
        return f"random graph of degree {graph.random_regular.degree}"
    return f"graph of {len(graph.edges):,} edges" if isinstance(graph, Edges) else f"{graph}"


def node_columns(records: Sequence[RoundRecord]) -> dict[str, str]:
    """Return what a table of rounds says of nodes.

    Args:
        records: A round of a run, or of runs that differ in the seed.
    """
    found = [record.nodes for record in records if record.nodes is not None]
    if not found:
        return dict.fromkeys(("Nodes there", "Models sent", "Consensus distance", "Accuracy of nodes"), NOTHING)
    return {
        "Nodes there": f"{mean_of([of.present for of in found]):,.4g}",
        "Models sent": f"{mean_of([of.messages for of in found]):,.0f}",
        "Consensus distance": number(mean_of([of.consensus_distance for of in found]), 3),
        "Accuracy of nodes": percent_cell([of.accuracy for of in found if of.accuracy is not None]),
    }


def node_rows(runs: Mapping[str, RunResult]) -> list[dict[str, str]]:
    """Return a row for each run without a server."""
    rows = []
    for name, run in runs.items():
        named = run.experiment.federation.algorithm
        if not (has_nodes(run) and isinstance(named, Gossip)):
            continue
        every = [record.nodes for record in run.rounds if record.nodes is not None]
        tested = [of for of in every if of.accuracy is not None]
        last = tested[-1] if tested else None
        rows.append(
            {
                "Run": name,
                "Graph": graph_name(named),
                "Nodes": str(run.experiment.federation.clients),
                "There in the mean": f"{fmean(of.present for of in every):.1f}",
                "Models sent": f"{sum(of.messages for of in every):,}",
                "Consensus distance": number(every[-1].consensus_distance, 3),
                "Accuracy of the mean": f"{run.final.test_accuracy:.2%}",
                "Accuracy of nodes": "–" if last is None else f"{last.accuracy:.2%}",
                "Lowest": "–" if last is None else f"{last.lowest_accuracy:.2%}",
                "Highest": "–" if last is None else f"{last.highest_accuracy:.2%}",
            }
        )
    return rows


def node_panels(run: RunResult, name: str, slug: str) -> list[Panel]:
    """Draw consensus distance, and the accuracy of nodes next to that of the mean of their models.

    Args:
        run: A run without a server.
        name: Its name.
        slug: What the panels' files end in.
    """
    found = [(record, record.nodes) for record in run.rounds if record.nodes is not None]
    return [_distance_panel(run, name, slug, found), _accuracy_panel(run, name, slug, found)]


def _distance_panel(run: RunResult, name: str, slug: str, found: Sequence[tuple[RoundRecord, NodesRecord]]) -> Panel:
    figure, axis = new_figure()
    x, y = [record.round for record, _ in found], [of.consensus_distance for _, of in found]
    axis.plot(x, y, color=_OF_NODES, linewidth=1.6, marker="o" if len(x) < 15 else None, markersize=3)
    axis.set_ylim(bottom=0.0)
    axis.set_ylabel("Consensus distance")
    word = step_word(run).capitalize()
    count_rounds(axis, word)
    marks = [
        Mark(x[k], y[k], f"{word} {x[k]}: {y[k]:.4g}, {found[k][1].messages:,} models sent") for k in _pointed(x, y)
    ]
    note = "Root of the mean squared distance of the nodes' models from their mean, over all trained numbers."
    return Panel(f"consensus_{slug}", f"Consensus distance by {step_word(run)}: {name}", figure, {}, marks, note=note)


def _accuracy_panel(run: RunResult, name: str, slug: str, found: Sequence[tuple[RoundRecord, NodesRecord]]) -> Panel:
    figure, axis = new_figure()
    word = step_word(run).capitalize()
    x, mean = [record.round for record, _ in found], [record.test_accuracy for record, _ in found]
    axis.plot(x, mean, color=_OF_MEAN, linewidth=1.6)
    marks = [Mark(x[k], mean[k], f"{word} {x[k]}, mean of the models: {mean[k]:.2%}") for k in _pointed(x, mean)]
    legend = {"mean of the models": _OF_MEAN}
    tested = [
        (record.round, of.accuracy, of.lowest_accuracy, of.highest_accuracy)
        for record, of in found
        if of.accuracy is not None and of.lowest_accuracy is not None and of.highest_accuracy is not None
    ]
    if tested:
        at, own, low, high = map(list, zip(*tested, strict=True))
        axis.plot(at, own, color=_OF_NODES, linewidth=1.6, marker="o" if len(at) < 15 else None, markersize=3)
        axis.fill_between(at, low, high, color=_OF_NODES, alpha=0.15, linewidth=0)
        legend["nodes' own models"] = _OF_NODES
        marks += [
            Mark(at[k], own[k], f"{word} {at[k]:g}, nodes: {own[k]:.2%} ({low[k]:.2%} to {high[k]:.2%})")
            for k in _pointed(at, own)
        ]
    axis.set_ylabel("Testing accuracy")
    count_percent(axis.yaxis)
    count_rounds(axis, word)
    note = "No node holds the mean of the models. Band: from the lowest to the highest node." if tested else ""
    return Panel(f"nodes_{slug}", f"Accuracy of nodes: {name}", figure, legend, marks, note=note)


def _pointed(x: Sequence[float], y: Sequence[float]) -> list[int]:
    return thinned(list(x), list(y), MOST_MARKS // 8)
