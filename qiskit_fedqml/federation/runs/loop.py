"""The server steps of a run, one after another, each recorded and checkpointed."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.config.gossip import Gossip
from qiskit_fedqml.errors import BudgetError, ResultError
from qiskit_fedqml.federation.algorithms.buffered_on_devices import BufferedOnDevices
from qiskit_fedqml.federation.executors.executor import in_task_order
from qiskit_fedqml.federation.executors.flights import FlightExecutor
from qiskit_fedqml.federation.messages import ClientUpdate, by_step
from qiskit_fedqml.federation.past_attempts import PastAttempts
from qiskit_fedqml.federation.runs.attempts import attempted, check_may_fail
from qiskit_fedqml.federation.runs.best_model import BestModel, named
from qiskit_fedqml.federation.runs.recording import record_step
from qiskit_fedqml.federation.runs.testing import MOST_WAITING, Testing
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.results.best_round import ProgressMade
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.results.writer import RunWriter
from qiskit_fedqml.tracking.tracking import Tracking, open_trackers

if TYPE_CHECKING:
    from qiskit_fedqml.federation.runs.assembly import Federation
    from qiskit_fedqml.ledger.keeper import LedgerKeeper
    from qiskit_fedqml.planning.guard import BudgetGuard

logger = logging.getLogger(__name__)


class _ShortageError(Exception):
    """The next round passes what the run may spend."""

    def __init__(self, shortage: BudgetError) -> None:
        super().__init__()
        self.shortage = shortage


class RunLoop:
    """A run at work.

    Args:
        federation: What it works on.
        run: Its description.
        writer: Writes its folder; None keeps the result in memory alone.
        guard: Says of each round whether it can be paid; None where no device is used.
        ledger: Writes down what is aggregated, or None.
        allow_partial: Whether the run may end before a round that cannot be paid; otherwise that is an error.
    """

    def __init__(
        self,
        federation: "Federation",
        run: dict[str, Any],
        writer: RunWriter | None,
        guard: "BudgetGuard | None" = None,
        ledger: "LedgerKeeper | None" = None,
        *,
        allow_partial: bool = False,
    ) -> None:
        self.federation, self.description, self.writer = federation, run, writer
        self.guard, self.ledger, self.allow_partial = guard, ledger, allow_partial
        self._testing = Testing(self._keep, federation.observer)

    def run(self, server: ServerState, done: Sequence[RoundRecord], best: BestModel | None = None) -> RunResult:
        """Run the server steps that are missing.

        Args:
            server: The state after those that are done.
            done: Their records.
            best: The model of the best of them, where ``keep_best`` asks for it.

        Raises:
            BudgetError: The next round cannot be paid, and that is no end that is allowed.
            FedQMLError: What a step raises.
        """
        path = self.writer.path if self.writer else None
        dispatcher = self.federation.registry.dispatcher
        trackers = open_trackers(self.federation.experiment, self.description, path, len(done))
        self._server, self._records = server, list[RoundRecord]()
        self._take_up(done, best)
        try:
            with Tracking(trackers, done, path) as self._tracking:
                self._run_steps()
                return self._end()
        except _ShortageError as stop:
            if not (self.allow_partial and self._server.step):
                raise stop.shortage from None
            return self._end(stopped=str(stop.shortage))
        finally:
            self._testing.close()
            self.federation.executor.stop()  # whatever ended the run, no device's thread continues
            dispatcher.patience.stop()
            dispatcher.journal.close()

    def _take_up(self, done: Sequence[RoundRecord], best: BestModel | None) -> None:
        config = self.federation.experiment.federation
        self._progress = ProgressMade.of(self.federation.experiment, done)
        self._best = best if config.keep_best else None
        if config.keep_best and self._progress.best_round != (self._best.round if self._best else 0):
            raise ResultError(f"The model of round {self._progress.best_round}, the best one so far, is gone.")
        if (config.stop or config.keep_best) and not len(self.federation.evaluator.validation):
            key = "stop" if config.stop else "keep_best"
            logger.warning(
                "`federation.%s` looks at the test data, since there are no validation data "
                "(`data.validation_fraction`): the test accuracy is then no longer that of unseen data.",
                key,
            )

    def _run_steps(self) -> None:
        """Run the steps; where clients train elsewhere, the next ones do so while a step's model is tested here.

        Where a test may end the run, or what a step releases is counted, the next step waits for it.
        """
        config, rule = self.federation.experiment.federation, self.federation.experiment.aggregation
        server = self._server
        past = PastAttempts(self.federation.registry.dispatcher.journal if self.federation.devices else None)
        try:
            while server.step < config.rounds and not self._progress.has_ended:
                started, before = time.perf_counter(), server
                server, clients, earlier = attempted(config, server, self._attempt, past, rule)
                if self.ledger:
                    self.ledger.stepped(before, server, [*earlier, clients])
                record = partial(self._record, server, clients, earlier)
                may_wait = config.stop is None and self.federation.privacy is None
                self._testing.test(server, record, started, meanwhile=may_wait and self.federation.trains_elsewhere)
        finally:  # also where the next step has failed: what is raised by the test of one before counts more
            self._testing.settle()

    def _attempt(self, server: ServerState) -> tuple[ServerState, list[ClientUpdate]]:
        federation, step = self.federation, server.step + 1
        tasks = federation.algorithm.next_tasks(server)
        server = federation.spending(server, tasks)
        if self.guard and (shortage := self.guard.shortage(step, by_step(tasks))):
            raise _ShortageError(shortage)
        self._testing.show(lambda o: o.round_started(step, federation.experiment.federation.rounds, len(tasks)))
        if isinstance(executor := federation.executor, FlightExecutor):
            assert isinstance(federation.algorithm, BufferedOnDevices)
            tasks = executor.arriving(tasks, step, partial(federation.algorithm.is_enough, server))
        updates = in_task_order(tasks, self._observed(step, federation.executor.run(tasks)))
        if self.ledger:
            updates = self.ledger.noted(server, tasks, updates)
        return federation.algorithm.apply(server, updates)

    def _observed(self, step: int, updates: Iterator[ClientUpdate]) -> Iterator[ClientUpdate]:
        for update in updates:
            self._testing.show(lambda o, update=update: o.client_finished(update))  # type: ignore[misc]
            check_may_fail(self.federation.experiment.federation, step, update)
            self._testing.settle(MOST_WAITING)
            yield update

    def _record(
        self, server: ServerState, clients: list[ClientUpdate], earlier: list[list[ClientUpdate]], started: float
    ) -> RoundRecord:
        experiment = self.federation.experiment
        local_epochs, backends = experiment.federation.local_epochs, experiment.evaluation.backends
        named, evaluator = experiment.federation.algorithm, self.federation.evaluator
        tests_nodes = isinstance(named, Gossip) and named.tests_nodes(server.step)
        record = record_step(
            server, clients, earlier, evaluator, backends, local_epochs, started, tests_nodes=tests_nodes
        )
        return replace(record, **self.federation.epsilons(server))

    def _keep(self, server: ServerState, record: RoundRecord) -> None:
        self._server = server
        self._progress.add(record)
        if self._progress.best_round == server.step:
            self._best = BestModel(server.step, server.model)
        if self.writer:
            self.writer.append(record)
        else:
            self._records.append(record)
        self._tracking.round_finished(record)  # before the checkpoint: what need not be trained again has been shown
        config, rounds = self.federation.experiment.checkpoints, self.federation.experiment.federation.rounds
        is_last = server.step == rounds or self._progress.has_ended
        if self.writer and (server.step % config.every == 0 or is_last):
            self.writer.save_checkpoint(*named(server, self._best), keep=config.keep)
            if isinstance(self.federation.executor, FlightExecutor) or self.federation.privacy is not None:
                self.writer.wait()  # new tasks are sent only when the state that holds or counts them is on disk
        self._testing.notify(lambda o: o.round_finished(record))

    def _end(self, stopped: str = "") -> RunResult:
        """Return the result, and end the folder's run unless it was stopped for want of budget."""
        server, records = self._server, self._records
        if self.writer:
            self.writer.wait()
        if self.federation.devices and self.writer:
            self.writer.rewrite_records(self._with_charges(self.writer.records))
        elif self.federation.devices:
            records = list(self._with_charges(records))
        model, best = self.federation.evaluator.model, self._best
        kept, step = (server.model, server.step) if best is None else (best.model, best.round)
        confusion = None if stopped else self.federation.evaluator.confusion_of(kept, step)
        model.adopt_trainable_state(kept)
        final_state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        if self.writer and self.ledger and not stopped:
            self.ledger.ended(server, step, self.writer.records)
        if self.writer and confusion is not None:
            is_all = server.is_model_alone and (best is None or best.round == server.step)
            best_round = None if best is None else best.round
            self.writer.finish(final_state, confusion, keep_checkpoint=not is_all, best_round=best_round)
        rounds, path = (self.writer.records, self.writer.path) if self.writer else (tuple(records), None)
        result = RunResult(self.federation.experiment, self.description, rounds, path, final_state, stopped, confusion)
        if reason := result.never_trained:
            logger.warning(
                "No update was aggregated in any round, so the model is as it began. The last one: %s", reason
            )
        return result

    def _with_charges(self, records: Sequence[RoundRecord]) -> Iterator[RoundRecord]:
        """Fill in charges that the service did not yet know when their round ended."""
        registry = self.federation.registry
        for backend in registry.opened():
            if isinstance(backend, DeviceBackend):
                backend.settle()
        submissions = registry.dispatcher.journal.all()
        return (record.with_charges(submissions) for record in records)
