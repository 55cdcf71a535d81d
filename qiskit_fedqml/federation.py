"""The federated loop: sample clients, train each on its own backend, average, test, record."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from qiskit_fedqml.aggregation import fedavg
from qiskit_fedqml.backends.base import Backend, JobKey, JobReceipt
from qiskit_fedqml.backends.dispatch import Dispatcher, JobWaiting
from qiskit_fedqml.backends.journal import Journal
from qiskit_fedqml.backends.registry import BackendRegistry
from qiskit_fedqml.errors import ConfigurationError, ResultError, TrainingError
from qiskit_fedqml.experiment import Experiment
from qiskit_fedqml.features import Progress
from qiskit_fedqml.models import FeatureScaling, build_model, circuit_for
from qiskit_fedqml.preparation import FederatedData, prepare_data
from qiskit_fedqml.provenance import changes_since, describe_run, peak_memory_bytes
from qiskit_fedqml.qnn import QuantumLayer, Usage, quantum_layer
from qiskit_fedqml.records import ClientRecord, RoundRecord
from qiskit_fedqml.results import Checkpoint, RunFolder, RunResult
from qiskit_fedqml.sampling import sample_clients
from qiskit_fedqml.seeds import derive_seed
from qiskit_fedqml.training import (
    ClientTask,
    ClientUpdate,
    State,
    Worker,
    loss_and_accuracy,
    make_optimizer,
    predict,
)
from qiskit_fedqml.workers import Workers, run_clients

logger = logging.getLogger(__name__)


class Observer(Protocol):
    """Told what happens, as it happens."""

    def features_extracted(self, what: str, done: int, total: int) -> None:
        """``done`` of ``total`` images have gone through the backbone."""

    def round_started(self, round: int, num_rounds: int, num_clients: int) -> None:
        """A round starts."""

    def client_finished(self, client: ClientUpdate) -> None:
        """A client has returned, or failed."""

    def job_waiting(self, job: JobWaiting) -> None:
        """A client waits for a device's job; told at each look, by the thread that waits."""

    def round_finished(self, record: RoundRecord) -> None:
        """A round has been recorded."""


