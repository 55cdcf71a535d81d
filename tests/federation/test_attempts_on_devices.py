"""Rounds on devices that are repeated: no job is sent twice, none is lost, and all that was sent is counted."""

import dataclasses
import os
import signal
from collections import Counter

import numpy as np
import pytest

from qiskit_fedqml import RunResult, resume_federation, run_federation
from qiskit_fedqml.data.examples import Shard
from qiskit_fedqml.errors import BudgetError, ResultError, TrainingError
from qiskit_fedqml.federation.past_attempts import PastAttempts
from qiskit_fedqml.federation.runs.assembly import assemble
from qiskit_fedqml.federation.runs.run import run_assembled
from qiskit_fedqml.federation.sampling import sample_clients
from qiskit_fedqml.planning.planner import plan_experiment
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.writer import RunWriter
from tests.federation.conftest import same_model, start
from tests.federation.test_federation import same
from tests.stopping import Interrupt

STEPS = 2
"""Of each client in a round: so many jobs."""
REPEAT = {"on_client_failure": "skip", "min_clients": 2, "on_too_few": "repeat"}


def drawn(seed, attempt, clients=4):
    return sample_clients(seed, 1, clients, 2, attempt)


def seed_where(fits, clients=4):
    return next(seed for seed in range(500) if fits(*(set(drawn(seed, attempt, clients)) for attempt in (1, 2, 3))))


SEED = seed_where(lambda one, two, three: len(one & two) == 1 and not three & (one ^ two))
(BAD,), (AGAIN,) = {*drawn(SEED, 1)} - {*drawn(SEED, 2)}, {*drawn(SEED, 1)} & {*drawn(SEED, 2)}
(NEW,) = {*drawn(SEED, 2)} - {AGAIN}
"""Of the first attempt: the client that fails, and the one that is drawn again; and who comes in its place."""


@pytest.fixture
def rehearsed(tiny, tmp_path):
    """Return a function that makes two rounds of four clients on a rehearsed device, of which two are drawn."""
    rng = np.random.default_rng(0)
    labels = {"y_train": np.arange(16) % 2, "y_test": np.arange(4) % 2}
    np.savez(tmp_path / "d.npz", x_train=rng.normal(size=(16, 3)), x_test=rng.normal(size=(4, 3)), **labels)

    def make(budget=None, **overrides):
        entries = {"ideal": {"type": "aer"}, "a": {"type": "ibm", "device": "FakeManilaV2", "shots": 16}}
        sizes = {"clients": 4, "clients_per_round": 2, "rounds": 2, "batch_size": 2, "learning_rate": 0.05}
        return tiny(
            seed=SEED,
            data={"dataset": "npz", "path": str(tmp_path / "d.npz")},
            federation={**sizes, **REPEAT},
            backends={"backends": entries, "assignment": {"default": "a"}, "budget_seconds": budget},
            **overrides,
        )

    return make


@dataclasses.dataclass(frozen=True)
class BreaksOff(Shard):
    """Examples of which the first batch alone can be read."""

    taken: list = dataclasses.field(default_factory=list)

    def take(self, positions):
        self.taken.append(positions)
        if len(self.taken) > 1:
            raise ZeroDivisionError("by zero")
        return super().take(positions)


@dataclasses.dataclass(frozen=True)
class Broken:
    """Client data that break off for some clients, after one job."""

    inner: object
    clients: tuple

    def open(self, client_id):
        examples = self.inner.open(client_id)
        return BreaksOff(examples.of, examples.rows) if client_id in self.clients else examples


def run(experiment, folder, *clients, observer=None, allow_partial=False):
    """Run a federation in which some clients fail in the middle of their task."""
    writer = RunWriter(RunFolder(folder))
    writer.claim(overwrite=False)
    federation = assemble(experiment, observer, None)
    make = federation.executor.make_worker

    def make_broken():
        worker = make()
        worker.data = Broken(worker.data, clients)
        return worker

    federation.executor.make_worker = make_broken
    try:
        return run_assembled(federation, writer, allow_partial=allow_partial)
    finally:
        writer.release()


