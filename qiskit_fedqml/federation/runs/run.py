"""Federated runs: begun, gone on with, round after round, and ended."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.federation.algorithms.synchronous import run_round
from qiskit_fedqml.federation.clients.optimizers import make_optimizer
from qiskit_fedqml.federation.executors.executors import Workers
from qiskit_fedqml.federation.runs.assembly import Federation, Observer, assemble
from qiskit_fedqml.results.checkpoint import Checkpoint
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.provenance import changes_since, describe_run
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.result import RunResult
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
        observer: Told what happens.

    Returns:
        The result, with the final model.

    Raises:
        ConfigurationError: The assignment names a client that doesn't exist, there are more classes than qubits,
            there is no such device, or a tracker's extra is not installed.
        DataError: Data, weights or features are missing or do not fit.
        BackendError: A backend cannot be opened, or failed.
        BudgetError: The next job would pass a budget of QPU seconds; the run can be resumed.
        ResultError: The folder exists already, or cannot be written.
        TrainingError: The aggregate's loss is not finite.
    """
    check_tracking(experiment.tracking, has_folder=out is not None)
    if out is None:
        federation = assemble(experiment, observer, None)
        return _run_rounds(federation, _describe(federation), None, ())
    folder = RunFolder(Path(out))
    try:
        folder.check_free(overwrite=overwrite)
        federation = assemble(experiment, observer, None)
        run = _describe(federation)
        folder.create(experiment, run)
        if federation.uses_devices:
            federation.registry.dispatcher.journal.move_to(folder.journal)
        return _run_rounds(federation, run, folder, ())
    finally:
        folder.release()


def resume_federation(
    out: str | Path,
    *,
    budgets: Mapping[str | None, float] | None = None,
    observer: Observer | None = None,
) -> RunResult:
    """Go on with a run where it stopped; an interrupted round is replayed from its start, to the same bits.

    A warning is logged where versions or the number of threads are not those with which the run began. A finished run
    is not trained again; its trackers are given what they lack.

    Args:
        out: The result folder.
        budgets: Other budgets of QPU seconds, by backend; None stands for the run.
        observer: Told what happens.

    Raises:
        ResultError: It is no result folder, it is damaged, or another process works on it.
        ConfigurationError: As :func:`run_federation`.
        DataError: As :func:`run_federation`.
        BackendError: As :func:`run_federation`.
        BudgetError: As :func:`run_federation`.
        TrainingError: As :func:`run_federation`.
    """
    folder = RunFolder(Path(out))
    folder.lock()
    try:
        if budgets:
            folder.replace_experiment(folder.load_experiment().with_budgets(budgets))
        return _resume(folder, observer)
    finally:
        folder.release()


def _resume(folder: RunFolder, observer: Observer | None) -> RunResult:
    stored = RunResult.load(folder.path)
    if stored.is_complete and (folder.path / "model.safetensors").exists():
        trackers = open_trackers(stored.experiment, stored.run, folder.path, len(stored.rounds))
        Tracking(trackers, stored.rounds, folder.path).end()
        return stored
    check_tracking(stored.experiment.tracking, has_folder=True)
    if changes := changes_since(stored.run):
        logger.warning("%s goes on in another environment, so its bits may differ: %s", folder.path, "; ".join(changes))
    federation = assemble(stored.experiment, observer, folder.journal)
    checkpoint = folder.load_checkpoint()
    if checkpoint is None and len(stored.rounds) > 2:  # the first checkpoint may be two rounds late, no more
        raise ResultError(f"{folder.path} has {len(stored.rounds)} rounds, but neither a checkpoint nor a model.")
    records = stored.rounds[: checkpoint.round if checkpoint else 0]
    if checkpoint:
        if len(records) != checkpoint.round or checkpoint.state.keys() != federation.state.keys():
            raise ResultError(f"{folder.path}: the checkpoint of round {checkpoint.round} does not fit the rounds.")
        federation.state = {name: t.to(federation.state[name].device) for name, t in checkpoint.state.items()}
        _restore_optimizers(federation, checkpoint)
        _restore_centre(federation, checkpoint, folder)
    folder.keep_rounds(records)
    return _run_rounds(federation, stored.run, folder, records)


