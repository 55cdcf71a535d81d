"""Federated runs: begun, resumed, extended, and ended."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.federation.executors.executor import in_task_order
from qiskit_fedqml.federation.interruption import interruptible
from qiskit_fedqml.federation.messages import ClientUpdate
from qiskit_fedqml.federation.runs.assembly import Federation, assemble
from qiskit_fedqml.federation.runs.observer import Observer
from qiskit_fedqml.federation.runs.recording import record_step
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.results.checkpoint import Checkpoint
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.provenance import changes_since, check_data, describe_run
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.results.writer import RunWriter
from qiskit_fedqml.tracking.tracking import Tracking, check_tracking, open_trackers

logger = logging.getLogger(__name__)


def run_federation(
    experiment: Experiment,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    observer: Observer | None = None,
) -> RunResult:
    """Run a federated training (one client that holds all the data is the non-federated baseline).

    Args:
        experiment: What to run, from :func:`~qiskit_fedqml.load_experiment`.
        out: The result folder; None keeps the result in memory alone.
        overwrite: Whether a result folder that exists may be replaced.
        observer: Notified of what happens.

    Returns:
        The result, with the final model.

    Raises:
        ConfigurationError: The assignment names a client that doesn't exist, there are more classes than qubits,
            there is no such device, a part of the user's own cannot be found, or a tracker's extra is not installed.
        DataError: Data, weights or features are missing or do not fit.
        BackendError: A backend cannot be opened, or failed.
        BudgetError: The next job would pass a budget of QPU seconds; the run can be resumed.
        ResultError: The folder exists already, is in use, or cannot be written; or ``model.initial`` names no finished
            run whose model fits.
        TrainingError: The aggregate's loss is not finite.
    """
    check_tracking(experiment.tracking, has_folder=out is not None)
    if out is None:
        with interruptible():
            return run_assembled(assemble(experiment, observer, None))
    writer = RunWriter(RunFolder(Path(out)))
    try:
        with interruptible():
            writer.claim(overwrite=overwrite)
            return run_assembled(assemble(experiment, observer, None), writer)
    finally:
        writer.release()


def run_assembled(federation: Federation, writer: RunWriter | None = None) -> RunResult:
    """Run a federation that is put together, perhaps with parts of another kind, such as your own executor.

    Args:
        federation: From :func:`~qiskit_fedqml.federation.runs.assembly.assemble`.
        writer: Writes the result folder, which it has claimed; None keeps the result in memory alone.

    Raises:
        FedQMLError: As :func:`run_federation`.
    """
    run = _describe(federation)
    if writer:
        run = writer.create(federation.experiment, run, federation.initial.named() if federation.origin else None)
        if federation.devices:
            federation.registry.dispatcher.journal.move_to(writer.folder.journal)
    return _Run(federation, run, writer).run(federation.initial, ())


def resume_federation(
    out: str | Path,
    *,
    budgets: Mapping[str | None, float] | None = None,
    observer: Observer | None = None,
) -> RunResult:
    """Resume a run where it stopped; an interrupted round is replayed from its start, to the same bits.

    A warning is logged where versions or the number of threads are not those with which the run began. A finished run
    is not trained again; its trackers are given what they lack.

    Args:
        out: The result folder.
        budgets: Other budgets of QPU seconds, by backend; None is the whole run. The change is recorded.
        observer: Notified of what happens.

    Raises:
        ResultError: It is no result folder, a file of it is damaged, edited or of another run, the data are no longer
            those of the run, or another process works on it.
        ConfigurationError: As :func:`run_federation`.
        DataError: As :func:`run_federation`.
        BackendError: As :func:`run_federation`.
        BudgetError: As :func:`run_federation`.
        TrainingError: As :func:`run_federation`.
    """
    with _at_work_on(Path(out)) as writer:
        if budgets:
            experiment = writer.folder.load_experiment().with_budgets(budgets)
            writer.replace_experiment(experiment, "resume --budget")
        return _resume(writer, observer)


def extend_federation(out: str | Path, rounds: int, *, observer: Observer | None = None) -> RunResult:
    """Give a run, finished or not, another number of rounds, and resume it; the change is recorded.

    The result is that of a run which had so many rounds from the start, to the bit.

    Args:
        out: The result folder.
        rounds: The number of rounds in all; at least those that are done.
        observer: Notified of what happens.

    Raises:
        ConfigurationError: ``rounds`` is no number from 1.
        ResultError: More rounds are done already, or as :func:`resume_federation`.
        FedQMLError: As :func:`resume_federation`.
    """
    with _at_work_on(Path(out)) as writer:
        folder = writer.folder
        stored = RunResult.load(out)
        if rounds < len(stored.rounds):
            raise ResultError(f"{out}: {len(stored.rounds)} rounds are done, so it cannot have {rounds}.")
        experiment = stored.experiment.with_rounds(rounds)
        if folder.is_finished and rounds > len(stored.rounds):
            if not folder.checkpoint.exists():  # the model is all the state that there was
                _, proof = folder.read_records(folder.proven_manifest())
                writer.continue_after(proof)
                trained = assemble(stored.experiment.without_initial(), None, None).initial.model
                model = {name: tensor for name, tensor in folder.load_model_state().items() if name in trained}
                writer.save_checkpoint(*ServerState(len(stored.rounds), model).named())
                writer.wait()
            writer.reopen()
        writer.replace_experiment(experiment, "extend --rounds")
        return _resume(writer, observer)


@contextmanager
def _at_work_on(path: Path) -> Iterator[RunWriter]:
    """Keep other processes from a result folder, until nothing is being written there any more."""
    writer = RunWriter(RunFolder(path))
    try:
        with interruptible():
            writer.lock()
            yield writer
    finally:
        writer.release()


def _resume(writer: RunWriter, observer: Observer | None) -> RunResult:
    folder = writer.folder
    stored = RunResult.load(folder.path)
    if folder.is_finished and not (folder.path / "model.safetensors").exists():
        raise ResultError(f"{folder.path} is the folder of a finished run, but its model.safetensors is gone.")
    if folder.is_finished and stored.is_complete:
        trackers = open_trackers(stored.experiment, stored.run, folder.path, len(stored.rounds))
        Tracking(trackers, stored.rounds, folder.path).end()
        return stored
    manifest = folder.proven_manifest()
    check_tracking(stored.experiment.tracking, has_folder=True)
    if changes := changes_since(stored.run):
        logger.warning(
            "%s is resumed in another environment, so its bits may differ: %s", folder.path, "; ".join(changes)
        )
    if stored.experiment.model.initial and not folder.is_finished and not folder.checkpoint.exists():
        raise ResultError(f"{folder.path}: checkpoint.safetensors is gone, and with it the model to resume from.")
    federation = assemble(stored.experiment.without_initial(), observer, folder.journal)
    federation.experiment = stored.experiment
    check_data(stored.run, federation.data.classes, federation.data.digests, folder.path)
    checkpoint = folder.load_checkpoint()
    _, proof = folder.read_records(manifest)
    server = _state_of(checkpoint, federation, folder.path) if checkpoint else federation.initial
    if server.step != len(stored.rounds):
        raise ResultError(
            f"{folder.path}: the checkpoint of round {server.step} does not fit {len(stored.rounds)} rounds."
        )
    writer.continue_after(proof)
    return _Run(federation, stored.run, writer).run(server, stored.rounds)


def _state_of(checkpoint: Checkpoint, federation: Federation, path: Path) -> ServerState:
    expected = federation.initial.model
    try:
        server = ServerState.from_named(checkpoint.header.values, checkpoint.states)
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"{path}: the checkpoint lacks {error}.") from error
    shapes = {name: tensor.shape for name, tensor in server.model.items()}
    if shapes != {name: tensor.shape for name, tensor in expected.items()}:
        raise ResultError(f"{path}: the checkpoint holds the tensors of another model.")
    return server.on_devices_of(expected)


class _Run:
    """A run at work: server steps, one after another, each recorded and checkpointed.

    Args:
        federation: What it works on.
        run: Its description.
        writer: Writes its folder; None keeps the result in memory alone.
    """

    def __init__(self, federation: Federation, run: dict[str, Any], writer: RunWriter | None) -> None:
        self.federation, self.description, self.writer = federation, run, writer

    def run(self, server: ServerState, done: Sequence[RoundRecord]) -> RunResult:
        """Run the server steps that are missing.

        Args:
            server: The state after those that are done.
            done: Their records.
        """
        path = self.writer.path if self.writer else None
        dispatcher = self.federation.registry.dispatcher
        trackers = open_trackers(self.federation.experiment, self.description, path, len(done))
        try:
            with Tracking(trackers, done, path) as tracking:
                records = list(done)
                while server.step < self.federation.experiment.federation.rounds:
                    server, record = self._step(server)
                    records.append(record)
                    self._keep(server, record, tracking)
                return self._end(server, records)
        finally:
            self.federation.executor.stop()  # whatever ended the run, no device's thread continues
            dispatcher.patience.stop()
            dispatcher.journal.close()

    def _step(self, server: ServerState) -> tuple[ServerState, RoundRecord]:
        federation, experiment = self.federation, self.federation.experiment
        started = time.perf_counter()
        tasks = federation.algorithm.next_tasks(server)
        if federation.observer:
            federation.observer.round_started(server.step + 1, experiment.federation.rounds, len(tasks))
        updates = in_task_order(tasks, self._told(federation.executor.run(tasks)))
        server, clients = federation.algorithm.apply(server, updates)
        local_epochs, backends = experiment.federation.local_epochs, experiment.evaluation.backends
        return server, record_step(server, clients, federation.evaluator, backends, local_epochs, started)

    def _told(self, updates: Iterator[ClientUpdate]) -> Iterator[ClientUpdate]:
        for update in updates:
            if self.federation.observer:
                self.federation.observer.client_finished(update)
            yield update

    def _keep(self, server: ServerState, record: RoundRecord, tracking: Tracking) -> None:
        if self.writer:
            self.writer.append(record)
        tracking.round_finished(record)  # before the checkpoint: what need not be trained again has been shown
        if self.writer:
            self.writer.save_checkpoint(*server.named())
        if self.federation.observer:
            self.federation.observer.round_finished(record)

    def _end(self, server: ServerState, records: list[RoundRecord]) -> RunResult:
        if self.federation.devices:
            records = self._with_charges(records)
            if self.writer:
                self.writer.wait()
                self.writer.rewrite_records(tuple(records))
        model = self.federation.evaluator.model
        model.adopt_trainable_state(server.model)
        final_state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        if self.writer:
            self.writer.finish(final_state, keep_checkpoint=bool(server.optimizer or server.clients))
        path = self.writer.path if self.writer else None
        result = RunResult(self.federation.experiment, self.description, tuple(records), path, final_state)
        if reason := result.never_trained:
            logger.warning(
                "No update was aggregated in any round, so the model is as it began. The last one: %s", reason
            )
        return result

    def _with_charges(self, records: Sequence[RoundRecord]) -> list[RoundRecord]:
        """Fill in charges that the service did not yet know when their round ended."""
        registry = self.federation.registry
        for backend in registry.opened():
            if isinstance(backend, DeviceBackend):
                backend.settle()
        submissions = registry.dispatcher.journal.all()
        return [record.with_charges(submissions) for record in records]


def _describe(federation: Federation) -> dict[str, Any]:
    data, num_trained = federation.data, sum(tensor.numel() for tensor in federation.initial.model.values())
    examples = {
        "train": sum(len(shard) for shard in data.shards),
        "validation": len(data.validation),
        "test": len(data.test),
    }
    described = describe_run(federation.experiment, data.classes, examples, data.num_features, num_trained)
    origin = {"initial": federation.origin} if federation.origin else {}
    return {**described, "data": dict(data.digests), **origin}
