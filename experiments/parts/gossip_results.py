"""What the gossip study compares, and what its runs show, as a table and a figure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qiskit_fedqml import RunResult
from qiskit_fedqml.report.drawing import COLOURS
from qiskit_fedqml.results.node_records import NodesRecord
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.study.outcomes import ACCURACY, last_rounds_in_words
from qiskit_fedqml.study.statistics import bands, in_points, mean_interval, over_seeds, spread_of
from qiskit_fedqml.study.study import Study

_ACCURACIES = ("accuracy", "lowest_accuracy", "highest_accuracy")


@dataclass(frozen=True)
class Pair:
    """A federation without a server, and the one with a server that it is compared with.

    Args:
        name: What the first is called.
        reference: What the second is called.
        clients: How many clients both have.
        gossip: The options of the first.
    """

    name: str
    reference: str
    clients: int
    gossip: Mapping[str, Any]

    def settings(self) -> dict[str, dict[str, Any]]:
        """Return the settings of both, by name; the reference comes first."""
        sizes = {"federation.clients": self.clients, "federation.clients_per_round": self.clients}
        return {self.reference: sizes, self.name: {**sizes, "federation.algorithm": {"gossip": dict(self.gossip)}}}


def table(study: Study, pairs: Sequence[Pair]) -> list[dict[str, str]]:
    """Return a row for each scheme."""
    references = {pair.name: pair.reference for pair in pairs}
    return [_row(study, scheme, references.get(scheme)) for scheme in study.schemes]


def _row(study: Study, scheme: str, reference: str | None) -> dict[str, str]:
    runs = list(study.of(scheme).values())
    rounds = last_rounds_in_words(study.lengths_of(*study.schemes))
    sent = [fmean(map(_models_sent, run.rounds)) for run in runs]
    row = {
        "Training": scheme,
        "Models sent a round": f"{fmean(sent):.0f}",
        "Models sent in all": f"{fmean(sum(map(_models_sent, run.rounds)) for run in runs):,.0f}",
        ACCURACY.heading_over(rounds): ACCURACY.text(ACCURACY.mean(study, scheme)),
        ACCURACY.heading_less("FedAvg's"): "",
        "Nodes' own (%)": "",
        "Lowest node (%)": "",
        "Consensus distance": "",
    }
    if reference is None:
        return row
    last = [_last_nodes(run) for run in runs]
    return row | {
        ACCURACY.heading_less("FedAvg's"): ACCURACY.text(ACCURACY.less(study, scheme, reference), signed=True),
        "Nodes' own (%)": in_points(mean_interval(of.accuracy or 0.0 for of in last)),
        "Lowest node (%)": in_points(mean_interval(of.lowest_accuracy or 0.0 for of in last)),
        "Consensus distance": f"{fmean(of.consensus_distance for of in last):.2f}",
    }


def _models_sent(record: RoundRecord) -> int:
    """Return the models that were sent in a round: along edges, or to clients and back."""
    return 2 * len(record.clients) if record.nodes is None else record.nodes.messages


def _last_nodes(run: RunResult) -> NodesRecord:
    nodes = run.final.nodes
    assert nodes is not None
    return nodes


def node_lines(study: Study) -> list[dict[str, Any]]:
    """Return a line for each round of each run without a server, with what was recorded of its nodes."""
    return [
        {
            "scheme": scheme,
            "seed": seed,
            "round": record.round,
            "present": of.present,
            "messages": of.messages,
            **{name: f"{getattr(of, name):.6g}" for name in ("consensus_distance", *_ACCURACIES)},
        }
        for (scheme, seed), run in study.runs.items()
        for record in run.rounds
        if (of := record.nodes) is not None
    ]


def about(study: Study, leaving: Mapping[str, float]) -> str:
    """Return in words what the table's figures are."""
    text = _ABOUT.format(over=over_seeds(len(study.of(study.schemes[0]))), **leaving)
    return f"{fill(text, 120)}\n"


_ABOUT = """\
The digits 0 to 3, shared out evenly; all clients train in each round, and each seed has the same shards and initial
weights in all rows of one size. Accuracies of gossip are those of the mean of all nodes' models, which no node holds;
nodes' own are the mean over nodes after the last round, and the lowest of them. Means are {over}; differences are
paired by seed. Models sent: of gossip one along each edge in both directions, of FedAvg one to each client and one
back.
Consensus distance: the root of the mean squared distance of the nodes' models from their mean, after the last round.
Where nodes leave, one that is there leaves before a round with probability {probability:g}, and one that has left is
back with {return_probability:g}; the mean is over all, there or not.
"""


def gossip_figure(study: Study) -> Figure:
    """Draw accuracy and consensus distance of each scheme by round."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for colour, scheme in zip(COLOURS, study.schemes, strict=False):
        runs = list(study.of(scheme).values())
        is_server = runs[0].final.nodes is None
        style = "--" if is_server else "-"
        _draw(left, runs, lambda record: 100 * record.test_accuracy, colour, style, scheme)
        if not is_server:
            _draw(right, runs, _distance, colour, style, scheme)
    left.set(xlabel="Round", ylabel="Testing accuracy (%)")
    left.legend(frameon=False, fontsize=8, loc="lower right")
    right.set(xlabel="Round", ylabel="Consensus distance", ylim=(0, None))
    for axis in (left, right):
        axis.grid(alpha=0.3, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"Gossip and FedAvg on digits; {spread_of(len(study.of(study.schemes[0])))}", fontsize=11)
    return figure


def _distance(record: RoundRecord) -> float:
    return np.nan if record.nodes is None else record.nodes.consensus_distance


def _draw(
    axis: Axes,
    runs: Sequence[RunResult],
    value: Callable[[RoundRecord], float],
    colour: str,
    style: str,
    name: str,
) -> None:
    mean, low, high = bands(np.array([[value(record) for record in run.rounds] for run in runs]))
    rounds = np.arange(1, len(mean) + 1)
    axis.plot(rounds, mean, style, color=colour, linewidth=1.4, label=name)
    axis.fill_between(rounds, low, high, color=colour, alpha=0.13, linewidth=0)
