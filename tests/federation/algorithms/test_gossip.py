"""Decentralised training: what nodes mix, who is there when, and that the bits are the same however it is run."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qiskit_fedqml import RunResult, resume_federation, run_federation
from qiskit_fedqml.backends.job import Usage
from qiskit_fedqml.errors import BackendError, ResultError, TrainingError
from qiskit_fedqml.federation.clients import client as clients_work
from qiskit_fedqml.federation.executors.parcels import _SHARED_BYTES
from qiskit_fedqml.federation.messages import ClientUpdate, Status
from qiskit_fedqml.federation.runs.assembly import assemble
from qiskit_fedqml.federation.runs.resuming import _state_of, extend_federation
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.planning.rounds import drawn_clients
from qiskit_fedqml.results.checkpoint import Checkpoint
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.header import Header
from qiskit_fedqml.results.last_checkpoint import load_last_checkpoint
from qiskit_fedqml.results.proof import Proof
from tests.federation.test_federation import same
from tests.stopping import Interrupt, StopAfter

LEAVING = {"probability": 0.3, "return_probability": 0.5}


def gossip(tiny, graph="ring", nodes=5, changes=None, **options):
    shape = {"federation__clients": nodes, "federation__clients_per_round": nodes, "federation__rounds": 4}
    return tiny(**shape | {"federation__algorithm": {"gossip": {"graph": graph} | options}} | (changes or {}))


def update_of(task, state, status=Status.OK):
    return ClientUpdate(task.client_id, task.backend, "none", 10, 1.0, 0.0, Usage(), status, state=state)


class Arithmetic:
    """Runs nodes without training: each returns its model plus what is asked, or nothing."""

    def __init__(self, experiment, step_of):
        self.algorithm, self.step_of = assemble(experiment, None, None).algorithm, step_of
        self.server, self.present = self.algorithm.init({"w": torch.zeros(2)}), []

    def step(self):
        tasks = self.algorithm.next_tasks(self.server)
        self.present = [task.client_id for task in tasks]
        updates = []
        for task in tasks:
            moved = self.step_of(task)
            state = None if moved is None else {"w": task.state["w"] + moved}
            updates.append(update_of(task, state, Status.FAILED if moved is None else Status.OK))
        self.server, returned = self.algorithm.apply(self.server, updates)
        return returned

    @property
    def values(self):
        return np.stack([model["w"].numpy() for model in self.server.nodes.models])


def test_nodes_adapt_and_then_combine(tiny):
    run = Arithmetic(gossip(tiny), lambda task: 1.0 + task.client_id)
    ring = np.eye(5) / 3 + np.roll(np.eye(5), 1, axis=1) / 3 + np.roll(np.eye(5), -1, axis=1) / 3
    expected, steps = np.zeros((5, 2)), np.arange(1.0, 6.0)[:, None]
    for number in range(1, 4):
        returned = run.step()
        expected = ring @ (expected + steps)
        assert run.values == pytest.approx(expected, abs=1e-5)
        assert run.server.model["w"].numpy() == pytest.approx(expected.mean(axis=0), abs=1e-5)
        assert expected.mean(axis=0) == pytest.approx(3.0 * number), "mixing moves no mean"
        distances = np.linalg.norm(expected - expected.mean(axis=0), axis=1)
        assert run.server.nodes.consensus_distance() == pytest.approx(np.sqrt((distances**2).mean()), rel=1e-5)
        assert run.server.nodes.messages == 10
        assert [update.share for update in returned] == [0.2] * 5
        assert all(update.state is None for update in returned)


def test_without_training_nodes_agree_in_the_end(tiny):
    run = Arithmetic(gossip(tiny), lambda task: float(task.client_id) if task.server_step == 1 else 0.0)
    for _ in range(40):
        run.step()
    assert run.values == pytest.approx(np.full((5, 2), 2.0), abs=1e-4)
    assert run.server.nodes.consensus_distance() < 1e-4


def test_a_node_whose_training_failed_mixes_on_with_the_model_that_it_had(tiny):
    run = Arithmetic(gossip(tiny, "complete", 4), lambda task: None if task.client_id == 2 else 4.0)
    assert [update.share for update in run.step()] == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])
    assert run.values == pytest.approx(np.full((4, 2), 3.0))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"w": torch.tensor([0.0, float("nan")])}, "is not finite"),
        ({"w": torch.zeros(3)}, "of shape (3,), not"),
        ({"v": torch.zeros(2)}, "it lacks"),
    ],
)
def test_what_no_neighbour_can_mix_is_refused(tiny, state, reason):
    algorithm = assemble(gossip(tiny, "complete", 4), None, None).algorithm
    server = algorithm.init({"w": torch.ones(2)})
    tasks = algorithm.next_tasks(server)
    updates = [update_of(task, state if task.client_id == 1 else dict(task.state)) for task in tasks]
    after, returned = algorithm.apply(server, updates)
    assert returned[1].status is Status.REFUSED
    assert reason in returned[1].reason
    assert all(torch.equal(model["w"], torch.ones(2)) for model in after.nodes.models)


def test_a_complete_graph_is_federated_averaging(tiny):
    """With equal weights, every node then has what a server would make."""
    sgd = {"federation__optimizer": "sgd", "federation__learning_rate": 0.5}
    nodes = run_federation(gossip(tiny, "complete", 4, sgd))
    shape = {"federation__clients_per_round": 4, "federation__rounds": 4, "aggregation__weights": "uniform"}
    server = run_federation(tiny(**shape, **sgd))
    for name, tensor in server.state.items():
        assert nodes.state[name].numpy() == pytest.approx(tensor.numpy(), abs=1e-6)
    assert all(record.nodes.consensus_distance < 1e-7 for record in nodes.rounds)


def test_stated_absences_are_kept(tiny):
    absences = [{"node": 1, "first": 2, "last": 3}, {"node": 4, "first": 2, "last": 2}]
    run = Arithmetic(gossip(tiny, absences=absences), lambda task: 1.0 + task.client_id)
    run.step()
    before = run.values
    run.step()
    assert run.present == [0, 2, 3]
    assert run.server.nodes.messages == 2, "of the ring only 2 and 3 are neighbours now"
    assert (run.values[[1, 4]] == before[[1, 4]]).all()
    assert run.values[0] == pytest.approx(before[0] + 1), "nobody is there to mix with"
    assert run.values[2] == pytest.approx((before[2] + 3 + before[3] + 4) / 2)
    present = []
    for _ in range(2):
        run.step()
        present.append(run.present)
    assert present == [[0, 2, 3, 4], [0, 1, 2, 3, 4]]


def test_nodes_leave_and_come_back_by_chance(tiny):
    rates = {"probability": 0.1, "return_probability": 0.3}
    experiment = gossip(tiny, "ring", 40, {"federation__rounds": 300}, leaving=rates)
    run, present = Arithmetic(experiment, lambda task: 0.0), []
    for _ in range(300):
        run.step()
        present.append(run.present)
    there = np.array([[node in of for node in range(40)] for of in present])
    assert there.mean() == pytest.approx(0.3 / 0.4, abs=0.02), "the share of time that the two rates leave"
    stays, comes = there[1:][there[:-1]].mean(), there[1:][~there[:-1]].mean()
    assert (stays, comes) == (pytest.approx(0.9, abs=0.01), pytest.approx(0.3, abs=0.02))
    planned = [[client for client, _ in clients] for _, clients in drawn_clients(experiment, ["ideal"] * 40)]
    assert planned == present, "a plan knows who will be there"
    later = list(drawn_clients(experiment, ["ideal"] * 40, first=7))
    assert (later[0][0], [client for client, _ in later[0][1]]) == (7, present[6])


def test_where_nobody_is_there_the_models_stay(tiny):
    nobody = {"probability": 1.0, "return_probability": 0.0}
    result = run_federation(gossip(tiny, leaving=nobody))
    assert [(record.clients, record.train_loss) for record in result.rounds] == [((), None)] * 4
    assert {record.nodes.messages for record in result.rounds} == {0}
    assert {record.nodes.consensus_distance for record in result.rounds} == {0.0}
    with pytest.raises(TrainingError, match=r"0 of 0 clients returned, fewer than `federation.min_clients` \(1\)\.$"):
        run_federation(gossip(tiny, changes={"federation__min_clients": 1}, leaving=nobody))


def test_records_say_how_far_nodes_are_and_what_they_sent(tiny, tmp_path):
    result = run_federation(gossip(tiny, leaving=LEAVING, test_nodes_every=2), tmp_path / "run")
    federation = assemble(result.experiment, None, None)
    size = sum(tensor.nbytes for tensor in federation.initial.model.values())
    for record in result.rounds:
        nodes = record.nodes
        assert nodes.present == len(record.clients)
        assert record.bytes_up == record.bytes_down == nodes.messages * size
        assert nodes.consensus_distance > 0
        assert (nodes.accuracy is None) == bool(record.round % 2)
    tested = [record.nodes for record in result.rounds if record.nodes.accuracy is not None]
    assert all(of.lowest_accuracy <= of.accuracy <= of.highest_accuracy for of in tested)
    assert RunResult.load(tmp_path / "run").rounds == result.rounds
    checkpoint, _ = load_last_checkpoint(RunFolder(tmp_path / "run"))
    server = ServerState.from_named(checkpoint.header.values, checkpoint.states)
    accuracies = [federation.evaluator.test_model(model, 4).accuracy for model in server.nodes.models]
    of = result.final.nodes
    found = [of.accuracy, of.lowest_accuracy, of.highest_accuracy]
    assert found == pytest.approx([np.mean(accuracies), min(accuracies), max(accuracies)])


def test_the_final_model_is_the_mean_of_the_nodes(tiny):
    experiment = gossip(tiny, test_nodes_every=None)
    federation = assemble(experiment, None, None)
    server = federation.initial
    for _ in range(4):
        server, _ = federation.algorithm.apply(server, federation.executor.run(federation.algorithm.next_tasks(server)))
    result = run_federation(experiment)
    for name, tensor in server.model.items():
        assert torch.equal(result.state[name], tensor)
        stacked = torch.stack([model[name].double() for model in server.nodes.models])
        assert tensor.numpy() == pytest.approx(stacked.mean(dim=0).numpy(), abs=1e-7)


CHANGES = {
    "plain": {},
    "optimizers": {"federation__client_optimizer_state": "keep", "federation__proximal_mu": 0.5},
    "lockstep": {"federation__lockstep": 3, "federation__client_optimizer_state": "keep"},
    "best": {"federation__keep_best": True, "federation__learning_rate": 1.0},
}


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("stop", [(2, 2), (3, -1)])
def test_a_run_is_resumed_to_the_same_bits(tiny, tmp_path, changes, stop):
    experiment = gossip(tiny, changes=CHANGES[changes], leaving=LEAVING)
    whole = run_federation(experiment)
    assert len({len(record.clients) for record in whole.rounds}) > 1
    with pytest.raises(Interrupt):
        run_federation(experiment, tmp_path / "run", observer=StopAfter(*stop))
    same(whole, resume_federation(tmp_path / "run"))


def test_a_finished_run_is_extended_to_the_same_bits(tiny, tmp_path):
    experiment = gossip(tiny, leaving=LEAVING)
    run_federation(experiment.with_rounds(2), tmp_path / "run")
    same(run_federation(experiment), extend_federation(tmp_path / "run", 4))


def test_a_checkpoint_of_other_nodes_is_refused(tiny):
    federation = assemble(gossip(tiny), None, None)
    for other, found in ((gossip(tiny, nodes=6), 6), (tiny(), 0)):
        state = assemble(other, None, None).initial.named()
        checkpoint = Checkpoint(Header("id", state[0], Proof(0, 0, "")), state[1])
        with pytest.raises(ResultError, match=f"the checkpoint holds {found} nodes, not 5"):
            _state_of(checkpoint, federation, Path("run"))


def test_a_run_begins_from_another_model(tiny, tmp_path):
    first = run_federation(gossip(tiny), tmp_path / "first")
    experiment = gossip(tiny, changes={"model__initial": str(tmp_path / "first")})
    initial = assemble(experiment, None, None).initial
    assert all(torch.equal(model[name], first.state[name]) for model in initial.nodes.models for name in model)
    whole = run_federation(experiment)
    with pytest.raises(Interrupt):
        run_federation(experiment, tmp_path / "second", observer=StopAfter(2, -1))
    same(whole, resume_federation(tmp_path / "second"))


@pytest.fixture
def one_thread():
    """As many threads of torch's as a worker has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_processes_give_the_same_bits(tiny, one_thread):
    experiment = gossip(tiny, changes=CHANGES["lockstep"] | CHANGES["optimizers"], leaving=LEAVING)
    same(run_federation(experiment), run_federation(experiment.with_workers(2)))


