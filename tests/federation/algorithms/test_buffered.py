"""Buffered asynchronous aggregation: what it computes, in which order, and that it is resumed to the same bits."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from qiskit_fedqml import RunResult, resume_federation, run_federation
from qiskit_fedqml.backends.job import Usage
from qiskit_fedqml.config.buffered import BufferedOptions
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.federation.algorithms.buffered import Buffered
from qiskit_fedqml.federation.algorithms.synchronous import Synchronous
from qiskit_fedqml.federation.clients import client as clients_work
from qiskit_fedqml.federation.messages import ClientUpdate, Status
from qiskit_fedqml.federation.runs.assembly import assemble
from qiskit_fedqml.federation.runs.resuming import extend_federation
from qiskit_fedqml.federation.server_state import ServerState
from tests.federation.test_federation import same
from tests.stopping import Interrupt, StopAfter

ARRAY = {
    "backends": {name: {"type": "aer"} for name in ("ideal", "a", "b", "c")},
    "assignment": {"default": {"cycle": ["a", "b", "c"]}},
}
SCHEDULING = {"queue": {"lognormal": {"median_seconds": 600, "sigma": 1.0}}}
SHAPE = {"federation__clients": 8, "federation__clients_per_round": 4, "backends": ARRAY, "scheduling": SCHEDULING}


def buffered(tiny, buffer=2, **changes):
    options = {"buffer": buffer} | changes.pop("options", {})
    return tiny(**SHAPE | {"federation__algorithm": {"buffered": options}, "federation__rounds": 5} | changes)


class Arithmetic:
    """Runs a federation without training: clients return their model plus what is asked."""

    def __init__(self, experiment, step_of):
        self.algorithm, self.step_of = assemble(experiment, None, None).algorithm, step_of
        self.server, self.returned, self.tasks = self.algorithm.init({"w": torch.zeros(1)}), [], []

    def step(self):
        self.tasks = self.algorithm.next_tasks(self.server)
        updates = [self._update(task) for task in self.tasks]
        self.server, self.returned = self.algorithm.apply(self.server, updates)
        return self.returned

    def _update(self, task):
        state = {"w": task.state["w"] + self.step_of(task)}
        return ClientUpdate(task.client_id, task.backend, "none", 10, 1.0, 0.0, Usage(), Status.OK, state=state)


def test_a_step_moves_the_model_by_the_mean_of_scaled_differences(tiny):
    run = Arithmetic(buffered(tiny, options={"staleness_exponent": 1.0}), lambda task: 1.0 + task.client_id)
    seen = set()
    for _ in range(12):
        before = run.server.model["w"].clone()
        returned = run.step()
        assert len(returned) == 2
        staleness = [run.server.step - 1 - update.flight.model_version for update in returned]
        seen |= {*staleness}
        scaled = [(1 + u.client_id) / (1 + tau) for u, tau in zip(returned, staleness, strict=True)]
        assert run.server.model["w"] - before == pytest.approx(sum(scaled) / 2, rel=1e-5)
        assert [u.share for u in returned] == pytest.approx([0.5 / (1 + tau) for tau in staleness])
    assert {0, 1} < seen, "some updates are stale, and some are fresh"


def test_time_and_tasks_are_those_of_a_queue(tiny):
    run = Arithmetic(buffered(tiny, buffer=3), lambda task: 1.0)
    flights, clock = [], 0.0
    for _ in range(30):
        returned = run.step()
        arrived = sorted((update.flight for update in returned), key=lambda f: f.arrives_seconds)
        assert clock <= arrived[0].arrives_seconds
        clock = run.server.clock_seconds
        assert clock == arrived[-1].arrives_seconds
        assert all(flight.arrives_seconds >= clock for flight in run.server.flights)
        assert len({task.client_id for task in run.tasks}) == len(run.tasks)
        assert len({f.client_id for f in run.server.flights}) == len(run.server.flights) <= 4
        assert set(run.server.versions) == {flight.model_version for flight in run.server.flights}
        assert [task.server_step - 1 for task in run.tasks] == [update.flight.model_version for update in returned]
        flights += arrived
    assert len({(flight.client_id, flight.model_version) for flight in flights}) == len(flights), "no seed twice"
    for machine in "abc":
        served = sorted((f.started_seconds, f.arrives_seconds) for f in flights if f.machine == machine)
        assert all(end <= start for (_, end), (start, _) in pairwise(served))
    # It is always 4 clients at work: each dispatch is at the time of an arrival, or at the start.
    times = {0.0, *(flight.arrives_seconds for flight in flights)}
    assert {flight.dispatched_seconds for flight in flights} <= times


def test_a_buffer_of_all_clients_is_the_synchronous_algorithm(tiny):
    federation = assemble(tiny(**SHAPE | {"federation__clients_per_round": 8}), None, None)
    setting = federation.algorithm.setting
    steps = []
    for algorithm in (Synchronous(setting), Buffered(setting, setting.scheduler, BufferedOptions(buffer=8))):
        server = algorithm.init(federation.initial.model)
        for _ in range(2):
            server, _ = algorithm.apply(server, federation.executor.run(algorithm.next_tasks(server)))
        steps.append(server.model)
    assert all(torch.equal(steps[0][name], steps[1][name]) for name in steps[0])


def test_updates_that_are_too_stale_are_recorded_and_not_aggregated(tiny):
    run = Arithmetic(buffered(tiny, options={"max_staleness": 0}), lambda task: 1.0)
    dropped = 0
    for _ in range(12):
        before = run.server.model["w"].clone()
        returned = run.step()
        stale = [update for update in returned if update.status is Status.REFUSED]
        assert all("server steps old, more than 0" in update.reason and not update.share for update in stale)
        assert len(returned) - len(stale) == 2
        assert run.server.model["w"] - before == 1.0
        dropped += len(stale)
    assert dropped > 3


def test_a_step_is_taken_where_nobody_is_left_to_wait_for(tiny):
    changes = {"federation__clients": 3, "federation__clients_per_round": 3}
    run = Arithmetic(buffered(tiny, options={"max_staleness": 0}, **changes), lambda task: 1.0)
    for _ in range(8):
        run.step()
        assert run.returned
    assert run.server.step == 8


def test_state_is_the_same_after_it_was_written(tiny):
    run = Arithmetic(buffered(tiny), lambda task: 0.1 * task.client_id)
    for _ in range(4):
        run.step()
    again = ServerState.from_named(*run.server.named())
    assert again == replace(run.server, versions=again.versions, model=again.model)
    assert run.server.versions
    assert again.versions.keys() == run.server.versions.keys()
    assert not again.is_model_alone


@pytest.mark.parametrize("changes", [{}, {"federation__momentum": 0.9, "federation__optimizer": "sgd"}])
@pytest.mark.parametrize("stop", [(1, 1), (3, 1), (3, -1)])
def test_run_is_resumed_to_the_same_bits(tiny, tmp_path, changes, stop):
    keep = {"federation__client_optimizer_state": "keep"}
    experiment = buffered(tiny, **keep, **changes, aggregation__server_optimizer={"method": "fedadam"})
    whole = run_federation(experiment)
    with pytest.raises(Interrupt):
        run_federation(experiment, tmp_path / "run", observer=StopAfter(*stop))
    same(whole, resume_federation(tmp_path / "run"))
    same(whole, RunResult.load(tmp_path / "run"))


@pytest.mark.slow
def test_run_is_extended_and_run_in_processes_to_the_same_bits(tiny, tmp_path):
    whole = run_federation(buffered(tiny, federation__workers=2))
    run_federation(buffered(tiny, federation__rounds=2), tmp_path / "run")
    same(whole, extend_federation(tmp_path / "run", 5))


def test_run_goes_on_where_nothing_is_aggregated(tiny, tmp_path, monkeypatch):
    """The model stays the same object, from which tasks on their way have started."""

    def broken(*_):
        raise BackendError("it is broken.")

    experiment = buffered(tiny, federation__on_client_failure="skip")
    monkeypatch.setattr(clients_work, "_train", broken)
    with pytest.raises(Interrupt):
        run_federation(experiment, tmp_path / "run", observer=StopAfter(3, 1))
    monkeypatch.undo()
    resumed = resume_federation(tmp_path / "run")
    assert [record.train_loss is None for record in resumed.rounds] == [True] * 2 + [False] * 3


def test_records_say_from_which_model_clients_started_and_when(tiny):
    first, *_, last = run_federation(buffered(tiny)).rounds
    assert {client.model_version for client in first.clients} == {0}
    assert any(client.model_version < last.round - 1 for client in last.clients)
    assert last.clock_seconds == max(client.arrived_at for client in last.clients)
    written = last.as_json()
    assert type(last).from_json(written) == last
    plain = run_federation(tiny()).rounds[0].as_json()
    assert written.keys() - plain.keys() == {"clock_seconds"}
    assert written["clients"][0].keys() - plain["clients"][0].keys() == {
        *("model_version", "dispatched_at", "started_at", "arrived_at")
    }


def test_synchronous_rounds_last_as_long_as_their_slowest_client(tiny):
    plain = run_federation(tiny(**{key: value for key, value in SHAPE.items() if key != "scheduling"}))
    timed = run_federation(tiny(**SHAPE))
    assert [r.test_loss for r in plain.rounds] == [r.test_loss for r in timed.rounds]
    clock = 0.0
    for record in timed.rounds:
        assert {client.dispatched_at for client in record.clients} == {clock}
        clock = record.clock_seconds
        assert clock == max(client.arrived_at for client in record.clients)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"federation__algorithm": {"buffered": {"buffer": 5}}}, r"buffer \(5\) must be at most clients_per_round"),
        ({"federation__algorithm": {"buffered": {"buffer": 4}}, "federation__clients": 4}, "algorithm synchronous"),
        ({"federation__algorithm": "buffered"}, r"must be synchronous, \{buffered: \{buffer: K\}\}"),
        (
            {"federation__algorithm": {"buffered": {"buffer": 2}}, "federation__min_clients": 3},
            r"min_clients \(3\) must be at most algorithm.buffered.buffer \(2\)",
        ),
        ({"federation__algorithm": 3}, r"\{buffered: \{buffer: K\}\}"),
        ({"federation__algorithm": {"buffered": {"buffer": 2}}, "scheduling": None}, "needs a section scheduling"),
    ],
)
def test_what_does_not_fit_is_refused(tiny, changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(**SHAPE | changes)