@dataclass
class Federation:
    """All that the rounds work on.

    Args:
        experiment: The configuration.
        data: The clients' shards and the centre's test data.
        assignment: Name of each client's backend.
        workers: Where clients run.
        registry: The backends.
        uses_devices: Whether any job waits in a device's queue.
        server_layer: Evaluates the circuit for the centre, exactly; None without a quantum layer.
        state: The global model's trained tensors.
        observer: Told what happens, or None.
    """

    experiment: Experiment
    data: FederatedData
    assignment: tuple[str, ...]
    workers: Workers
    registry: BackendRegistry
    uses_devices: bool
    server_layer: QuantumLayer | None
    state: State
    observer: Observer | None


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
        ConfigurationError: The assignment names a client that doesn't exist, there are more classes than qubits, or
            there is no such device.
        DataError: Data, weights or features are missing or do not fit.
        BackendError: A backend cannot be opened, or failed.
        BudgetError: The next job would pass a budget of QPU seconds; the run can be resumed.
        ResultError: The folder exists already, or cannot be written.
        TrainingError: The aggregate's loss is not finite.
    """
    folder = RunFolder(Path(out)) if out is not None else None
    if folder:
        folder.check_free(overwrite=overwrite)
    federation = _set_up(experiment, observer, None)
    num_trained = sum(tensor.numel() for tensor in federation.state.values())
    run = describe_run(experiment, federation.data.classes, federation.data.num_features, num_trained)
    if folder:
        folder.create(experiment, run)
        if federation.uses_devices:
            federation.registry.dispatcher.journal.move_to(folder.journal)
            federation.registry.dispatcher.journal.hold()
    return _run_rounds(federation, run, folder, ())


def resume_federation(out: str | Path, *, observer: Observer | None = None) -> RunResult:
    """Go on with a run where it stopped; an interrupted round is replayed from its start, to the same bits.

    A warning is logged where versions or the number of threads are not those with which the run began.

    Args:
        out: The result folder.
        observer: Told what happens.

    Raises:
        ResultError: It is no result folder, or it is damaged.
        ConfigurationError: As :func:`run_federation`.
        DataError: As :func:`run_federation`.
        BackendError: As :func:`run_federation`.
        BudgetError: As :func:`run_federation`.
        TrainingError: As :func:`run_federation`.
    """
    folder = RunFolder(Path(out))
    stored = folder.load()
    if stored.is_complete and (folder.path / "model.safetensors").exists():
        return stored
    if changes := changes_since(stored.run):
        logger.warning("%s goes on in another environment, so its bits may differ: %s", out, "; ".join(changes))
    federation = _set_up(stored.experiment, observer, folder.journal)
    federation.registry.dispatcher.journal.hold()
    checkpoint = folder.load_checkpoint()
    if checkpoint is None and len(stored.rounds) > 2:  # the first checkpoint may be two rounds late, no more
        raise ResultError(f"{folder.path} has {len(stored.rounds)} rounds, but neither a checkpoint nor a model.")
    records = stored.rounds[: checkpoint.round if checkpoint else 0]
    if checkpoint:
        if len(records) != checkpoint.round or checkpoint.state.keys() != federation.state.keys():
            raise ResultError(f"{folder.path}: the checkpoint of round {checkpoint.round} does not fit the rounds.")
        federation.state = {name: t.to(federation.state[name].device) for name, t in checkpoint.state.items()}
        _restore_optimizers(federation, checkpoint)
    folder.keep_rounds(records)
    return _run_rounds(federation, stored.run, folder, records)


def _run_rounds(
    federation: Federation, run: dict[str, object], folder: RunFolder | None, done: tuple[RoundRecord, ...]
) -> RunResult:
    try:
        return _run_remaining_rounds(federation, run, folder, list(done))
    finally:
        federation.registry.dispatcher.journal.close()


def _run_remaining_rounds(
    federation: Federation, run: dict[str, object], folder: RunFolder | None, records: list[RoundRecord]
) -> RunResult:
    for round in range(len(records) + 1, federation.experiment.federation.rounds + 1):
        record = _run_round(federation, round)
        records.append(record)
        if folder:
            folder.append(record)
            folder.save_checkpoint(Checkpoint(round, federation.state, _optimizer_states(federation.workers)))
        if federation.observer:
            federation.observer.round_finished(record)
    model = federation.workers.shared.model
    model.load_trainable_state(federation.state)
    final_state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    if folder:
        folder.finish(final_state)
    return RunResult(federation.experiment, run, tuple(records), folder.path if folder else None, final_state)


def _run_round(federation: Federation, round: int) -> RoundRecord:
    started = time.perf_counter()
    config, observer = federation.experiment.federation, federation.observer
    chosen = sample_clients(federation.experiment.seed, round, config.clients, config.clients_per_round)
    if observer:
        observer.round_started(round, config.rounds, len(chosen))
    updates = run_clients(federation.workers, [_task(federation, round, client) for client in chosen])
    if observer:
        updates = map(_telling(observer.client_finished), updates)
    average, clients = fedavg(updates)
    num_bytes = sum(tensor.nbytes for tensor in federation.state.values())
    if average is not None:  # otherwise nothing came back, and the global model stays
        federation.state = average
    return _record(federation, round, clients, num_bytes, started)


def _task(federation: Federation, round: int, client: int) -> ClientTask:
    backend = federation.assignment[client]
    trains = federation.registry.trains(backend)
    return ClientTask(round, client, backend, federation.data.shards[client], federation.state, trains)


def _set_up(experiment: Experiment, observer: Observer | None, journal: Path | None) -> Federation:
    """Prepare all that the rounds work on; devices are opened, so that a mistake there shows before anything runs."""
    config = experiment.model
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("`model.device` is 'cuda', but torch finds no CUDA device here; use 'cpu'.")
    on_waiting = observer.job_waiting if observer else None
    registry = BackendRegistry(experiment.backends, Path())
    assignment = registry.assign(experiment.federation.clients)
    used = {*assignment, *experiment.evaluation.backends, experiment.backends.assignment.server}
    devices = sorted(name for name in used if registry.is_queued(name))
    registry.dispatcher = Dispatcher(
        Journal(journal if devices else None), experiment.backends.budget_seconds, on_waiting
    )
    for name in devices:
        registry[name]
    progress: Progress | None = observer.features_extracted if observer else None
    data = prepare_data(experiment, progress)
    spec = circuit_for(config, len(data.classes))

    def layer_on(backend: Backend) -> QuantumLayer:
        layer = quantum_layer(spec, backend, initial_weights=np.zeros(spec.num_weights))  # replaced by the model's
        return layer.to(config.device).requires_grad_(config.quantum == "trainable")

    has_circuit = config.quantum != "classical"
    layer_for = cache(lambda name: layer_on(registry[name])) if has_circuit else None
    server_layer = layer_on(registry.server) if has_circuit else None

    def worker_with(layer: QuantumLayer | None) -> Worker:
        scaling = FeatureScaling(data.mean, data.deviation)
        model = build_model(experiment.seed, config, scaling, data.num_features, spec, layer)
        return Worker(model, layer_for, data.train, experiment.federation, experiment.seed)

    shared = worker_with(server_layer)
    workers = Workers(
        shared=shared,
        make=lambda name: worker_with(layer_for(name) if layer_for else None),
        queued=registry.is_queued,
        stop=registry.dispatcher.stop,
    )
    state = {name: tensor.clone() for name, tensor in shared.model.trainable_state().items()}
    return Federation(experiment, data, assignment, workers, registry, bool(devices), server_layer, state, observer)


def _record(
    federation: Federation, round: int, clients: Sequence[ClientUpdate], num_bytes: int, started: float
) -> RoundRecord:
    evaluation_started = time.perf_counter()
    federation.workers.shared.model.load_trainable_state(federation.state)
    test = _test(federation, round)
    others = {name: _test(federation, round, name) for name in federation.experiment.evaluation.backends}
    tuning = _test(federation, round, validation=True) if len(federation.data.validation) else None
    tests = [test, *others.values(), *([tuning] if tuning else [])]
    losses = [c.train_loss for c in clients if c.status == "ok" and c.train_loss is not None]
    trained = [c for c in clients if c.status != "tested" and not c.status.startswith("failed")]
    server_receipts = [receipt for t in tests for receipt in t.usage.receipts]
    receipts = [*server_receipts, *(receipt for c in clients for receipt in c.usage.receipts)]
    ended = time.perf_counter()
    return RoundRecord(
        round=round,
        train_loss=float(np.mean(losses)) if losses else None,
        test_loss=test.loss,
        test_accuracy=test.accuracy,
        validation_loss=tuning.loss if tuning else None,
        validation_accuracy=tuning.accuracy if tuning else None,
        evaluations={name: {"test_loss": t.loss, "test_accuracy": t.accuracy} for name, t in others.items()},
        examples=sum(c.num_examples for c in trained) * federation.experiment.federation.local_epochs,
        circuits=sum(c.usage.circuits for c in clients),
        executions=sum(c.usage.executions for c in clients),
        bytes_up=num_bytes * len(trained),
        bytes_down=num_bytes * len(clients),
        seconds=ended - started,
        evaluation_seconds=ended - evaluation_started,
        peak_memory_bytes=peak_memory_bytes(),
        clients=tuple(_client_record(c) for c in clients),
        server_jobs=tuple(receipt.job_id for receipt in server_receipts),
        planned_seconds=sum(receipt.planned_seconds for receipt in receipts),
        qpu_seconds=_charged(receipts),
        devices={c.backend: c.calibration for c in clients if c.calibration},
    )


def _client_record(client: ClientUpdate) -> ClientRecord:
    receipts = client.usage.receipts
    return ClientRecord(
        id=client.client_id,
        backend=client.backend,
        simulator=client.simulator,
        examples=client.num_examples,
        train_loss=client.train_loss,
        seconds=client.seconds,
        status=client.status,
        accuracy=client.accuracy,
        jobs=tuple(receipt.job_id for receipt in receipts),
        planned_seconds=sum(receipt.planned_seconds for receipt in receipts),
        qpu_seconds=_charged(receipts),
    )


def _charged(receipts: Sequence[JobReceipt]) -> float | None:
    """Return the QPU seconds charged for jobs; None without a job, or where one's charge is not known yet."""
    charges = [receipt.reported_seconds for receipt in receipts if receipt.reported_seconds is not None]
    return sum(charges) if charges and len(charges) == len(receipts) else None