@pytest.mark.slow
def test_processes_share_a_large_model_of_each_node(tiny, one_thread):
    experiment = gossip(tiny, changes={"model__hidden": [1200, 4], "federation__rounds": 3})
    federation = assemble(experiment, None, None)
    assert sum(tensor.nbytes for tensor in federation.initial.model.values()) > _SHARED_BYTES
    same(run_federation(experiment), run_federation(experiment.with_workers(2)))


def test_lockstep_trains_each_node_from_its_own_model(tiny):
    changes = {"federation__proximal_mu": 0.5, "model__dropout": 0.0}
    alone = run_federation(gossip(tiny, changes=changes))
    together = run_federation(gossip(tiny, changes=changes | {"federation__lockstep": 5}))
    for name, tensor in alone.state.items():
        assert together.state[name].numpy() == pytest.approx(tensor.numpy(), abs=1e-5)


def test_fedprox_holds_a_node_to_its_own_model(tiny):
    """Held by a strong term, nodes stay where they were, which is not the mean of all."""
    held = {"federation__proximal_mu": 1e3, "federation__optimizer": "sgd", "federation__learning_rate": 1e-4}
    federation = assemble(gossip(tiny, changes=held), None, None)
    algorithm, server = federation.algorithm, federation.initial
    models = tuple({n: t + node for n, t in server.model.items()} for node in range(5))
    server = replace(server, nodes=replace(server.nodes, models=models))
    for update, start in zip(federation.executor.run(algorithm.next_tasks(server)), models, strict=True):
        assert all(torch.allclose(update.state[name], start[name], atol=0.05) for name in start)


