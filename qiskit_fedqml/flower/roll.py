"""Which node is which client: every node is asked once, and again when it comes back as another one."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from qiskit_fedqml.data.scaling import FeatureSums
from qiskit_fedqml.errors import ConfigurationError, FedQMLError, listed
from qiskit_fedqml.federation.interruption import check_interrupted
from qiskit_fedqml.flower import texts
from qiskit_fedqml.flower.post import Post, Reply
from qiskit_fedqml.flower.protocol import SUMS, Failure, Introduction, Question
from qiskit_fedqml.flower.records import UnfitError, check_fits, kind_of, packed, state_in, values_in

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Time between two looks for replies."""
_LIST_SECONDS = 3.0
"""Time between two looks at which nodes are there."""


@dataclass(frozen=True)
class Member:
    """A node that has introduced itself.

    Args:
        node: Flower's id of it.
        introduction: What it said.
        sums: Sums of its features; None where the scaling needs none.
    """

    node: int
    introduction: Introduction
    sums: FeatureSums | None


@dataclass
class Roll:
    """The nodes of a run.

    Args:
        post: Reaches them.
        question: What they are asked.
        num_clients: Number of clients.
        needs_sums: Whether the scaling needs the sums of their features.
        seconds: How long the nodes may take to come and to answer.
    """

    post: Post
    question: Question
    num_clients: int
    needs_sums: bool
    seconds: float
    members: dict[int, Member] = field(default_factory=dict, init=False)
    _started: dict[int, str] = field(default_factory=dict, init=False)
    _seen: dict[int, float] = field(default_factory=dict, init=False)
    _looked: float = field(default=float("-inf"), init=False)
    _asked: dict[str, int] = field(default_factory=dict, init=False)
    _known: set[int] = field(default_factory=set, init=False)

    def call(self) -> Mapping[int, Member]:
        """Wait until every client has a node; return them by client.

        Raises:
            ConfigurationError: Not all came in time, two nodes are the same client, or one is none of the run's.
            FedQMLError: A node cannot take part, and says why.
        """
        until = time.monotonic() + self.seconds
        said: list[int] = []
        while True:
            self.look()
            missing = [client for client in range(self.num_clients) if client not in self.members]
            if not missing:
                return self.members
            if missing != said:
                logger.info("Waiting for the nodes of clients %s.", listed(missing))
                said = missing
            if time.monotonic() > until:
                raise ConfigurationError(
                    f"No node came for clients {listed(missing)} within {self.seconds:g} seconds; {len(self._started)} "
                    "nodes were there. Each SuperNode must be registered and running, and its --node-config must say "
                    "which client it is."
                )
            check_interrupted()
            time.sleep(LOOK_SECONDS)

    def started(self, client: int) -> str | None:
        """Return when a client's node started last; None while it cannot be reached."""
        return self._started.get(self.members[client].node)

    def away_seconds(self, client: int) -> float:
        """Return for how long a client's node cannot be reached."""
        return time.monotonic() - self._seen[self.members[client].node]

    def forget(self) -> None:
        """See at the next look which nodes are there, however short ago the last one was."""
        self._looked = float("-inf")

    def look(self) -> None:
        """See which nodes are there, ask those that are new, and read their answers.

        Once every client has its node, a newcomer that cannot take part is left out.

        Raises:
            ConfigurationError: Two nodes are the same client, or one is none of the run's.
            FedQMLError: A node cannot take part, and says why.
        """
        if time.monotonic() - self._looked >= _LIST_SECONDS:
            self._started, self._looked = self.post.online(), time.monotonic()
            self._seen |= dict.fromkeys(self._started, self._looked)
            self._known &= self._started.keys() | {member.node for member in self.members.values()}
            for node in self._started.keys() - self._known:
                message = self.post.send(node, "query", packed(self.question), max(self.seconds, 60.0), "roll call")
                if message is not None:
                    self._asked[message] = node
                    self._known.add(node)
        for reply in self.post.replies(list(self._asked)):
            node, is_complete = self._asked.pop(reply.message), len(self.members) == self.num_clients
            try:
                self._take(node, reply)
            except FedQMLError as error:
                if not is_complete:
                    raise
                logger.warning("Node %d is left out: %s", node, error)

    def _take(self, node: int, reply: Reply) -> None:
        if reply.records is None:
            logger.warning("Node %d did not introduce itself: %s", node, texts.plain(reply.reason))
            self._known.discard(node)  # it is asked again
            return
        try:
            if kind_of(reply.records) == Failure.__name__:
                raise texts.error_of(values_in(reply.records, Failure), f"Node {node}")
            introduction = values_in(reply.records, Introduction)
            sums = self._sums(reply, introduction) if self.needs_sums else None
        except UnfitError as error:
            raise ConfigurationError(f"Node {node} cannot take part: {error}.") from None
        self._enter(Member(node, introduction, sums))

    def _enter(self, new: Member) -> None:
        client = new.introduction.client
        if client >= self.num_clients:
            raise ConfigurationError(
                f"Node {new.node} is client {client}, but the run has clients 0 to {self.num_clients - 1}."
            )
        old = self.members.get(client)
        if old is not None and old.node != new.node:
            if old.node in self._started:
                raise ConfigurationError(f"Nodes {old.node} and {new.node} are both client {client}.")
            if old.introduction.model_copy(update={"versions": {}}) != new.introduction.model_copy(
                update={"versions": {}}
            ):
                raise ConfigurationError(
                    f"Node {new.node} is client {client} in the place of node {old.node}, but has other data or "
                    "another backend."
                )
        self.members[client] = new
        logger.info("Client %d is node %d, on backend %s.", client, new.node, new.introduction.backend)

    def _sums(self, reply: Reply, introduction: Introduction) -> FeatureSums:
        assert reply.records is not None
        like = torch.empty(introduction.num_features, dtype=torch.float64, device="meta")  # a node can claim any number
        state = check_fits(
            state_in(reply.records, SUMS), {"total": like, "total_squared": like}, "the sums of features"
        )
        return FeatureSums(introduction.examples, state["total"].numpy(), state["total_squared"].numpy())
