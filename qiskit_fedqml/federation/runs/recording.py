"""A round's record, made of what its clients returned and of the tests of its aggregate."""

import time
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from qiskit_fedqml.backends.job import JobReceipt, Usage
from qiskit_fedqml.federation.messages import ClientUpdate, Flight, State, Status
from qiskit_fedqml.federation.runs.evaluator import Evaluator, Test
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.results.node_records import NodesRecord
from qiskit_fedqml.results.provenance import peak_memory_bytes
from qiskit_fedqml.results.records import ClientRecord, RoundRecord


def record_step(
    server: ServerState,
    clients: Sequence[ClientUpdate],
    attempts: Sequence[Sequence[ClientUpdate]],
    evaluator: Evaluator,
    backends: Sequence[str],
    local_epochs: int,
    started: float,
    *,
    tests_nodes: bool = False,
) -> RoundRecord:
    """Test the model after a server step, and make the step's record.

    Args:
        server: The state after the step.
        clients: What the clients returned, with their shares.
        attempts: What they returned in earlier attempts at the step, of which nothing was aggregated.
        evaluator: Tests the model.
        backends: Further backends on which it is tested.
        local_epochs: How often clients used their examples.
        started: When the step started, on the clock of ``time.perf_counter``.
        tests_nodes: Whether the models of nodes are tested too, where there are some.

    Raises:
        BackendError: A backend failed.
        TrainingError: The model's loss is not finite.
    """
    evaluation_started = time.perf_counter()
    test = evaluator.test_model(server.model, server.step)
    others = {name: evaluator.test_model(server.model, server.step, name) for name in backends}
    tuning = evaluator.validate_model(server.model, server.step) if len(evaluator.validation) else None
    tests = [test, *others.values(), *([tuning] if tuning else [])]
    losses = [c.train_loss for c in clients if c.status is Status.OK and c.train_loss is not None]
    worked = [client for some in (*attempts, clients) for client in some]
    trained = [c for c in worked if c.status in (Status.OK, Status.REFUSED)]
    server_receipts = [receipt for t in tests for receipt in t.usage.receipts]
    circuits, executions, client_receipts = _asked(worked)
    receipts = [*server_receipts, *client_receipts]
    num_bytes, nodes = _num_bytes(server.model), _nodes_record(server, len(clients), evaluator, tests_nodes=tests_nodes)
    sent, received = (len(trained), len(worked)) if nodes is None else (nodes.messages, nodes.messages)
    ended = time.perf_counter()
    return RoundRecord(
        round=server.step,
        train_loss=float(np.mean(losses)) if losses else None,
        test_loss=test.loss,
        test_accuracy=test.accuracy,
        validation_loss=tuning.loss if tuning else None,
        validation_accuracy=tuning.accuracy if tuning else None,
        evaluations=_columns(others),
        metrics=test.metrics,
        examples=sum(c.num_examples for c in trained) * local_epochs,
        circuits=circuits,
        executions=executions,
        bytes_up=num_bytes * sent,
        bytes_down=num_bytes * received,
        seconds=_to_microseconds(ended - started),
        evaluation_seconds=_to_microseconds(ended - evaluation_started),
        peak_memory_bytes=peak_memory_bytes(),
        clients=tuple(_client_record(c, is_timed=server.clock_seconds is not None) for c in clients),
        server_jobs=tuple(receipt.job_id for receipt in server_receipts),
        planned_seconds=sum(receipt.planned_seconds or 0.0 for receipt in receipts),
        qpu_seconds=_charged(receipts),
        attempts=tuple(tuple(_client_record(c, is_timed=False) for c in attempt) for attempt in attempts),
        devices=_devices([(t.backend, t.calibration) for t in tests] + [(c.backend, c.calibration) for c in worked]),
        clock_seconds=server.clock_seconds,
        nodes=nodes,
    )


