"""Lets nodes work: tasks go out as messages, answers are checked before anything of them is believed."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from flwr.app import RecordDict

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import TrainingError
from qiskit_fedqml.federation.interruption import check_interrupted
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State, Status
from qiskit_fedqml.flower import texts
from qiskit_fedqml.flower.answers import update_of
from qiskit_fedqml.flower.protocol import MODEL, SCALING, Answer, Failure, SecureTerms, Work
from qiskit_fedqml.flower.records import UnfitError, kind_of, packed, values_in
from qiskit_fedqml.flower.roll import LOOK_SECONDS, Roll

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
"""Half the time before a task that Flower gave up is sent for the second time; it doubles each time."""


@dataclass
class _Errand:
    """A task on its way.

    Args:
        task: The task.
        message: The id of the message that carries it; None while its node cannot be reached.
        started: When the node had started that got it.
        sent: How often it was sent.
        reason: Why it has to be sent again.
        not_before: When it may be sent again at the earliest, on the clock of ``time.monotonic``.
    """

    task: ClientTask
    message: str | None = None
    started: str = ""
    sent: int = 0
    reason: str = "its node cannot be reached"
    not_before: float = 0.0


@dataclass
class FlowerExecutor:
    """Runs tasks on nodes.

    Args:
        roll: Which node is which client.
        experiment: The configuration.
        classes: Names of the classes.
        model: The trained tensors, whose names, types and shapes an update must have.
        scaling: ``mean`` and ``deviation`` of the features.
        run_id: Gives the run's id.
        round_seconds: How long a client may take for its task.
        away_seconds: For how long a node may be out of reach before its task has failed.
        attempts: How often a task is sent at most, where its node is lost.
    """

    roll: Roll
    experiment: Experiment
    classes: tuple[str, ...]
    model: State
    scaling: State
    run_id: Callable[[], str]
    round_seconds: float
    away_seconds: float
    attempts: int
    is_stopped: bool = field(default=False, init=False)

    def run(self, tasks: Sequence[ClientTask]) -> Iterator[ClientUpdate]:
        """Run tasks; give their updates as they come.

        A task whose node is lost is sent again when the node is back. An answer that does not hold what it should is
        refused, and a client that fails is recorded or ends the run, as ``on_client_failure`` says.

        Raises:
            FedQMLError: What went wrong at a node, or TrainingError where it is lost or too slow, and
                ``on_client_failure`` is ``"stop"``.
        """
        handed_out = time.monotonic()
        errands = {task.client_id: _Errand(task) for task in tasks}
        while errands and not self.is_stopped:
            check_interrupted()
            self.roll.look()
            left = self.round_seconds - (time.monotonic() - handed_out)
            for errand in errands.values():
                self._send_if_need_be(errand, left)
            for update in self._arrived(errands, handed_out):
                del errands[update.client_id]
                yield update
            for errand in list(errands.values()):
                if reason := self._given_up(errand, left):
                    yield self.failed(errands.pop(errand.task.client_id).task, reason, handed_out)
            if errands:
                time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """Wait no longer; what nodes work on, they end, and nobody reads it."""
        self.is_stopped = True

    def _given_up(self, errand: _Errand, left: float) -> str:
        """Return why a task has failed; empty while it may still be answered."""
        if left <= 0:
            return f"it gave no answer within {self.round_seconds:g} seconds; {errand.reason}"
        if errand.message is None and errand.sent >= self.attempts:
            return f"it was sent {errand.sent} times; the last time, {errand.reason}"
        if errand.message is None and self.roll.away_seconds(errand.task.client_id) > self.away_seconds:
            return f"its node has been out of reach for {self.away_seconds:g} seconds"
        return ""

    def _send_if_need_be(self, errand: _Errand, left: float) -> None:
        task = errand.task
        started = self.roll.started(task.client_id)
        if errand.message is not None and started is not None and started != errand.started:
            errand.message, errand.reason = None, "its node was started again meanwhile"
        is_early = time.monotonic() < errand.not_before
        if errand.message is not None or started is None or is_early or errand.sent >= self.attempts or left <= 0:
            return
        node = self.roll.members[task.client_id].node
        if errand.sent:
            logger.warning("Round %d, client %d: sent again: %s.", task.server_step, task.client_id, errand.reason)
        errand.message = self.roll.post.send(node, "train", self.content(task), left, f"round {task.server_step}")
        if errand.message is not None:
            errand.started, errand.sent, errand.reason = started, errand.sent + 1, "its node works on it or is lost"

    def content(self, task: ClientTask) -> RecordDict:
        """Return what a node gets for a task."""
        experiment, secure = self.experiment, self.experiment.aggregation.secure
        work = Work(
            run=self.run_id(),
            server_step=task.server_step,
            client=task.client_id,
            trains=task.trains,
            kept=tuple(task.client_states),
            seed=experiment.seed,
            classes=self.classes,
            features=experiment.features,
            model=experiment.without_initial().model,
            federation=experiment.federation,
            secure=None
            if secure is None
            else SecureTerms(clipping_range=secure.clipping_range, is_uniform=experiment.aggregation.is_uniform),
            privacy=experiment.privacy,
        )
        states = {f"kept/{slot}": state for slot, state in task.client_states.items()}
        return packed(work, {MODEL: task.state, SCALING: self.scaling, **states})

    def _arrived(self, errands: dict[int, _Errand], handed_out: float) -> Iterator[ClientUpdate]:
        waiting = {errand.message: errand for errand in errands.values() if errand.message is not None}
        for reply in self.roll.post.replies(list(waiting)):
            errand = waiting[reply.message]
            if reply.records is None:
                errand.message, errand.reason = None, texts.plain(reply.reason).rstrip(".")
                errand.not_before = time.monotonic() + _PAUSE_SECONDS * 2**errand.sent
                self.roll.forget()
                continue
            yield self.read(errand.task, reply.records, handed_out)

    def read(self, task: ClientTask, records: RecordDict, handed_out: float) -> ClientUpdate:
        """Return an answer as an update, refused if it does not hold what it should.

        Args:
            task: The task.
            records: The answer.
            handed_out: When the task was handed out, on the clock of ``time.monotonic``.

        Raises:
            FedQMLError: What went wrong at the node, if ``on_client_failure`` is ``"stop"``.
        """
        introduction = self.roll.members[task.client_id].introduction
        waited = time.monotonic() - handed_out
        try:
            if kind_of(records) == Failure.__name__:
                failure = values_in(records, Failure)
                if self.experiment.federation.on_client_failure == "stop":
                    raise texts.error_of(failure, f"Round {task.server_step}, client {task.client_id}")
                return ClientUpdate.without_model(
                    task, introduction.examples, Status.FAILED, texts.plain(failure.text), waited
                )
            answer = values_in(records, Answer)
            if answer.kept and self.experiment.federation.client_optimizer_state != "keep":
                raise UnfitError("it wants tensors kept, which this run does not do")
            is_hidden = self.experiment.aggregation.secure is not None
            return update_of(task, answer, records, self.model, introduction.examples, waited, is_hidden=is_hidden)
        except UnfitError as error:
            reason = f"its answer was not taken: {error}"
            logger.warning("Round %d, client %d: %s.", task.server_step, task.client_id, reason)
            return self.without_update(task, reason, handed_out, Status.REFUSED)

    def failed(self, task: ClientTask, reason: str, handed_out: float) -> ClientUpdate:
        """Return the update of a client that has failed.

        Raises:
            TrainingError: ``on_client_failure`` is ``"stop"``.
        """
        if self.experiment.federation.on_client_failure == "stop":
            raise TrainingError(f"Round {task.server_step}, client {task.client_id}: {reason}.")
        return self.without_update(task, reason, handed_out, Status.FAILED)

    def without_update(self, task: ClientTask, reason: str, handed_out: float, status: Status) -> ClientUpdate:
        """Return the update of a client of which nothing can be aggregated."""
        examples = self.roll.members[task.client_id].introduction.examples
        return ClientUpdate.without_model(task, examples, status, reason, time.monotonic() - handed_out)
