"""The server's state: all that the next server step needs, visible and serialisable."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, replace
from typing import Any

from qiskit_fedqml.federation.messages import Flight, State, States
from qiskit_fedqml.federation.nodes import Nodes
from qiskit_fedqml.privacy.spending import Spending


@dataclass(frozen=True)
class ServerState:
    """The state after a server step; a step makes a new one and changes none of its tensors.

    Args:
        step: Server steps that are done; in synchronous federations, rounds.
        model: The global model's trained tensors; where there are nodes, the mean of their models, which no node holds.
        optimizer: The server optimiser's tensors; empty without one, and before its first step.
        rule: What the aggregation rule remembers; empty where it remembers nothing.
        clients: What clients keep from task to task, by client; such as their optimisers' moments.
        attempt: How often the next server step is being begun, from 1; more than once where too few clients returned.
            Not saved: an interrupted step is replayed from its first attempt.
        clock_seconds: The simulated time since the run began; None where time is not simulated, or has not begun.
        dispatched: Tasks that were dispatched so far; the draws of each derive from its number.
        flights: Tasks that are on their way, in the order in which they were dispatched.
        versions: Earlier models, by the number of steps after which they were the global model: those from which tasks
            on their way start.
        nodes: The nodes of a federation without a server; None where there is one.
        spent: What was released of private data.
    """

    step: int
    model: State
    optimizer: States = field(default_factory=dict)
    rule: States = field(default_factory=dict)
    clients: Mapping[int, States] = field(default_factory=dict)
    attempt: int = 1
    clock_seconds: float | None = None
    dispatched: int = 0
    flights: tuple[Flight, ...] = ()
    versions: Mapping[int, State] = field(default_factory=dict)
    nodes: Nodes | None = None
    spent: Spending = field(default_factory=Spending)

    @property
    def is_model_alone(self) -> bool:
        """Whether steps and model are all that the next step needs."""
        return not (self.optimizer or self.rule or self.clients or self.dispatched or self.nodes or self.spent)

    def model_of(self, version: int) -> State:
        """Return the global model after so many steps; it is the present one or has tasks on their way."""
        return self.model if version == self.step else self.versions[version]

    def named(self) -> tuple[dict[str, Any], States]:
        """Return plain values and named states, from which :meth:`from_named` makes the same state again."""
        states = {"model": self.model}
        states |= {f"optimizer/{name}": state for name, state in self.optimizer.items()}
        states |= {f"rule/{name}": state for name, state in self.rule.items()}
        states |= {f"client/{c}/{name}": state for c, kept in self.clients.items() for name, state in kept.items()}
        states |= {f"version/{version}": state for version, state in self.versions.items()}
        clients = [[client, list(kept)] for client, kept in self.clients.items()]
        values = {"step": self.step, "optimizer": list(self.optimizer), "clients": clients}
        if self.dispatched:
            flights = [list(astuple(flight)) for flight in self.flights]
            values |= {"clock_seconds": self.clock_seconds, "dispatched": self.dispatched, "flights": flights}
        if self.rule:
            values["rule"] = list(self.rule)
        if self.spent:
            values["spent"] = self.spent.as_json()
        if self.versions:
            values["versions"] = list(self.versions)
        if self.nodes is not None:
            states |= {f"node/{node}": state for node, state in enumerate(self.nodes.models)}
            values["nodes"] = len(self.nodes.models)
            values |= {"left": list(self.nodes.left), "messages": self.nodes.messages}
        return values, states

    def on_devices_of(self, model: State) -> "ServerState":
        """Return the state with the global model's tensors, and the server optimiser's, where ``model``'s are."""

        def moved(state: State) -> State:
            return {name: tensor.to(model[name].device) if name in model else tensor for name, tensor in state.items()}

        return replace(
            self,
            model=moved(self.model),
            optimizer={name: moved(state) for name, state in self.optimizer.items()},
            rule={name: moved(state) for name, state in self.rule.items()},
            versions={version: moved(state) for version, state in self.versions.items()},
            nodes=None if self.nodes is None else replace(self.nodes, models=tuple(map(moved, self.nodes.models))),
        )

    @classmethod
    def from_named(cls, values: Mapping[str, Any], states: States) -> "ServerState":
        """Make a state of what :meth:`named` gave.

        Raises:
            KeyError: A value or a state is missing.
            TypeError: A task on its way has other values than it should.
        """
        nodes = None
        if "nodes" in values:
            models = tuple(states[f"node/{node}"] for node in range(values["nodes"]))
            nodes = Nodes(models, tuple(values["left"]), values["messages"])
        return cls(
            step=values["step"],
            model=states["model"],
            optimizer={name: states[f"optimizer/{name}"] for name in values["optimizer"]},
            rule={name: states[f"rule/{name}"] for name in values.get("rule", ())},
            clients={c: {name: states[f"client/{c}/{name}"] for name in names} for c, names in values["clients"]},
            clock_seconds=values.get("clock_seconds"),
            dispatched=values.get("dispatched", 0),
            flights=tuple(Flight(*flight) for flight in values.get("flights", ())),
            versions={version: states[f"version/{version}"] for version in values.get("versions", ())},
            nodes=nodes,
            spent=Spending.from_json(values["spent"]) if "spent" in values else Spending(),
        )
