"""The line between Flower's workflow of SecAgg+ and nodes: it sends each stage's messages, and checks what comes."""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace

from flwr.app import Message, RecordDict
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage

from qiskit_fedqml.federation.interruption import check_interrupted
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, Status
from qiskit_fedqml.flower import texts
from qiskit_fedqml.flower.executor import FlowerExecutor
from qiskit_fedqml.flower.records import UnfitError
from qiskit_fedqml.flower.roll import LOOK_SECONDS
from qiskit_fedqml.flower.stages import check_stage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Came:
    """A reply that holds what it should, as Flower's workflow reads it."""

    metadata: SimpleNamespace
    content: RecordDict

    def has_error(self) -> bool:
        """Return that it has none: nodes that drop out give no reply here."""
        return False


@dataclass
class Line:
    """Takes the place of Flower's grid for its workflow, in one round.

    A node that is lost in a stage, or answers what it should not, has dropped out: it cannot be asked again, since its
    secrets are for one round and one answer.

    Args:
        nodes: Reads answers of tasks.
        tasks: The tasks, by node.
        weights: The weight of each node.
        handed_out: When the round began, on the clock of ``time.monotonic``.
        updates: What is known of each node's task: without its tensors where it trained.
    """

    nodes: FlowerExecutor
    tasks: Mapping[int, ClientTask]
    weights: Mapping[int, int]
    handed_out: float
    updates: dict[int, ClientUpdate] = field(default_factory=dict)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[_Came]:
        """Send a stage's messages; return the replies of the nodes that have not dropped out.

        Raises:
            FedQMLError: A client has failed, and ``on_client_failure`` is ``"stop"``.
        """
        sent = {message.metadata.dst_node_id: message for message in messages}
        stage = next((str(m.content.config_records[RECORD_KEY_CONFIGS][Key.STAGE]) for m in sent.values()), "")
        until, post, roll = self._until(stage), self.nodes.roll.post, self.nodes.roll
        started = {node: roll.started(self.tasks[node].client_id) for node in sent}
        waiting, came = dict[str, int](), list[_Came]()
        for node, message in sent.items():
            left = max(until - time.monotonic(), 1.0)
            group = f"round {self.tasks[node].server_step}"
            name = post.send(node, message.metadata.message_type, message.content, left, group)
            if name is None:
                self._lose(node, stage, "its node cannot be reached")
            else:
                waiting[name] = node
        while waiting and not self.nodes.is_stopped:
            check_interrupted()
            roll.look()
            for reply in post.replies(list(waiting)):
                node = waiting.pop(reply.message)
                if reply.records is None:
                    roll.forget()
                    self._lose(node, stage, texts.plain(reply.reason).rstrip("."))
                elif self._is_taken(node, stage, reply.records, sent[node]):
                    came.append(_Came(SimpleNamespace(src_node_id=node), reply.records))
            for name, node in list(waiting.items()):
                if reason := self._given_up(node, started[node], until):
                    del waiting[name]
                    self._lose(node, stage, reason)
            if waiting:
                time.sleep(LOOK_SECONDS)
        return came

    def _until(self, stage: str) -> float:
        """Return until when a stage's replies are waited for; those in which nobody trains take little time."""
        end = self.handed_out + self.nodes.round_seconds
        is_work = stage == Stage.COLLECT_MASKED_VECTORS
        return end if is_work else min(end, time.monotonic() + self.nodes.away_seconds)

    def _given_up(self, node: int, started: str | None, until: float) -> str:
        client, roll = self.tasks[node].client_id, self.nodes.roll
        if time.monotonic() > until:
            return "it gave no answer in time"
        if roll.members[client].node != node or (roll.started(client) not in (None, started)):
            return "its node was started again meanwhile"
        if roll.away_seconds(client) > self.nodes.away_seconds:
            return f"its node has been out of reach for {self.nodes.away_seconds:g} seconds"
        return ""

    def _is_taken(self, node: int, stage: str, records: RecordDict, sent: Message) -> bool:
        """Check a reply; note what it says of the task."""
        task = self.tasks[node]
        if stage == Stage.COLLECT_MASKED_VECTORS:
            update = self.nodes.read(task, records, self.handed_out)
            if update.status is not Status.OK:
                self.updates[node] = update
                return False
            self.updates[node] = update
        shapes = [tuple(self.nodes.model[name].shape) for name in sorted(self.nodes.model)]
        try:
            check_stage(records, sent.content.config_records[RECORD_KEY_CONFIGS], shapes, self.weights[node])
        except UnfitError as error:
            self._lose(node, stage, f"its answer was not taken: {error}", Status.REFUSED)
            return False
        return True

    def _lose(self, node: int, stage: str, reason: str, status: Status = Status.FAILED) -> None:
        """Go on without a node; one that is lost in the last stage has given its update before."""
        task = self.tasks[node]
        reason = f"it dropped out in stage {stage!r} of secure aggregation: {reason}"
        logger.warning("Round %d, client %d: %s.", task.server_step, task.client_id, reason)
        if stage == Stage.UNMASK:
            return
        update = self.nodes.failed(task, reason, self.handed_out) if status is Status.FAILED else None
        self.updates[node] = update or self.nodes.without_update(task, reason, self.handed_out, status)
