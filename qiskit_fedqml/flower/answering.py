"""A message of the server, and a node's answer."""

from collections.abc import Callable, Mapping
from typing import Any

from flwr.app import RecordDict

from qiskit_fedqml.errors import FedQMLError
from qiskit_fedqml.flower.hiding import hidden
from qiskit_fedqml.flower.node import Node
from qiskit_fedqml.flower.node_config import NodeConfig
from qiskit_fedqml.flower.protocol import MODEL, SCALING, Answer, Failure, Question, Work
from qiskit_fedqml.flower.records import UnfitError, packed, state_in, values_in


class Answering:
    """Answers the messages to one node, which is kept from message to message."""

    def __init__(self) -> None:
        self._node: Node | None = None

    def answer(self, kind: str, config: Mapping[str, Any], records: RecordDict) -> RecordDict:
        """Return the answer to a message; what goes wrong is an answer too.

        Args:
            kind: The message's kind, ``"query"`` or ``"train"``.
            config: What ``--node-config`` says.
            records: The message's content.
        """
        try:
            return _ANSWERS[kind](records, self._kept(NodeConfig.of(config)))
        except FedQMLError as error:
            self.close()
            return packed(Failure(kind=type(error).__name__, text=str(error)[:2000]))
        except UnfitError as error:
            text = f"The server's message cannot be read: {error}."
            return packed(Failure(kind="ConfigurationError", text=text[:2000]))

    def close(self) -> None:
        """Let go of the node; the next message opens it again."""
        if self._node is not None:
            self._node.close()
        self._node = None

    def _kept(self, config: NodeConfig) -> Node:
        if self._node is None or self._node.config != config or self._node.has_changed():
            self.close()
            self._node = Node(config)
        return self._node


def _introduced(records: RecordDict, node: Node) -> RecordDict:
    return packed(*node.introduce(values_in(records, Question)))


def _worked(records: RecordDict, node: Node) -> RecordDict:
    work = values_in(records, Work)
    model, scaling = state_in(records, MODEL), state_in(records, SCALING)
    kept = {slot: state_in(records, f"kept/{slot}") for slot in work.kept}
    update = node.work(work, model, kept, scaling)
    if work.secure is not None:
        return hidden(update, work, work.secure, model)
    states = {f"kept/{slot}": state for slot, state in update.client_states.items()}
    if update.state is not None:
        states[MODEL] = update.state
    return packed(Answer.of(update, work.server_step), states)


_ANSWERS: dict[str, Callable[[RecordDict, Node], RecordDict]] = {"query": _introduced, "train": _worked}
