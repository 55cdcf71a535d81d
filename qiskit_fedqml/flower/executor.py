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
from qiskit_fedqml.flower.protocol import MODEL, SCALING, Answer, Failure, Work
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
    _is_stopped: bool = field(default=False, init=False)

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
        while errands and not self._is_stopped:
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
                    yield self._failed(errands.pop(errand.task.client_id).task, reason, handed_out)
            if errands:
                time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """Wait no longer; what nodes work on, they end, and nobody reads it."""
        self._is_stopped = True

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
        states = {f"kept/{slot}": state for slot, state in task.client_states.items()}
        records = packed(self._work(task), {MODEL: task.state, SCALING: self.scaling, **states})
        errand.message = self.roll.post.send(node, "train", records, left, f"round {task.server_step}")
        if errand.message is not None:
            errand.started, errand.sent, errand.reason = started, errand.sent + 1, "its node works on it or is lost"

    def _work(self, task: ClientTask) -> Work:
        experiment = self.experiment
        return Work(
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
            privacy=experiment.privacy,
        )

    def _arrived(self, errands: dict[int, _Errand], handed_out: float) -> Iterator[ClientUpdate]:
        waiting = {errand.message: errand for errand in errands.values() if errand.message is not None}
        for reply in self.roll.post.replies(list(waiting)):
            errand = waiting[reply.message]
            if reply.records is None:
                errand.message, errand.reason = None, texts.plain(reply.reason).rstrip(".")
                errand.not_before = time.monotonic() + _PAUSE_SECONDS * 2**errand.sent
                self.roll.forget()
                continue
            yield self._read(errand.task, reply.records, handed_out)

    def _read(self, task: ClientTask, records: RecordDict, handed_out: float) -> ClientUpdate:
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
            return update_of(task, answer, records, self.model, introduction.examples, waited)
        except UnfitError as error:
            reason = f"its answer was not taken: {error}"
            logger.warning("Round %d, client %d: %s.", task.server_step, task.client_id, reason)
            return ClientUpdate.without_model(task, introduction.examples, Status.REFUSED, reason, waited)

    def _failed(self, task: ClientTask, reason: str, handed_out: float) -> ClientUpdate:
        if self.experiment.federation.on_client_failure == "stop":
            raise TrainingError(f"Round {task.server_step}, client {task.client_id}: {reason}.")
        examples = self.roll.members[task.client_id].introduction.examples
        return ClientUpdate.without_model(task, examples, Status.FAILED, reason, time.monotonic() - handed_out)
