"""The options of decentralised training, and what has no meaning without a server."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from qiskit_fedqml.config.devices import DeviceEntry
from qiskit_fedqml.config.graph import Graph, check_graph
from qiskit_fedqml.config.strict import Integer, Number, PositiveInteger, StrictModel

if TYPE_CHECKING:
    from qiskit_fedqml.config.aggregation import AggregationConfig
    from qiskit_fedqml.config.backends import BackendsFile
    from qiskit_fedqml.config.federation import FederationConfig

_Probability = Annotated[Number, Field(ge=0.0, le=1.0)]


class LeavingOptions(StrictModel):
    """Nodes that leave and come back by chance, each by itself, drawn from the run's seed before each step."""

    probability: Annotated[Number, Field(gt=0.0, le=1.0)]
    """The probability that a node which is there leaves before a step."""
    return_probability: _Probability
    """The probability that a node which has left is back before the next step; 0 is never."""


class Absence(StrictModel):
    """Steps in which a node is not there."""

    node: Annotated[Integer, Field(ge=0, lt=10_000_000)]
    """The node, from 0."""
    first: PositiveInteger
    """The first step that it misses."""
    last: PositiveInteger
    """The last step that it misses."""

    @model_validator(mode="after")
    def _is_in_order(self) -> "Absence":
        if self.last < self.first:
            raise ValueError(f"last ({self.last}) must be at least first ({self.first})")
        return self


class GossipOptions(StrictModel):
    """Decentralised training over a graph (D-PSGD, arXiv:1705.09056, with Metropolis weights).

    In each step every node trains its own model, and then takes the weighted mean of its own and its neighbours'.
    """

    graph: Graph
    """Who sends its model to whom."""
    leaving: LeavingOptions | None = None
    """How nodes leave and come back by chance; none lets them stay."""
    absences: tuple[Absence, ...] = ()
    """Stated absences of nodes."""
    test_nodes_every: PositiveInteger | None = 1
    """After each of so many steps the nodes' own models are tested; none tests only their mean."""


class Gossip(StrictModel):
    """Decentralised training: nodes mix their models with their neighbours'."""

    gossip: GossipOptions
    """Decentralised training: nodes mix their models with their neighbours'."""

    def tests_nodes(self, step: int) -> bool:
        """Return whether the nodes' own models are tested after a step."""
        every = self.gossip.test_nodes_every
        return every is not None and step % every == 0

    def check_fits(self, config: "FederationConfig") -> None:
        """Refuse what does not fit nodes that all train, each from its own model.

        Args:
            config: The `federation` section.

        Raises:
            ValueError: It does not.
        """
        options, nodes = self.gossip, config.clients
        if nodes < 2:
            raise ValueError("algorithm: gossip needs at least 2 nodes, but clients is 1")
        if config.clients_per_round != nodes:
            raise ValueError(
                f"clients_per_round ({config.clients_per_round}) must be clients ({nodes}) with algorithm: gossip, "
                "in which each node that is there trains in each step"
            )
        if config.on_too_few == "repeat":
            raise ValueError("on_too_few: repeat cannot come with algorithm: gossip, in which no clients are drawn")
        for absence in options.absences:
            if absence.node >= nodes:
                raise ValueError(
                    f"algorithm.gossip.absences names node {absence.node}, but the nodes are 0 to {nodes - 1}"
                )
            if absence.first > config.rounds:
                raise ValueError(
                    f"the absence of node {absence.node} has no effect: it begins in step {absence.first}, and there "
                    f"are {config.rounds} rounds"
                )
        if (every := options.test_nodes_every) is not None and every > config.rounds:
            raise ValueError(
                f"algorithm.gossip.test_nodes_every ({every}) has no effect with {config.rounds} rounds; it "
                "may be null, for never"
            )
        check_graph(options.graph, nodes)

    def check_alone(self, aggregation: "AggregationConfig", file: "BackendsFile", *, is_scheduled: bool) -> None:
        """Refuse what only a server could do.

        Args:
            aggregation: The `aggregation` section.
            file: The machines.
            is_scheduled: Whether there is a section `scheduling`.

        Raises:
            ValueError: It is asked for.
        """
        default = type(aggregation)()
        for key in type(aggregation).model_fields:
            if getattr(aggregation, key) != getattr(default, key):
                raise ValueError(
                    f"aggregation.{key} has no effect with algorithm: gossip: no server aggregates, and nodes mix by "
                    "the graph's weights"
                )
        if is_scheduled:
            raise ValueError(
                "scheduling cannot come with algorithm: gossip: it simulates the clock of a server that waits for "
                "clients"
            )
        server = file.backends.get(file.assignment.server)
        if self.gossip.test_nodes_every is not None and isinstance(server, DeviceEntry):
            raise ValueError(
                f"algorithm.gossip.test_nodes_every must be null where assignment.server is the device "
                f"{file.assignment.server}, on which each node's test would be paid for"
            )
