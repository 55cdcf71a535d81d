"""Messages to nodes, and what comes back: Flower's grid, without its three seconds between two looks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid


@dataclass(frozen=True)
class Reply:
    """What came back for a message.

    Args:
        message: The id of the message that was sent.
        records: The answer's content; None where there is none.
        reason: Why there is none, in Flower's words.
    """

    message: str
    records: RecordDict | None
    reason: str = ""


@dataclass(frozen=True)
class Post:
    """Sends messages and fetches replies.

    Args:
        grid: Flower's.
    """

    grid: Grid

    def online(self) -> dict[int, str]:
        """Return the nodes that can be reached, each with the time of its last start."""
        return {node.node_id: node.last_activated_at for node in self.grid.get_nodes() if node.status == "online"}

    def send(self, node: int, kind: str, records: RecordDict, seconds: float, group: str) -> str | None:
        """Send a message.

        Args:
            node: The node.
            kind: The message's kind, ``"query"`` or ``"train"``.
            records: Its content.
            seconds: How long message and answer are kept at most.
            group: What Flower's log calls it.

        Returns:
            The message's id, or None if Flower did not take it: the node has gone.
        """
        message = Message(records, node, kind, ttl=seconds, group_id=group)
        taken = list(self.grid.push_messages([message]))
        return taken[0] if taken and taken[0] else None

    def replies(self, messages: Sequence[str]) -> Iterator[Reply]:
        """Yield what has come back so far, each reply once."""
        if not messages:
            return
        for reply in self.grid.pull_messages(messages):
            sent = reply.metadata.reply_to_message_id
            if reply.has_error():
                yield Reply(sent, None, reply.error.reason or f"error {reply.error.code}")
            else:
                yield Reply(sent, reply.content)
