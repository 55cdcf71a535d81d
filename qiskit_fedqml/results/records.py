"""What is recorded of each round and of each client in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from sys import intern
from typing import Any

from qiskit_fedqml.backends.devices.submission import Submission
from qiskit_fedqml.federation.messages import Status
from qiskit_fedqml.results.node_records import NodesRecord

_OF_A_CLOCK = ("model_version", "dispatched_at", "started_at", "arrived_at")
"""What is written of a client only where time is simulated."""


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """A client in a round.

    Args:
        id: The client, from 0.
        backend: Name of its backend.
        simulator: What computed its circuits.
        examples: Examples that it holds.
        train_loss: Its training loss (of a client that only tests, the global model's loss there); None if it failed.
        seconds: Time that it took.
        started_seconds: When it started, after the round's start; negative where that was in an earlier step; None in
            records of version 0.1.
        status: What came of its task.
        share: Its part of the round's average, from 0 to 1.
        success_probability: Estimated chance that no gate and no readout of the circuit errs on its backend; None
            without a circuit.
        accuracy: The global model's on its data, if it only tests.
        reason: Why its update was not aggregated, in words; empty otherwise.
        jobs: Ids of the jobs that its device ran.
        planned_seconds: QPU seconds that these were estimated to take, where the device states durations.
        qpu_seconds: QPU seconds that the service charged; None where it had not said so when the round ended.
        blocks: The qubits of the blocks that are its own, such as ``"14-16-19-20"``; empty where it has none.
        model_version: Server steps after which its model was the global one; None in synchronous rounds without a
            simulated clock, where that follows from the round. What is None here and below is not written.
        dispatched_at: When it got its task, in seconds of simulated time since the run began; None without that.
        started_at: When its machine started to work for it.
        arrived_at: When its update arrived.
    """

    id: int
    backend: str
    simulator: str
    examples: int
    train_loss: float | None
    seconds: float
    status: Status
    accuracy: float | None = None
    started_seconds: float | None = None
    share: float = 0.0
    success_probability: float | None = None
    reason: str = ""
    jobs: tuple[str, ...] = ()
    planned_seconds: float = 0.0
    qpu_seconds: float | None = None
    blocks: tuple[str, ...] = ()
    model_version: int | None = None
    dispatched_at: float | None = None
    started_at: float | None = None
    arrived_at: float | None = None

    @property
    def outcome(self) -> str:
        """Status and reason in words, such as ``"failed: the device is offline"``."""
        return f"{self.status}: {self.reason}" if self.reason else str(self.status)

    def as_json(self) -> dict[str, Any]:
        """Return the record as plain values; status and reason are one text there."""
        values = {name: getattr(self, name) for name in _PLAIN}
        values |= {name: value for name in _OF_A_CLOCK if (value := getattr(self, name)) is not None}
        own = {"blocks": list(self.blocks)} if self.blocks else {}
        return {**values, "status": self.outcome, "jobs": list(self.jobs), **own}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ClientRecord":
        """Read a record from a line's values.

        Raises:
            KeyError: A value is missing.
            TypeError: There is an unknown one, or a name is no text.
            ValueError: The status is unknown.
        """
        status, _, reason = str(values["status"]).partition(": ")
        names = {name: intern(values[name]) for name in ("backend", "simulator")}  # one text in memory for all clients
        plain = {**values, **names, "status": Status(status), "reason": reason}
        return cls(**{**plain, **{name: tuple(values.get(name, ())) for name in ("jobs", "blocks")}})


_PLAIN = tuple(field.name for field in fields(ClientRecord) if field.name not in ("reason", "blocks", *_OF_A_CLOCK))
"""What is stored of a client as it is."""


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """A server step; in synchronous federations, a round.

    Args:
        round: The server step, from 1.
        train_loss: Mean over the clients that were aggregated, each with equal weight; None if there was none.
        test_loss: Of the aggregate on the server's backend.
        test_accuracy: Of the aggregate on the server's backend, from 0 to 1.
        validation_loss: The same on the tuning set; None without one.
        validation_accuracy: The same on the tuning set; None without one.
        evaluations: ``test_loss``, ``test_accuracy`` and the metrics on further backends, by name.
        examples: Examples processed in training, each as often as it was used.
        circuits: Bound circuits that the clients' training ran.
        executions: Their shots; a circuit evaluated exactly counts once.
        bytes_up: Bytes of trained tensors that clients sent: to the server, or along the edges of a graph.
        bytes_down: Bytes of trained tensors that clients received: from the server, or along the edges of a graph, in
            which each byte that one sends is one that another receives.
        seconds: Time of the round.
        evaluation_seconds: Time of it that tests of the aggregate took.
        peak_memory_bytes: Most memory that the process has held so far; None where the system doesn't say.
        clients: The clients.
        server_jobs: Ids of the jobs by which the server tested the aggregate on devices.
        planned_seconds: QPU seconds that all jobs of the round were estimated to take, where their devices state
            durations.
        qpu_seconds: QPU seconds that the service charged for them; None where it had not said so of each.
        devices: Calibrations by backend: device, date, and the figures of the qubits and couplings used.
        attempts: The clients of earlier attempts at the round, of which too few returned; their work is counted above.
        clock_seconds: Simulated time of the server step, since the run began; None where time is not simulated, and not
            written then.
        epsilon: What has been spent of ``privacy``: the ε of whoever is protected least; None without that, and not
            written then.
        next_epsilon: What one more server step would make of it, where ``privacy.epsilon`` limits it; else as above.
        max_norm: The norm to which updates were shortened, where ``privacy.clients.adaptive`` finds it; else as above.
        metrics: What ``evaluation.metrics`` names, of the aggregate on the server's backend; one that is undefined,
            such as the AUC where the test data lack a class, is missing. Where there is none, nothing is written.
        nodes: What is known of the nodes of a federation without a server, in which the aggregate is the mean of their
            models; None where there is a server, and not written then.
    """

    round: int
    train_loss: float | None
    test_loss: float
    test_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    evaluations: dict[str, dict[str, float]]
    examples: int
    circuits: int
    executions: int
    bytes_up: int
    bytes_down: int
    seconds: float
    evaluation_seconds: float
    peak_memory_bytes: int | None
    clients: tuple[ClientRecord, ...]
    server_jobs: tuple[str, ...] = ()
    planned_seconds: float = 0.0
    qpu_seconds: float | None = None
    devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    attempts: tuple[tuple[ClientRecord, ...], ...] = ()
    clock_seconds: float | None = None
    epsilon: float | None = None
    next_epsilon: float | None = None
    max_norm: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    nodes: NodesRecord | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the record as plain values, as a line of ``rounds.jsonl`` has them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("clock_seconds", "epsilon", "next_epsilon", "max_norm"):
            if values[name] is None:
                del values[name]
        if not self.metrics:
            del values["metrics"]
        nodes = values.pop("nodes")
        if nodes is not None:
            values["nodes"] = nodes.as_json()
        clients = [client.as_json() for client in self.clients]
        attempts = [[client.as_json() for client in attempt] for attempt in values.pop("attempts")]
        own = {"attempts": attempts} if attempts else {}
        return {**values, "clients": clients, "server_jobs": list(self.server_jobs), **own}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "RoundRecord":
        """Read a record from a line's values.

        Raises:
            KeyError: A value is missing.
            TypeError: There is an unknown one.
            ValueError: A status is unknown.
        """
        clients = tuple(map(ClientRecord.from_json, values["clients"]))
        attempts = tuple(tuple(map(ClientRecord.from_json, attempt)) for attempt in values.get("attempts", ()))
        jobs = tuple(values.get("server_jobs", ()))
        nodes = NodesRecord.from_json(values["nodes"]) if "nodes" in values else None
        return cls(**{**values, "clients": clients, "attempts": attempts, "server_jobs": jobs, "nodes": nodes})

    def staleness_of(self, client: ClientRecord) -> int | None:
        """Return how many server steps were taken between the model that a client got and this step.

        Args:
            client: A client of this step.

        Returns:
            The number; None in synchronous rounds without a simulated clock, where it is always 0.
        """
        return None if client.model_version is None else self.round - 1 - client.model_version

    def with_charges(self, submissions: Sequence[Submission]) -> "RoundRecord":
        """Return the record with all QPU seconds of its round: of failed, split and duplicate jobs too.

        Args:
            submissions: The run's journal.
        """
        sent = [s for s in submissions if s.job_id is not None]
        steps = {c.id: self.round if c.model_version is None else c.model_version + 1 for c in self.clients}
        own = {c: [s for s in sent if s.key.server_step == step and _asks(c, s)] for c, step in steps.items()}
        clients = tuple(_with_own(client, own[client.id]) for client in self.clients)
        if all(client.model_version is None for client in self.clients):
            of_round = [s for s in sent if s.key.server_step == self.round]
            attempts = tuple(  # clients of later attempts may have more
                tuple(_with_own(c, [s for s in of_round if _asks(c.id, s) and s.job_id in c.jobs]) for c in attempt)
                for attempt in self.attempts
            )
            return replace(self, clients=clients, attempts=attempts, **_seconds(of_round))
        tests = [s for s in sent if s.key.server_step == self.round and s.key.client is None]
        return replace(self, clients=clients, **_seconds([*tests, *(s for of in own.values() for s in of)]))

    def without_times(self) -> "RoundRecord":
        """Return the record without times, memory, job ids and charges: what a rerun must repeat to the bit."""
        clients, *attempts = (
            tuple(replace(client, seconds=0.0, started_seconds=None, jobs=(), qpu_seconds=None) for client in some)
            for some in (self.clients, *self.attempts)
        )
        times: dict[str, Any] = {"seconds": 0.0, "evaluation_seconds": 0.0, "peak_memory_bytes": None}
        attempted = tuple(attempts)
        return replace(self, **times, clients=clients, attempts=attempted, server_jobs=(), qpu_seconds=None)


def _with_own(client: ClientRecord, submissions: Sequence[Submission]) -> ClientRecord:
    """Return a client's record with the QPU seconds of its jobs; of joint ones with its share, which it has already."""
    found = _seconds(submissions)
    if any(s.key.clients for s in submissions):
        charged = None if found["qpu_seconds"] is None else found["qpu_seconds"] / (found["planned_seconds"] or 1.0)
        found = {"qpu_seconds": None if charged is None else charged * client.planned_seconds}
    return replace(client, **found)


def _asks(client: int, submission: Submission) -> bool:
    return client == submission.key.client or client in submission.key.clients


def _seconds(submissions: Sequence[Submission]) -> dict[str, Any]:
    """Return planned and charged QPU seconds; the latter are None without a job, or while one's are not known."""
    is_known = bool(submissions) and all(s.reported_seconds is not None for s in submissions)
    return {
        "planned_seconds": sum(s.planned_seconds or 0.0 for s in submissions),
        "qpu_seconds": sum(s.charged_seconds for s in submissions) if is_known else None,
    }
