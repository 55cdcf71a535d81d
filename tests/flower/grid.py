"""Flower's grid in one process: nodes that answer at once, or as a test wants."""

import itertools
import tomllib
from dataclasses import dataclass, field

from flwr.app import Context, Message, RecordDict
from flwr.app.error import Error
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from qiskit_fedqml.flower.answering import Answering
from qiskit_fedqml.flower.masking import masked


@dataclass
class Info:
    """What the grid says of a node."""

    node_id: int
    last_activated_at: str = "1"
    status: str = "online"


@dataclass
class FakeNode:
    """A node.

    Args:
        folder: Its folder, in which its paths start.
        changed: Changes an answer before it is sent: takes and returns its records, or gives an error's text, or None
            for no answer at all.
    """

    folder: object
    changed: object = staticmethod(lambda kind, records: records)
    received: list = field(default_factory=list)
    answering: Answering = field(default_factory=Answering)
    context: Context = field(default_factory=lambda: Context(1, 1, {}, RecordDict(), {}))

    def answered(self, message):
        """Answer a message as the process that works for the node does."""
        kind = message.metadata.message_type
        return Message(self.answering.answer(kind, self.config(), message.content), reply_to=message)

    def config(self):
        """Return what its ``--node-config`` says, with paths that do not depend on where the test runs."""
        values = tomllib.loads((self.folder / "node.toml").read_text(encoding="utf-8"))
        paths = {key: str(self.folder / values[key]) for key in ("data", "backends")}
        return {**values, **paths, "folder": str(self.folder)}


class FakeGrid(Grid):
    """A grid.

    Args:
        nodes: The nodes, by id.
    """

    def __init__(self, nodes):
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
        self.nodes = nodes
        self.infos = {node: Info(node) for node in nodes}
        self.answers, self.counter = {}, itertools.count(1)
        self.sent = []

    def get_nodes(self):
        return list(self.infos.values())

    def push_messages(self, messages):
        ids = []
        for message in messages:
            name = f"message {next(self.counter)}"
            message.metadata.__dict__["_message_id"] = name
            self.sent.append((message.metadata.dst_node_id, message.metadata.message_type, name))
            if message.metadata.dst_node_id not in self.infos:
                ids.append(None)
                continue
            ids.append(name)
            self._answer(self.nodes[message.metadata.dst_node_id], message)
        return ids

    def pull_messages(self, message_ids):
        return [self.answers.pop(name) for name in list(message_ids) if name in self.answers]

    def _answer(self, node, message):
        kind = message.metadata.message_type
        came = Message(recorddict_from_proto(recorddict_to_proto(message.content)), metadata=message.metadata)
        try:
            node.context.node_config = node.config()
            reply = masked(came, node.context, lambda one, _: node.answered(one))
        except Exception as error:  # as Flower does
            reply = Message(Error(1, f"{type(error).__name__}: {error}"), reply_to=message)
        node.received.append(kind)
        changed = reply.error.reason if reply.has_error() else node.changed(kind, reply.content)
        if isinstance(changed, str):
            reply = Message(Error(5, changed), reply_to=message)
        elif changed is None:
            return
        else:
            reply.content = changed
        self.answers[message.metadata.message_id] = reply

    def create_message(self, *_, **__):
        raise NotImplementedError

    def get_node_ids(self):
        raise NotImplementedError

    def send_and_receive(self, *_, **__):
        raise NotImplementedError

    def set_run(self, run):
        raise NotImplementedError

    @property
    def run(self):
        raise NotImplementedError