def test_failed_clients_are_recorded_and_stay(tiny, monkeypatch):
    real = clients_work._train

    def failing(worker, task, *arguments):
        if task.client_id == 1:
            raise BackendError("The machine is gone.")
        real(worker, task, *arguments)

    monkeypatch.setattr(clients_work, "_train", failing)
    result = run_federation(gossip(tiny, changes={"federation__on_client_failure": "skip"}))
    assert {(c.id, c.status) for r in result.rounds for c in r.clients if c.status is not Status.OK} == {
        (1, Status.FAILED)
    }
    assert {record.nodes.messages for record in result.rounds} == {10}, "it mixes on"
    with pytest.raises(BackendError, match="Round 1, client 1"):
        run_federation(gossip(tiny))
    strict = {"federation__on_client_failure": "skip", "federation__min_clients": 5}
    with pytest.raises(TrainingError, match="4 of 5 clients returned, fewer than `federation.min_clients`"):
        run_federation(gossip(tiny, changes=strict))


def test_a_run_ends_early_by_the_mean_of_the_nodes(tiny):
    stop = {"federation__rounds": 6, "federation__stop": {"patience": 1, "min_delta": 1.0}}
    result = run_federation(gossip(tiny, changes=stop))
    assert len(result.rounds) == 2
    assert result.ended_early


