"""Runs that were stopped, resumed; and runs that get another number of rounds."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qiskit_fedqml.backends.array.given import given_again
from qiskit_fedqml.backends.array.own import Given
from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.array.used import own_machines, used_backends
from qiskit_fedqml.backends.base import Backend
from qiskit_fedqml.config.backends import AerEntry
from qiskit_fedqml.config.buffered import Buffered
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.gossip import Gossip
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.federation.executors.processes import num_workers
from qiskit_fedqml.federation.interruption import interruptible
from qiskit_fedqml.federation.runs.assembly import Federation, assemble
from qiskit_fedqml.federation.runs.best_model import BestModel, named
from qiskit_fedqml.federation.runs.loop import RunLoop
from qiskit_fedqml.federation.runs.private import record_spending, with_interrupted
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.ledger.opening import check_ledger, open_ledger
from qiskit_fedqml.progress.compiling import compiling_shown
from qiskit_fedqml.progress.observer import Observer, preparing_of
from qiskit_fedqml.results.checkpoint import Checkpoint
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.last_checkpoint import load_last_checkpoint
from qiskit_fedqml.results.provenance import (
    changes_since,
    check_circuit,
    check_data,
    check_head,
    check_machines,
    check_weights,
)
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.results.tensors import load_tensors
from qiskit_fedqml.results.writer import RunWriter
from qiskit_fedqml.tracking.tracking import Tracking, check_tracking, open_trackers

if TYPE_CHECKING:
    pass

logger = logging.getLogger(__name__)

Assemble = Callable[[Experiment, Observer | None, Path | None], Federation]
"""Puts a run together, as :func:`~qiskit_fedqml.federation.runs.assembly.assemble` does."""


def resume_federation(
    out: str | Path,
    *,
    budgets: Mapping[str | None, float] | None = None,
    workers: int | str | None = None,
    backends: Given | None = None,
    observer: Observer | None = None,
    allow_partial: bool = False,
    assembled: Assemble | None = None,
) -> RunResult:
    """Resume a run where it stopped; an interrupted round is replayed from its start, to the same bits.

    A warning is logged where versions or the number of threads are not those with which the run began. A finished run
    is not trained again; its trackers are given what they lack.

    Args:
        out: The result folder.
        budgets: Other budgets of QPU seconds, by backend; None is the whole run. The change is recorded.
        workers: Another number of processes in which the clients of simulators train, or ``"auto"``; recorded too.
        backends: The objects that were given to :func:`run_federation` as backends, again; functions need not be.
        observer: Notified of what happens.
        allow_partial: As :func:`run_federation`, of the rounds that are missing.
        assembled: Puts a run together whose clients are elsewhere; None for one whose clients are here.

    Raises:
        ResultError: It is no result folder, a file of it is damaged, edited or of another run, the data are no longer
            those of the run, its clients are elsewhere, or another process works on it.
        ConfigurationError: As :func:`run_federation`.
        DataError: As :func:`run_federation`.
        BackendError: As :func:`run_federation`.
        BudgetError: As :func:`run_federation`.
        TrainingError: As :func:`run_federation`.
    """
    with _at_work_on(Path(out)) as writer, compiling_shown(observer):
        experiment, options = writer.folder.load_experiment(), []
        if budgets:
            experiment, options = experiment.with_budgets(budgets), ["--budget"]
        if workers is not None:
            experiment, options = experiment.with_workers(workers), [*options, "--workers"]
        change = (experiment, " ".join(("resume", *options))) if options else None
        objects = given_again(experiment, backends)
        return _resume(writer, observer, change, assembled, objects, allow_partial=allow_partial)


def extend_federation(
    out: str | Path,
    rounds: int,
    *,
    workers: int | str | None = None,
    backends: Given | None = None,
    observer: Observer | None = None,
    allow_partial: bool = False,
    assembled: Assemble | None = None,
) -> RunResult:
    """Give a run, finished or not, another number of rounds, and resume it; the change is recorded.

    The result is that of a run which had so many rounds from the start, to the bit. A run that `federation.stop` has
    ended gets all of them: `stop` is taken away, and the result is that of a run without it.

    Args:
        out: The result folder.
        rounds: The number of rounds in all; at least those that are done.
        workers: As :func:`resume_federation`.
        backends: As :func:`resume_federation`.
        observer: Notified of what happens.
        allow_partial: As :func:`run_federation`, of the rounds that are missing.
        assembled: Puts a run together whose clients are elsewhere; None for one whose clients are here.

    Raises:
        ConfigurationError: ``rounds`` is no number from 1.
        ResultError: More rounds are done already, or as :func:`resume_federation`.
        FedQMLError: As :func:`resume_federation`.
    """
    with _at_work_on(Path(out)) as writer, compiling_shown(observer):
        stored = RunResult.of(writer.folder)
        if rounds < len(stored.rounds):
            raise ResultError(f"{out}: {len(stored.rounds)} rounds are done, so it cannot have {rounds}.")
        if stored.is_spent and rounds > len(stored.rounds):
            raise ResultError(f"{out} cannot have more rounds. {stored.ended_early}")
        ended_early = bool(stored.ended_early) and rounds > len(stored.rounds)
        experiment, command = stored.experiment.with_rounds(rounds, ended_early=ended_early), "extend --rounds"
        if workers is not None:
            experiment, command = experiment.with_workers(workers), f"{command} --workers"
        objects = given_again(experiment, backends)
        return _resume(writer, observer, (experiment, command), assembled, objects, allow_partial=allow_partial)


@contextmanager
def _at_work_on(path: Path) -> Iterator[RunWriter]:
    """Keep other processes from a result folder, until nothing is being written there any more."""
    writer = RunWriter(RunFolder(path))
    if not writer.folder.is_run:  # it is read at once, so that no lock is put into somebody else's folder
        writer.folder.read()
    try:
        with interruptible():
            writer.lock()
            yield writer
    finally:
        writer.release()


def _resume(
    writer: RunWriter,
    observer: Observer | None,
    change: tuple[Experiment, str] | None,
    assembled: Assemble | None,
    objects: Mapping[str, Backend],
    *,
    allow_partial: bool,
) -> RunResult:
    """Resume a run, perhaps with another configuration, which is written down with what changed it."""
    folder = writer.folder
    stored = RunResult.of(folder)
    experiment, command = change or (stored.experiment, "")
    if folder.is_finished and not (folder.path / "model.safetensors").exists():
        raise ResultError(f"{folder.path} is the folder of a finished run, but its model.safetensors is gone.")
    if folder.is_finished and replace(stored, experiment=experiment).is_complete:
        return _shown(writer, experiment, command)
    if stored.run.get("remote_clients") and assembled is None:
        raise ResultError(f"{folder.path} is a run whose clients are nodes of Flower; `flwr run` resumes it.")
    folder.proven_manifest()
    check_weights(stored.run, experiment, folder.path)
    if stored.rounds and assembled is None:
        _check_journal(folder, experiment)
    check_tracking(experiment.tracking, has_folder=True)
    check_ledger(experiment, has_folder=True)
    if changes := changes_since(stored.run, num_workers(experiment)):
        logger.warning(
            "%s is resumed in another environment, so its bits may differ: %s", folder.path, "; ".join(changes)
        )
    if stored.experiment.model.initial and not folder.is_finished and not folder.has_checkpoint:
        raise ResultError(f"{folder.path}: its checkpoints are gone, and with them the model to resume from.")
    put_together = assembled or partial(assemble, objects=objects)
    federation = put_together(experiment.without_initial(), observer, folder.journal)
    federation.experiment = experiment
    _check_parts(stored, federation, folder, is_remote=assembled is not None)
    checkpoint, records = load_last_checkpoint(folder)
    if checkpoint is None and folder.is_finished and _keeps_state(stored):
        raise ResultError(
            f"{folder.path}: its checkpoints are gone, and with them what its optimisers, tasks on their way or "
            "nodes need to continue; a new run may begin from its model (`model.initial`)."
        )
    server = _state_in(folder, federation, checkpoint, len(records))
    server = with_interrupted(federation, server, stored)
    best = BestModel.of(checkpoint, server) if experiment.federation.keep_best else None
    guard = None
    if federation.devices:
        from qiskit_fedqml.planning.guard import budget_guard

        preparing_of(federation.observer)("planning the jobs of all rounds", 0, 0)
        guard = budget_guard(federation, server, allow_partial=allow_partial)
    done: Sequence[RoundRecord] = records
    writer.take_up(len(records))
    if folder.is_finished:
        writer.save_checkpoint(*named(server, best), keep=experiment.checkpoints.keep)
        writer.wait()
        writer.reopen()
    writer.drop_later(server.step)
    if server.spent:
        done = record_spending(federation, server, records, writer)
        writer.save_checkpoint(*named(server, best), keep=experiment.checkpoints.keep)
        writer.wait()
    if command:
        writer.replace_experiment(experiment, command)
    ledger = open_ledger(experiment, writer, server, federation.evaluator.model, resumes=True)
    return RunLoop(federation, stored.run, writer, guard, ledger, allow_partial=allow_partial).run(server, done, best)


def _check_parts(stored: RunResult, federation: Federation, folder: RunFolder, *, is_remote: bool) -> None:
    """Check that a run works on what it worked on before.

    Raises:
        ResultError: It does not.
    """
    check_data(stored.run, federation.data.classes, federation.data.digests, folder.path)
    check_circuit(stored.run, federation.evaluator.blueprint.spec, folder.path)
    check_head(stored.run, federation.evaluator.model.head, folder.path)
    if not is_remote:
        check_machines(stored.run, own_machines(federation.experiment, federation.registry), folder.path)


def _check_journal(folder: RunFolder, experiment: Experiment) -> None:
    """Check that a run that has rounds has its journal too, if devices are used.

    Raises:
        ResultError: It is gone, so that nobody knows which jobs may exist, and what was spent.
    """
    if folder.journal.exists() or all(isinstance(entry, AerEntry) for entry in experiment.backends.backends.values()):
        return
    if used_backends(experiment, BackendRegistry(experiment.backends, Path()))[1]:
        raise ResultError(
            f"{folder.path}: its {folder.journal.name} is gone, and with it which jobs were sent and what was spent."
        )


def _shown(writer: RunWriter, experiment: Experiment, command: str) -> RunResult:
    """Return a run that has all its rounds, after its trackers were given what they lack."""
    if command:
        writer.replace_experiment(experiment, command)
    stored = RunResult.of(writer.folder)
    trackers = open_trackers(stored.experiment, stored.run, writer.path, len(stored.rounds))
    Tracking(trackers, stored.rounds, writer.path).end()
    return stored


def _keeps_state(stored: RunResult) -> bool:
    """Return whether the next round needs more than the model of a run; its checkpoints are kept then."""
    federation, optimizer = stored.experiment.federation, stored.experiment.aggregation.server_optimizer
    has_state = optimizer is not None or federation.client_optimizer_state == "keep"
    has_more = isinstance(federation.algorithm, Buffered | Gossip)
    is_not_the_last = federation.keep_best is not None and stored.final.round != len(stored.rounds)
    is_private = stored.experiment.privacy is not None
    return (
        has_more
        or is_private
        or is_not_the_last
        or (has_state and any(record.train_loss is not None for record in stored.rounds))
    )


def _state_in(folder: RunFolder, federation: Federation, checkpoint: Checkpoint | None, num_rounds: int) -> ServerState:
    """Return the server's state after the rounds that are done."""
    if checkpoint is not None:
        server = _state_of(checkpoint, federation, folder.path)
    elif folder.is_finished:  # the model is all the state that there was
        trained = federation.initial.model
        model = {name: tensor for name, tensor in load_tensors(folder.model_file()).items() if name in trained}
        server = ServerState(num_rounds, model).on_devices_of(trained)
    else:
        server = federation.initial
    if server.step != num_rounds:
        raise ResultError(f"{folder.path}: the checkpoint of round {server.step} does not fit {num_rounds} rounds.")
    return server


def _state_of(checkpoint: Checkpoint, federation: Federation, path: Path) -> ServerState:
    expected = federation.initial.model
    try:
        server = ServerState.from_named(checkpoint.header.values, checkpoint.states)
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"{path}: the checkpoint lacks {error}.") from error
    models = [server.model, *(server.nodes.models if server.nodes else ())]
    shapes = {name: tensor.shape for name, tensor in expected.items()}
    if any({name: tensor.shape for name, tensor in model.items()} != shapes for model in models):
        raise ResultError(f"{path}: the checkpoint holds the tensors of another model.")
    found, nodes = (0 if of.nodes is None else len(of.nodes.models) for of in (server, federation.initial))
    if found != nodes:
        raise ResultError(f"{path}: the checkpoint holds {found} nodes, not {nodes}.")
    return server.on_devices_of(expected)