def _nodes_record(server: ServerState, present: int, evaluator: Evaluator, *, tests_nodes: bool) -> NodesRecord | None:
    """Measure the nodes of a federation without a server, each by itself and all of them together."""
    if (nodes := server.nodes) is None:
        return None
    models = nodes.models if tests_nodes else ()
    accuracies = [evaluator.node_accuracy(model, server.step, node) for node, model in enumerate(models)]
    return NodesRecord.of(present, nodes.messages, nodes.consensus_distance(), accuracies)


def _asked(worked: Sequence[ClientUpdate]) -> tuple[int, int, list[JobReceipt]]:
    """Return circuits, executions and jobs of all clients, in all attempts.

    A client that is drawn again asks its device the same again, which the journal answers: so much counts once.
    """
    circuits, executions, receipts = 0, 0, dict[tuple[int, str], JobReceipt]()
    before: dict[int, ClientUpdate] = {}
    for client in worked:
        usage, of_client = client.usage, {(client.client_id, r.job_id): r for r in client.usage.receipts}
        known = before[client.client_id].usage if of_client.keys() & receipts.keys() else Usage()
        circuits += max(0, usage.circuits - known.circuits)
        executions += max(0, usage.executions - known.executions)
        receipts |= of_client
        before[client.client_id] = client
    return circuits, executions, [*receipts.values()]


def _devices(calibrations: Iterable[tuple[str, dict[str, Any] | None]]) -> dict[str, dict[str, Any]]:
    """Return the calibration of each device; of one that is cut into blocks, with the blocks that were used."""
    found: dict[str, dict[str, Any]] = {}
    for name, calibration in calibrations:
        if calibration:
            blocks = found.get(name, {}).get("blocks", {}) | calibration.get("blocks", {})
            figures = {"blocks": blocks, "success_probability": fmean(blocks.values())} if blocks else {}
            found[name] = {key: value for key, value in calibration.items() if key != "spread"} | figures
    return found


def _num_bytes(model: State) -> int:
    return sum(tensor.nbytes for tensor in model.values())


def _columns(tests: Mapping[str, Test]) -> dict[str, dict[str, float]]:
    return {name: {"test_loss": t.loss, "test_accuracy": t.accuracy, **t.metrics} for name, t in tests.items()}


def _client_record(client: ClientUpdate, *, is_timed: bool) -> ClientRecord:
    receipts = client.usage.receipts
    return ClientRecord(
        id=client.client_id,
        backend=client.backend,
        simulator=client.simulator,
        examples=client.num_examples,
        train_loss=client.train_loss,
        seconds=_to_microseconds(client.seconds),
        status=client.status,
        reason=client.reason,
        accuracy=client.accuracy,
        started_seconds=_to_microseconds(client.waited_seconds),
        share=client.share,
        success_probability=client.success_probability,
        jobs=tuple(receipt.job_id for receipt in receipts),
        planned_seconds=sum(receipt.planned_seconds or 0.0 for receipt in receipts),
        qpu_seconds=_charged(receipts),
        blocks=_own_blocks(client.calibration),
        model_version=client.flight.model_version if client.flight else None,
        **(_times_of(client.flight) if client.flight and is_timed else {}),
    )


def _to_microseconds(seconds: float) -> float:
    """Return a time without the digits that no clock has, which records would store."""
    return round(seconds, 6)


def _times_of(flight: Flight) -> dict[str, float]:
    return {
        "dispatched_at": flight.dispatched_seconds,
        "started_at": flight.started_seconds,
        "arrived_at": flight.arrives_seconds,
    }


def _own_blocks(calibration: dict[str, Any] | None) -> tuple[str, ...]:
    if calibration is None or calibration.get("spread") != "clients":
        return ()
    return tuple(calibration["blocks"])


def _charged(receipts: Sequence[JobReceipt]) -> float | None:
    """Return the QPU seconds charged for jobs; None without a job, or where one's charge is not known yet."""
    charges = [receipt.reported_seconds for receipt in receipts if receipt.reported_seconds is not None]
    return sum(charges) if charges and len(charges) == len(receipts) else None
