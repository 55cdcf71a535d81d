"""What a server optimiser is: how the server steps from the old global model towards the aggregate."""

from typing import Protocol

from qiskit_fedqml.federation.messages import State, States


class ServerOptimizer(Protocol):
    """Steps towards an aggregate. What it remembers is the server's state, not its own; no tensor is changed."""

    def step(self, model: State, aggregate: State, memory: States) -> tuple[State, States]:
        """Return the new global model, and what is to be remembered.

        Args:
            model: The old global model.
            aggregate: What the rule made of the updates, by the same names.
            memory: What the last step gave; empty before the first.
        """
        ...
