"""What becomes of rounds in which clients fail, and of records while the next round trains."""

import dataclasses
import threading

import numpy as np
import pytest
import torch

from qiskit_fedqml import RunResult, resume_federation, run_federation
from qiskit_fedqml.data.examples import Examples
from qiskit_fedqml.errors import TimeLimitError, TrainingError
from qiskit_fedqml.federation.messages import Status
from qiskit_fedqml.federation.runs.assembly import Federation, assemble
from qiskit_fedqml.federation.runs.run import run_assembled
from qiskit_fedqml.federation.sampling import sample_clients
from qiskit_fedqml.federation.steps.minibatch import Minibatch
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.writer import RunWriter
from tests.stopping import Interrupt, StopAfter

SKIP = {"federation__on_client_failure": "skip"}
DRAWN = [sample_clients(5, 1, 4, 2, attempt) for attempt in (1, 2, 3)]


@dataclasses.dataclass(frozen=True)
class Broken:
    """Client data that some clients cannot open."""

    inner: object
    clients: frozenset

    def open(self, client_id):
        if client_id in self.clients:
            raise ZeroDivisionError("by zero")
        return self.inner.open(client_id)


def broken(experiment, *clients, observer=None):
    federation = assemble(experiment, observer, None)
    federation.executor.worker.data = Broken(federation.data.clients, frozenset(clients))
    return federation


def test_other_clients_are_drawn_at_each_attempt():
    assert DRAWN[0] == sample_clients(5, 1, 4, 2)
    assert len(set(map(tuple, DRAWN))) > 1


def test_what_a_client_raises_is_recorded_or_ends_the_run(tiny):
    (bad, other) = DRAWN[0]
    with pytest.raises(ZeroDivisionError):
        run_assembled(broken(tiny(), bad))
    (record, _) = run_assembled(broken(tiny(**SKIP), bad)).rounds
    assert {c.id: c.outcome for c in record.clients} == {bad: "failed: ZeroDivisionError: by zero", other: "ok"}


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_client_that_takes_too_long(tiny, policy):
    limited = {"federation__client_seconds": 1e-9, "federation__on_client_failure": policy}
    if policy == "stop":
        with pytest.raises(TimeLimitError, match=r"^Round 1, client \d, backend 'ideal': it trained for longer than"):
            run_federation(tiny(**limited))
        return
    record = run_federation(tiny(**limited)).rounds[0]
    reason = "it trained for longer than `federation.client_seconds` (1e-09 s)"
    assert {c.outcome for c in record.clients} == {f"failed: {reason}"}
    assert record.circuits, "what it had asked its machine counts"
    enough = run_federation(tiny(**{**limited, "federation__client_seconds": 1000.0})).rounds[0]
    assert {c.status for c in enough.clients} == {Status.OK}


def test_round_with_too_few_clients_stops_the_run_which_can_be_resumed(tiny, tmp_path):
    experiment = tiny(**SKIP, federation__min_clients=2)
    writer = RunWriter(RunFolder(tmp_path / "run"))
    writer.claim(overwrite=False)
    bad = sample_clients(5, 2, 4, 2)[0]
    federation = broken(experiment)
    federation.executor.worker.data = BrokenFrom(federation.data.clients, bad, len(DRAWN[0]))
    with pytest.raises(TrainingError) as caught:
        run_assembled(federation, writer)
    writer.release()
    assert str(caught.value) == (
        "Round 2: 1 of 2 clients returned, fewer than `federation.min_clients` (2). "
        f"client {bad} failed: ZeroDivisionError: by zero"
    )
    assert len(RunResult.load(tmp_path / "run").rounds) == 1
    resumed, whole = resume_federation(tmp_path / "run"), run_federation(experiment)
    assert [r.without_times() for r in resumed.rounds] == [r.without_times() for r in whole.rounds]


@dataclasses.dataclass
class BrokenFrom:
    """Client data that one client cannot open after a number of others were opened."""

    inner: object
    client: int
    left: int

    def open(self, client_id):
        self.left -= 1
        if self.left < 0 and client_id == self.client:
            raise ZeroDivisionError("by zero")
        return self.inner.open(client_id)


def test_round_with_too_few_clients_is_repeated_with_others(tiny, tmp_path, caplog):
    seed = next(s for s in range(100) if not set(drawn(s, 1)) & set(drawn(s, 2)))
    (bad, good), second = drawn(seed, 1), drawn(seed, 2)
    repeat = {**SKIP, "seed": seed, "federation__min_clients": 2, "federation__on_too_few": "repeat"}
    experiment = tiny(**repeat, federation__rounds=1)
    writer = RunWriter(RunFolder(tmp_path / "run"))
    writer.claim(overwrite=False)
    result = run_assembled(broken(experiment, bad), writer)
    writer.release()
    (record,) = RunResult.load(tmp_path / "run").rounds
    assert record == result.rounds[0]
    assert RoundRecord.from_json(record.as_json()) == record
    assert [[c.id for c in attempt] for attempt in record.attempts] == [[bad, good]]
    assert [c.outcome for c in record.attempts[0]] == ["failed: ZeroDivisionError: by zero", "ok"]
    assert [(c.id, c.status) for c in record.clients] == [(client, Status.OK) for client in second]
    assert [c.share for c in record.attempts[0]] == [0.0, 0.0]
    assert record.examples == sum(c.examples for c in (*record.clients, record.attempts[0][1]))
    assert "fewer than `federation.min_clients` (2); it is repeated (attempt 2 of 3)" in caplog.text
    rerun = run_assembled(broken(experiment, bad))
    assert rerun.rounds[0].without_times() == record.without_times()
    assert all(torch.equal(rerun.state[name], tensor) for name, tensor in result.state.items())