def test_a_state_is_moved_to_another_torch_device(tiny):
    server = assemble(gossip(tiny), None, None).initial
    elsewhere = {name: tensor.to("meta") for name, tensor in server.model.items()}
    moved = server.on_devices_of(elsewhere)
    assert all(tensor.is_meta for model in moved.nodes.models for tensor in model.values())
    assert not server.is_model_alone
    values, states = server.named()
    again = ServerState.from_named(values, states)
    assert again.nodes.left == ()
    assert all(torch.equal(a[n], b[n]) for a, b in zip(again.nodes.models, server.nodes.models, strict=True) for n in a)


@pytest.mark.slow
def test_nodes_on_devices(tiny, tmp_path):
    """Nodes of one device share jobs, each with its own model, and a run that was stopped sends none again."""
    device = {"type": "ibm", "device": "FakeManilaV2", "shots": 16, "joint": True}
    entries = {"ideal": {"type": "aer"}, "manila": device, "tester": {**device, "task": "evaluate", "joint": False}}
    backends = {"backends": entries, "assignment": {"clients": {"0-1": "manila", 2: "tester"}}}
    changes = {"federation__rounds": 2, "federation__batch_size": 64, "backends": backends}
    experiment = gossip(tiny, nodes=4, changes=changes, absences=[{"node": 1, "first": 2, "last": 2}])
    whole = run_federation(experiment, tmp_path / "whole")
    assert [[c.id for c in record.clients] for record in whole.rounds] == [[0, 1, 2, 3], [0, 2, 3]]
    assert whole.rounds[0].clients[2].status is Status.TESTED
    assert whole.rounds[0].clients[0].jobs == whole.rounds[0].clients[1].jobs
    with pytest.raises(Interrupt):
        run_federation(experiment, tmp_path / "run", observer=StopAfter(2, 1))
    same(whole, resume_federation(tmp_path / "run"))
    assert len(RunFolder(tmp_path / "run").submissions()) == len(RunFolder(tmp_path / "whole").submissions())


def test_a_finished_run_whose_nodes_are_gone_is_not_extended_from_their_mean(tiny, tmp_path):
    run_federation(gossip(tiny), tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(ResultError, match="its checkpoints are gone, and with them what .* nodes need to continue"):
        extend_federation(tmp_path / "run", 6)
