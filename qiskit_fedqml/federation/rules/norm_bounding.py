"""Norm bounding (Sun et al., 2019, arXiv:1911.07963, Sec. 3), before whatever rule follows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from qiskit_fedqml.federation.messages import ClientUpdate, State, States
from qiskit_fedqml.federation.rules.aggregator import Aggregator, chooses, remembers
from qiskit_fedqml.federation.states import difference, squared_norm


@dataclass
class NormBounding:
    """Shortens updates: Δ becomes Δ / max(1, ‖Δ‖ / M), with Δ a client's state less the global model.

    Args:
        inner: The rule that gets what is left.
        bound: M, above 0: the largest Euclidean norm over all trained tensors together.
    """

    inner: Aggregator
    bound: float
    takes_weights: bool = field(init=False)

    def __post_init__(self) -> None:
        self.takes_weights = self.inner.takes_weights

    def start(self, model: State) -> None:
        """Begin a server step at a global model."""
        self._model = model
        self.inner.start(model)

    def add(self, update: ClientUpdate, weight: float) -> None:
        """Give the other rule an update, shortened where it is longer than the bound."""
        assert update.state is not None
        change = difference(update.state, self._model)
        norm = math.sqrt(squared_norm(change))
        if norm > self.bound:
            scale = self.bound / norm
            state = {
                name: (self._model[name].double() + scale * tensor).to(self._model[name].dtype)
                for name, tensor in change.items()
            }
            update = replace(update, state=state)
        self.inner.add(update, weight)

    def finish(self) -> State:
        """Return the other rule's aggregate."""
        return self.inner.finish()

    def recall(self, memory: States) -> None:
        """Let the other rule take up what it remembered."""
        if remembers(self.inner):
            self.inner.recall(memory)

    def remembered(self) -> States:
        """Return what the other rule remembers."""
        return self.inner.remembered() if remembers(self.inner) else {}

    def parts(self) -> Sequence[float]:
        """Return the updates' parts, where the other rule knows them."""
        return self.inner.parts() if chooses(self.inner) else ()