def _run_rounds(
    federation: Federation, run: dict[str, object], folder: RunFolder | None, done: tuple[RoundRecord, ...]
) -> RunResult:
    path = folder.path if folder else None
    trackers = open_trackers(federation.experiment, run, path, len(done))
    try:
        with Tracking(trackers, done, path) as tracking:
            return _run_remaining_rounds(federation, run, folder, list(done), tracking)
    finally:
        federation.registry.dispatcher.patience.stop()  # whatever ended the run, no device's thread goes on
        federation.registry.dispatcher.journal.close()


def _run_remaining_rounds(
    federation: Federation,
    run: dict[str, object],
    folder: RunFolder | None,
    records: list[RoundRecord],
    tracking: Tracking,
) -> RunResult:
    for round in range(len(records) + 1, federation.experiment.federation.rounds + 1):
        record = run_round(federation, round)
        records.append(record)
        if folder:
            folder.append(record)
        tracking.round_finished(record)  # before the checkpoint: what need not be trained again has been shown
        if folder:
            folder.save_checkpoint(_checkpoint(federation, round))
        if federation.observer:
            federation.observer.round_finished(record)
    if federation.uses_devices:
        records = _with_charges(federation, records)
        if folder:
            folder.keep_rounds(tuple(records))
    model = federation.workers.shared.model
    model.load_trainable_state(federation.state)
    final_state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    if folder:
        folder.finish(final_state)
    return RunResult(federation.experiment, run, tuple(records), folder.path if folder else None, final_state)


def _with_charges(federation: Federation, records: Sequence[RoundRecord]) -> list[RoundRecord]:
    """Fill in charges that the service had not reckoned up when their round ended."""
    for backend in federation.registry.opened():
        if isinstance(backend, DeviceBackend):
            backend.settle()
    submissions = federation.registry.dispatcher.journal.all()
    return [record.with_charges(submissions) for record in records]


def _describe(federation: Federation) -> dict[str, object]:
    data = federation.data
    examples = {
        "train": sum(len(shard) for shard in data.shards),
        "validation": len(data.validation),
        "test": len(data.test.labels),
    }
    num_trained = sum(tensor.numel() for tensor in federation.state.values())
    return describe_run(federation.experiment, data.classes, examples, data.num_features, num_trained)


def _checkpoint(federation: Federation, round: int) -> Checkpoint:
    optimizer = federation.centre.optimizer
    centre = {of: dict(tensors) for of, tensors in optimizer.state.items()} if optimizer else {}
    return Checkpoint(round, federation.state, _optimizer_states(federation.workers), centre)


def _restore_centre(federation: Federation, checkpoint: Checkpoint, folder: RunFolder) -> None:
    optimizer, saved = federation.centre.optimizer, checkpoint.centre
    if optimizer is None or not saved:  # nothing is saved before the first average
        return
    if any(saved.get(of, {}).keys() != federation.state.keys() for of in optimizer.state):
        raise ResultError(f"{folder.path}: the checkpoint lacks tensors of the centre's optimiser.")
    devices = {name: tensor.device for name, tensor in federation.state.items()}
    optimizer.load({of: {name: t.to(devices[name]) for name, t in tensors.items()} for of, tensors in saved.items()})


def _optimizer_states(workers: Workers) -> dict[int, dict[int, dict[str, torch.Tensor]]]:
    optimizers = {client: o for worker in workers.all() for client, o in worker.optimizers.items()}
    return {client: optimizer.state_dict()["state"] for client, optimizer in sorted(optimizers.items())}


def _restore_optimizers(federation: Federation, checkpoint: Checkpoint) -> None:
    for client, state in checkpoint.optimizers.items():
        backend = federation.assignment[client]
        worker = federation.workers.worker_for(backend)
        worker.use_backend(backend)
        parameters = [p for p in worker.model.parameters() if p.requires_grad]
        optimizer = make_optimizer(worker.config, parameters)
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        worker.optimizers[client] = optimizer