def sent(folder):
    """Return how many jobs each client has had in the first round; none of them twice."""
    submissions = RunFolder(folder).submissions()
    keys = Counter((s.key, s.part) for s in submissions)
    assert set(keys.values()) == {1}, "each job is there once"
    assert all(s.state == "done" for s in submissions)
    return Counter(s.key.client for s in submissions if s.key.server_step == 1)


ONE_FAILED = {BAD: 1, AGAIN: STEPS, NEW: STEPS}


def test_what_all_attempts_have_sent_is_counted_once(rehearsed, tmp_path):
    result = run(rehearsed().with_rounds(1), tmp_path / "run", BAD)
    assert sent(tmp_path / "run") == ONE_FAILED
    record = result.rounds[0]
    assert [sorted(c.id for c in attempt) for attempt in record.attempts] == [sorted([BAD, AGAIN])]
    assert {c.id: c.status for c in record.clients} == {AGAIN: "ok", NEW: "ok"}
    of_round = [s for s in RunFolder(tmp_path / "run").submissions() if s.key.server_step == 1]
    tests = record.circuits - sum(s.circuits for s in of_round)
    assert tests == 0, "the server tests on a simulator, whose circuits are not among the clients'"
    assert record.executions == sum(s.executions for s in of_round)
    assert record.planned_seconds == pytest.approx(sum(s.planned_seconds for s in of_round))
    seconds = {c.id: c.planned_seconds for c in (*record.attempts[0], *record.clients)}
    assert sum(seconds.values()) == pytest.approx(record.planned_seconds)
    assert seconds[BAD] == pytest.approx(seconds[NEW] / STEPS)
    assert RunResult.load(tmp_path / "run").rounds[0] == record


class StopsInAttempt:
    """An observer that stops a run after one client of an attempt at its first round has returned."""

    def __init__(self, attempt):
        self.left = attempt

    def round_started(self, round, num_rounds, num_clients):
        self.left -= 1

    def client_finished(self, client):
        if self.left == 0:
            raise Interrupt

    def __getattr__(self, name):
        return lambda *_: None


@pytest.mark.slow
@pytest.mark.parametrize("attempt", [2, 3])
def test_a_run_that_stops_in_a_repeated_attempt_goes_on_there(rehearsed, tmp_path, attempt):
    """The clients that had failed would return now; but their attempts are over, and the next one was paid for."""
    once, failing = rehearsed().with_rounds(1), [BAD, NEW][: attempt - 1]
    whole = run(once, tmp_path / "whole", *failing)
    with pytest.raises(Interrupt):
        run(once, tmp_path / "run", *failing, observer=StopsInAttempt(attempt))
    before = sent(tmp_path / "run")
    resumed = resume_federation(tmp_path / "run")
    assert len(resumed.rounds[0].attempts) == attempt - 1
    same(resumed, whole)
    assert sent(tmp_path / "run") == sent(tmp_path / "whole")
    assert all(sent(tmp_path / "run")[client] == before[client] == 1 for client in failing)


def test_no_attempt_is_begun_that_the_budget_cannot_pay(rehearsed, tmp_path):
    """It pays the first attempt, and the client that comes in the place of the other one, but not both its jobs."""
    whole = run(rehearsed().with_rounds(1), tmp_path / "whole", BAD)
    each = plan_experiment(rehearsed()).total().qpu_seconds / (2 * 2 * STEPS)
    short = rehearsed(4.5 * each).with_rounds(1)
    needed = rf"^Round 1 of 1 needs {2 * each:.1f} QPU seconds, .* of which {3 * each:.1f} s are spent"
    with pytest.raises(BudgetError, match=needed):
        run(short, tmp_path / "run", BAD)
    assert sent(tmp_path / "run") == {BAD: 1, AGAIN: STEPS}, "nothing of the second attempt"
    with pytest.raises(BudgetError, match=r"^The run's one round needs .*none fits\. Nothing was sent"):
        resume_federation(tmp_path / "run", budgets={None: 4.6 * each})
    resumed = resume_federation(tmp_path / "run", budgets={None: 5.01 * each})
    assert resumed.rounds[0].without_times() == whole.rounds[0].without_times()
    assert sent(tmp_path / "run") == ONE_FAILED, "a budget of just what is missing suffices"


