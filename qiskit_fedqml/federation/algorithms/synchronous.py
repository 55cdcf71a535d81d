"""One round: draw clients, let each train on its own backend, average, test, record."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qiskit_fedqml.backends.job import JobKey, JobReceipt, Usage
from qiskit_fedqml.errors import BackendError, JobError, TrainingError
from qiskit_fedqml.federation.executors.executors import run_clients
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate
from qiskit_fedqml.federation.runs.assembly import Federation
from qiskit_fedqml.federation.sampling import sample_clients
from qiskit_fedqml.model.prediction import loss_and_accuracy, predict
from qiskit_fedqml.results.provenance import peak_memory_bytes
from qiskit_fedqml.results.records import ClientRecord, RoundRecord
from qiskit_fedqml.seeds import derive_seed


def run_round(federation: Federation, round: int) -> RoundRecord:
    """Run a round; the federation's state is the new global model then.

    Raises:
        BackendError: A backend failed.
        BudgetError: A device's next job would pass a budget of QPU seconds.
        TrainingError: The aggregate's loss is not finite.
    """
    started = time.perf_counter()
    config, observer = federation.experiment.federation, federation.observer
    chosen = sample_clients(federation.experiment.seed, round, config.clients, config.clients_per_round)
    if observer:
        observer.round_started(round, config.rounds, len(chosen))
    updates = run_clients(federation.workers, [_task(federation, round, client) for client in chosen])
    if observer:
        updates = map(_telling(observer.client_finished), updates)
    state, clients = federation.centre.aggregate(federation.state, updates)
    num_bytes = sum(tensor.nbytes for tensor in federation.state.values())
    if state is not None:  # otherwise nothing came back, and the global model stays
        federation.state = state
    return _record(federation, round, clients, num_bytes, started)


def _task(federation: Federation, round: int, client: int) -> ClientTask:
    backend = federation.assignment[client]
    trains = federation.registry.trains(backend)
    return ClientTask(round, client, backend, federation.data.shards[client], federation.state, trains)


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
        clients=tuple(_client_record(c, started) for c in clients),
        server_jobs=tuple(receipt.job_id for receipt in server_receipts),
        planned_seconds=sum(receipt.planned_seconds for receipt in receipts),
        qpu_seconds=_charged(receipts),
        devices={
            **{t.backend: t.calibration for t in tests if t.calibration},
            **{c.backend: c.calibration for c in clients if c.calibration},
        },
    )


def _client_record(client: ClientUpdate, round_started: float) -> ClientRecord:
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
        started_seconds=client.started - round_started,
        share=client.share,
        success_probability=client.success_probability,
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
    backend: str
    calibration: dict[str, Any] | None


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
        layer.neural_network.reseed(seed, JobKey(round, None, 0, f"test on {place}"))
    examples, rows = (data.train, data.validation) if validation else (data.test, None)
    try:
        if layer:
            layer.neural_network.refresh()
        logits = predict(worker.model, examples, rows)
    except TrainingError as error:
        raise TrainingError(f"Round {round}: the aggregate cannot be tested: {error}") from error
    except BackendError as error:
        if isinstance(error, JobError):
            raise
        raise BackendError(
            f"Round {round}: the aggregate cannot be tested on {backend or 'the centre'}: {error}"
        ) from error
    loss, accuracy = loss_and_accuracy(logits, examples.labels if rows is None else examples.labels[rows])
    if not np.isfinite(loss):
        raise TrainingError(f"Round {round}: the aggregate's loss is not finite; a lower learning rate may help.")
    if layer is None:
        return _Test(loss, accuracy, Usage(), "", None)
    network = layer.neural_network
    return _Test(loss, accuracy, network.usage - before, network.backend.name, network.calibration())


def _telling(tell: Callable[[ClientUpdate], None]) -> Callable[[ClientUpdate], ClientUpdate]:
    def told(update: ClientUpdate) -> ClientUpdate:
        tell(update)
        return update

    return told
