"""What an aggregation rule is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeGuard

from qiskit_fedqml.federation.messages import ClientUpdate, State, States


class Aggregator(Protocol):
    """Makes one state of the clients' updates; each server step has its own.

    A rule that can stream, as a mean can, keeps one state in memory; another one keeps the updates, whose tensors are
    its own to keep.

    Attributes:
        takes_weights: Whether weights matter. A rule for which they do not, such as a median, is refused together with
            ``aggregation.success_exponent``.
    """

    takes_weights: bool

    def start(self, model: State) -> None:
        """Begin a server step at a global model."""
        ...

    def add(self, update: ClientUpdate, weight: float) -> None:
        """Take a client's update, whose state is not None; updates come in the order of the tasks.

        Args:
            update: The update.
            weight: Above 0; by default its number of examples.
        """
        ...

    def finish(self) -> State:
        """Return the aggregate of the updates since the start, of which there is at least one."""
        ...


class RememberingAggregator(Aggregator, Protocol):
    """A rule that remembers something from one server step to the next, such as what each client has sent.

    The server's state holds it, so a run that is resumed goes on as if it had not been stopped.
    """

    def recall(self, memory: States) -> None:
        """Take up what was remembered after the last server step, before the next begins; empty before the first."""
        ...

    def remembered(self) -> States:
        """Return what the next server step needs, as states by name."""
        ...


class ChoosingAggregator(Aggregator, Protocol):
    """A rule whose aggregate is made of the updates in other parts than their weights."""

    def parts(self) -> Sequence[float]:
        """Return the part of each update that was added, in their order, after :meth:`finish`.

        Each is from 0, and their sum is at most 1, unless a constant divides it. None at all where the weights say it.
        """
        ...


class ReleasingAggregator(RememberingAggregator, Protocol):
    """A rule that releases an aggregate in every server step, also where no update came back, as one with noise must.

    Whether there was an update would show otherwise.
    """

    def begin_release(self, server_step: int) -> None:
        """Say which server step begins, from 1, before :meth:`start`: its noise derives from it."""
        ...


def releases(rule: Aggregator) -> TypeGuard[ReleasingAggregator]:
    """Return whether a rule makes an aggregate of no update too."""
    return hasattr(rule, "begin_release")


def remembers(rule: Aggregator) -> TypeGuard[RememberingAggregator]:
    """Return whether a rule remembers something from one server step to the next."""
    return hasattr(rule, "recall")


def chooses(rule: Aggregator) -> TypeGuard[ChoosingAggregator]:
    """Return whether a rule says how large each update's part is."""
    return hasattr(rule, "parts")


@dataclass
class ByTensor:
    """One rule for some tensors, and another one for all others.

    Args:
        names: Tensors of the first rule.
        some: The first rule.
        others: The other rule.
    """

    names: frozenset[str]
    some: Aggregator
    others: Aggregator
    takes_weights: bool = field(init=False)

    def __post_init__(self) -> None:
        self.takes_weights = self.some.takes_weights or self.others.takes_weights

    def start(self, model: State) -> None:
        """Begin a server step with both rules."""
        self._order = list(model)
        self.some.start(self._of(model, self.names))
        self.others.start(self._of(model, model.keys() - self.names))

    def add(self, update: ClientUpdate, weight: float) -> None:
        """Give each rule its tensors of an update."""
        assert update.state is not None
        self.some.add(replace(update, state=self._of(update.state, self.names)), weight)
        self.others.add(replace(update, state=self._of(update.state, update.state.keys() - self.names)), weight)

    def finish(self) -> State:
        """Return both rules' tensors, in the model's order."""
        found = self.some.finish() | self.others.finish()
        return {name: found[name] for name in self._order}

    def recall(self, memory: States) -> None:
        """Let the other rule take up what it remembered; circular means and the like remember nothing."""
        if remembers(self.others):
            self.others.recall(memory)

    def remembered(self) -> States:
        """Return what the other rule remembers."""
        return self.others.remembered() if remembers(self.others) else {}

    @staticmethod
    def _of(state: State, names: Iterable[str]) -> State:
        chosen = set(names)
        return {name: tensor for name, tensor in state.items() if name in chosen}