@dataclass(frozen=True)
class _Test:
    loss: float
    accuracy: float
    usage: Usage


def _test(federation: Federation, round: int, backend: str | None = None, *, validation: bool = False) -> _Test:
    """Test the aggregate exactly at the centre, or on a backend with its shots, which are new in each round."""
    worker, data, layer = federation.workers.shared, federation.data, federation.server_layer
    if backend is not None:
        layer = worker.use_backend(backend)
    elif layer:
        worker.model.use_quantum_layer(layer)
    before = layer.neural_network.usage.copy() if layer else Usage()
    if layer:
        place = backend or ("the centre, validation" if validation else "the centre")
        seed = derive_seed(federation.experiment.seed, f"shots of the test on {place}", round)
        layer.neural_network.refresh()
        layer.neural_network.reseed(seed, JobKey(round, None, 0, f"test on {place}"))
    examples, rows = (data.train, data.validation) if validation else (data.test, None)
    try:
        logits = predict(worker.model, examples, rows)
    except TrainingError as error:
        raise TrainingError(f"Round {round}: the aggregate cannot be tested: {error}") from error
    loss, accuracy = loss_and_accuracy(logits, examples.labels if rows is None else examples.labels[rows])
    if not np.isfinite(loss):
        raise TrainingError(f"Round {round}: the aggregate's loss is not finite; a lower learning rate may help.")
    return _Test(loss, accuracy, (layer.neural_network.usage - before) if layer else Usage())


def _telling(tell: Callable[[ClientUpdate], None]) -> Callable[[ClientUpdate], ClientUpdate]:
    def told(update: ClientUpdate) -> ClientUpdate:
        tell(update)
        return update

    return told


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
