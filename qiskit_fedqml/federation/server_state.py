"""The server's state: all that the next server step needs, visible and serialisable."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from qiskit_fedqml.federation.messages import State, States


@dataclass(frozen=True)
class ServerState:
    """The state after a server step; a step makes a new one and changes none of its tensors.

    Args:
        step: Server steps that are done; in synchronous federations, rounds.
        model: The global model's trained tensors.
        optimizer: The server optimiser's tensors; empty without one, and before its first step.
        clients: What clients keep from task to task, by client; such as their optimisers' moments.
        attempt: How often the next server step is being begun, from 1; more than once where too few clients returned.
            Not saved: an interrupted step is replayed from its first attempt.
    """

    step: int
    model: State
    optimizer: States = field(default_factory=dict)
    clients: Mapping[int, States] = field(default_factory=dict)
    attempt: int = 1

    def named(self) -> tuple[dict[str, Any], States]:
        """Return plain values and named states, from which :meth:`from_named` makes the same state again."""
        states = {"model": self.model}
        states |= {f"optimizer/{name}": state for name, state in self.optimizer.items()}
        states |= {f"client/{c}/{name}": state for c, kept in self.clients.items() for name, state in kept.items()}
        clients = [[client, list(kept)] for client, kept in self.clients.items()]
        return {"step": self.step, "optimizer": list(self.optimizer), "clients": clients}, states

    def on_devices_of(self, model: State) -> "ServerState":
        """Return the state with the global model's tensors, and the server optimiser's, where ``model``'s are."""

        def moved(state: State) -> State:
            return {name: tensor.to(model[name].device) for name, tensor in state.items()}

        return replace(
            self, model=moved(self.model), optimizer={name: moved(state) for name, state in self.optimizer.items()}
        )

    @classmethod
    def from_named(cls, values: Mapping[str, Any], states: States) -> "ServerState":
        """Make a state of what :meth:`named` gave.

        Raises:
            KeyError: A value or a state is missing.
        """
        return cls(
            step=values["step"],
            model=states["model"],
            optimizer={name: states[f"optimizer/{name}"] for name in values["optimizer"]},
            clients={c: {name: states[f"client/{c}/{name}"] for name in names} for c, names in values["clients"]},
        )