def test_attempts_of_which_too_few_returned_have_taken_simulated_time(tiny):
    seed = next(s for s in range(100) if not set(drawn(s, 1)) & set(drawn(s, 2)))
    repeat = {**SKIP, "seed": seed, "federation__min_clients": 2, "federation__on_too_few": "repeat"}
    scheduling = {"queue": {"trace": [[0, 60]]}}
    experiment = tiny(**repeat, federation__rounds=1, scheduling=scheduling)
    (once,) = run_assembled(assemble(experiment, None, None)).rounds
    (twice,) = run_assembled(broken(experiment, drawn(seed, 1)[0])).rounds
    assert len(twice.attempts) == 1
    assert {client.dispatched_at for client in twice.clients} == {once.clock_seconds}
    assert twice.clock_seconds >= once.clock_seconds + 60


def drawn(seed, attempt):
    return sample_clients(seed, 1, 4, 2, attempt)


def test_round_is_repeated_a_few_times_only(tiny):
    repeat = {**SKIP, "federation__min_clients": 1, "federation__on_too_few": "repeat"}
    with pytest.raises(TrainingError, match=r"0 of 2 clients returned.*\(1\), 3 times\. client \d failed: Zero"):
        run_assembled(broken(tiny(**repeat), 0, 1, 2, 3))


class Noting(StopAfter):
    """An observer that also notes what it is notified of."""

    def __init__(self, round=0, clients=0):
        super().__init__(round, clients)
        self.seen = []

    def round_started(self, round, num_rounds, num_clients):
        self.seen.append(("started", round))
        super().round_started(round, num_rounds, num_clients)

    def client_finished(self, client):
        self.seen.append(("client", client.client_id))
        super().client_finished(client)

    def round_finished(self, record):
        self.seen.append(("finished", record.round))
        super().round_finished(record)


@pytest.fixture
def elsewhere(monkeypatch):
    """Let models be tested while the next round trains, as they are where clients train in other processes."""
    monkeypatch.setattr(Federation, "trains_elsewhere", True)


def test_what_overlaps_is_recorded_and_shown_in_the_same_order(tiny, tmp_path, monkeypatch):
    observers = {}
    for place in (False, True):
        monkeypatch.setattr(Federation, "trains_elsewhere", place)
        observers[place] = Noting()
        run_federation(tiny(federation__rounds=4), tmp_path / str(place), observer=observers[place])
    assert observers[True].seen == observers[False].seen
    one, other = (RunResult.load(tmp_path / str(place)) for place in (True, False))
    assert [r.without_times() for r in one.rounds] == [r.without_times() for r in other.rounds]
    assert all(torch.equal(one.state[name], tensor) for name, tensor in other.state.items())
    assert all(r.evaluation_seconds <= r.seconds for r in one.rounds)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(("round", "clients"), [(2, 1), (3, 2), (2, -1)])
def test_run_that_is_stopped_while_rounds_overlap_is_resumed(tiny, tmp_path, round, clients):
    experiment = tiny(federation__rounds=4)
    with pytest.raises(Interrupt):
        run_federation(experiment, tmp_path / "run", observer=StopAfter(round, clients))
    assert len(RunResult.load(tmp_path / "run").rounds) >= round - 1
    resumed, whole = resume_federation(tmp_path / "run"), run_federation(experiment)
    assert [r.without_times() for r in resumed.rounds] == [r.without_times() for r in whole.rounds]
    assert all(torch.equal(resumed.state[name], tensor) for name, tensor in whole.state.items())


@pytest.mark.usefixtures("elsewhere")
def test_round_before_one_that_fails_is_kept(tiny, tmp_path):
    writer = RunWriter(RunFolder(tmp_path / "run"))
    writer.claim(overwrite=False)
    federation = assemble(tiny(), None, None)
    second = sample_clients(5, 2, 4, 2)
    federation.executor.worker.data = BrokenFrom(federation.data.clients, second[0], 2)
    with pytest.raises(ZeroDivisionError):
        run_assembled(federation, writer)
    writer.release()
    assert [r.round for r in RunResult.load(tmp_path / "run").rounds] == [1]


@pytest.mark.usefixtures("elsewhere")
def test_test_that_fails_ends_the_run_as_it_would_without_overlap(tiny):
    federation = assemble(tiny(), None, None)
    federation.evaluator.test = Examples(np.full((3, 64), np.inf, dtype=np.float32), np.zeros(3, dtype=np.int64))
    federation.executor.worker.step = Raising()
    with pytest.raises(TrainingError, match="Round 1: the aggregate cannot be tested"):
        run_assembled(federation)


class Raising(Minibatch):
    """A step that fails in the second round."""

    steps = 0

    def add_gradients(self, model, start, features, labels):
        self.steps += 1
        if self.steps > 20:
            raise ZeroDivisionError
        return super().add_gradients(model, start, features, labels)


@pytest.mark.usefixtures("elsewhere")
def test_no_thread_is_left_of_a_run_that_was_stopped(tiny, tmp_path):
    before = set(threading.enumerate())
    with pytest.raises(Interrupt) as stopped:
        run_federation(tiny(federation__rounds=3), tmp_path / "run", observer=StopAfter(2, 1))
    assert set(threading.enumerate()) == before, "also while the error is kept, as a notebook does"
    assert stopped.value