@pytest.mark.slow
def test_after_the_last_attempt_the_round_begins_again(rehearsed, tmp_path):
    once = rehearsed().with_rounds(1)
    with pytest.raises(TrainingError, match=r"Round 1: . of 2 clients returned, .* 3 times\."):
        run(once, tmp_path / "run", 0, 1, 2, 3)
    before = sent(tmp_path / "run")
    assert set(before.values()) == {1}
    resumed, whole = resume_federation(tmp_path / "run"), run_federation(once)
    assert same_model(resumed, whole)
    (record,), (wanted,) = resumed.rounds, whole.rounds
    assert (record.attempts, sorted(c.id for c in record.clients)) == ((), drawn(SEED, 1))
    assert sent(tmp_path / "run") == {**before, BAD: STEPS, AGAIN: STEPS}, "what was done is not done again"
    over = len(before.keys() - {BAD, AGAIN})
    assert record.planned_seconds == pytest.approx(wanted.planned_seconds * (1 + over / (2 * STEPS)))


@pytest.mark.slow
def test_too_few_clients_end_a_run_that_does_not_repeat(rehearsed, tmp_path):
    once = rehearsed(federation__on_too_few="stop").with_rounds(1)
    with pytest.raises(TrainingError, match=rf"^Round 1: 1 of 2 clients returned, .* client {BAD} failed: Zero"):
        run(once, tmp_path / "run", BAD)
    assert sent(tmp_path / "run") == {BAD: 1, AGAIN: STEPS}
    same(resume_federation(tmp_path / "run"), run_federation(once))
    assert sent(tmp_path / "run") == {BAD: STEPS, AGAIN: STEPS}


def test_attempts_that_were_damaged_are_refused(rehearsed, tmp_path):
    with pytest.raises(Interrupt):
        run(rehearsed(), tmp_path / "run", BAD, observer=StopsInAttempt(2))
    federation = assemble(rehearsed(), None, tmp_path / "run" / "journal.sqlite")
    journal = federation.registry.dispatcher.journal
    ((bad, good),) = PastAttempts(journal).of(1)
    assert {bad.client_id, good.client_id} == {BAD, AGAIN}
    assert len(bad.usage.receipts + good.usage.receipts) == 1 + STEPS
    for text in ("", "{}x", "[[1]]", '[[{"client_id": 0}]]', "[" * 100_000, "5"):
        journal.replace("attempts at step 1", text)
        with pytest.raises(ResultError, match=r"journal\.sqlite is damaged: its attempts at step 1 cannot be read\."):
            PastAttempts(journal).of(1)
    journal.close()
    with pytest.raises(ResultError, match="is damaged"):
        resume_federation(tmp_path / "run")


ON_TWO_DEVICES = {
    **{f"federation.{key}": value for key, value in REPEAT.items()},
    "federation.clients_per_round": 2,
    "federation.rounds": 1,
}


@pytest.mark.slow
def test_kill_in_a_repeated_attempt(server, experiment, tmp_path):
    """Nairobi's queue stands still, so that its client fails; when the run is resumed it would return."""
    seed = seed_where(lambda one, two, _: one == {1, 2} and two == {0, 2}, clients=3)  # client 2 is on a simulator
    waiting = {"waiting": {"poll_seconds": 0.1, "queue_seconds": 0.3}}
    server.devices["ibm_nairobi"].hold()
    process = start(experiment, tmp_path, changes=ON_TWO_DEVICES | {"seed": seed}, entries={"nairobi": waiting})
    server.faults.call("POST /jobs", lambda: os.kill(process.pid, signal.SIGKILL), processed=True, after=1)
    assert process.wait(400) == -signal.SIGKILL
    assert [job.backend for job in server.jobs] == ["ibm_nairobi", "ibm_manila"]
    server.devices["ibm_nairobi"].release()
    (record,) = resume_federation(tmp_path / "run").rounds
    assert [[(c.id, c.status) for c in attempt] for attempt in record.attempts] == [[(1, "failed"), (2, "ok")]]
    assert [(c.id, c.status) for c in record.clients] == [(0, "ok"), (2, "ok")]
    assert [job.backend for job in server.jobs] == ["ibm_nairobi", "ibm_manila", "ibm_manila"]
    assert len({tag for job in server.jobs for tag in job.tags}) == len(server.jobs), "none twice"
    assert [job.state for job in server.jobs] == ["Cancelled", "Completed", "Completed"]
