"""Whole runs on nodes that answer in this process."""

import json

import numpy as np
import pytest
import torch

from qiskit_fedqml.backends.calibration import fake_calibration
from qiskit_fedqml.errors import BackendError, ConfigurationError, DataError, ResultError, TrainingError
from qiskit_fedqml.federation.runs.resuming import extend_federation, resume_federation
from qiskit_fedqml.federation.runs.run import run_federation
from qiskit_fedqml.flower import executor, node, roll
from qiskit_fedqml.flower.deploying import Address, deploy
from qiskit_fedqml.flower.protocol import MODEL, Answer
from qiskit_fedqml.flower.records import packed, state_in, values_in
from qiskit_fedqml.flower.server_app import serve
from qiskit_fedqml.flower.server_config import ServerConfig
from qiskit_fedqml.results.result import RunResult
from tests.conftest import TINY, make_tiny
from tests.flower.grid import FakeGrid, FakeNode, Info

BACKENDS = {
    "backends": {
        "ideal": {"type": "aer"},
        "noisy": {"type": "aer", "noise": {"readout": 0.1}, "shots": 64},
    },
    "assignment": {"default": {"cycle": ["ideal", "noisy"]}},
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Do not wait between two looks."""
    for module in (executor, roll):
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(roll, "_LIST_SECONDS", 0.0)
    monkeypatch.setattr(executor, "_PAUSE_SECONDS", 0.001)


class Deployment:
    """An experiment, deployed on nodes in this process."""

    def __init__(self, folder, **changes):
        self.experiment = make_tiny(**{"federation__clients": 2, "backends": BACKENDS} | changes)
        self.folder = folder / "deployment"
        deploy(self.experiment, self.folder, Address("localhost", 8000), shards=True)
        number = self.experiment.federation.clients
        self.nodes = {100 + client: FakeNode(self.folder / f"client-{client}") for client in range(number)}
        self.grid = FakeGrid(self.nodes)
        self.out = self.folder / "server" / "result"

    def serve(self, **settings):
        """Run, or resume."""
        experiment = str(self.folder / "server" / "experiment.yaml")
        config = ServerConfig(**{"experiment": experiment, "out": str(self.out), "start_seconds": 5.0} | settings)
        return serve(self.grid, config, None)


@pytest.fixture
def deployed(tmp_path):
    """Return a function that deploys the tiny experiment."""
    return lambda **changes: Deployment(tmp_path, **changes)


def assert_same(one, other):
    assert one.state.keys() == other.state.keys()
    for name, tensor in one.state.items():
        assert torch.equal(tensor, other.state[name]), name
    assert [record.without_times() for record in one.rounds] == [record.without_times() for record in other.rounds]


CHANGES = [
    {},
    {"federation__client_optimizer_state": "keep", "features": {"scaling": {"method": "client_sums"}}},
    {"aggregation": {"server_optimizer": {"method": "fedadam"}, "angles": "circular", "success_exponent": 1.0}},
    {
        "model": {
            "head": {"python": "tests.own_parts:own_head"},
            "loss": {"python": "tests.own_parts:focal"},
            "circuit": TINY["model"]["circuit"],
        },
        "evaluation": {"metrics": ["auc", {"python": "tests.own_parts:share_of_first"}]},
    },
]
PRIVATE = {
    "seed": 1,
    "privacy": {"delta": 1e-3, "randomness": "simulated", "clients": {"noise_multiplier": 1.0, "max_norm": 0.3}},
    "federation": TINY["federation"] | {"clients": 2, "clients_per_round": 1, "rounds": 4, "on_client_failure": "skip"},
}
"""Rounds of none, one or both of the two nodes."""
MORE_CHANGES = [
    {"features": {"scaling": {"method": "client_sums", "per_feature": True, "center": True}}},
    {"federation__optimizer": "sgd", "federation__proximal_mu": 0.1, "federation__local_epochs": 2},
    {"model__quantum": "classical", "model__circuit": {}, "backends": {"backends": {"ideal": {"type": "aer"}}}},
    {"model": {"quantum": "none", "hidden": [4]}, "backends": {"backends": {"ideal": {"type": "aer"}}}},
    {"data__validation_fraction": 0.2, "data__partition": {"scheme": "dirichlet", "alpha": 0.5}},
    {"federation__workers": 2, "evaluation": {"backends": ["noisy"]}},
]


@pytest.mark.parametrize("changes", [*CHANGES, *(pytest.param(c, marks=pytest.mark.slow) for c in MORE_CHANGES)])
def test_a_run_on_nodes_is_that_of_the_local_engine_to_the_bit(deployed, changes):
    deployment = deployed(**changes)
    assert_same(deployment.serve(), run_federation(deployment.experiment))


def test_private_clients_are_drawn_on_nodes_as_here(deployed):
    deployment = deployed(**PRIVATE)
    served = deployment.serve()
    assert {len(record.clients) for record in served.rounds} == {0, 1, 2}
    assert_same(served, run_federation(deployment.experiment))


def test_a_calibration_of_a_node_comes_into_the_result(deployed, tmp_path):
    path = tmp_path / "manila.json"
    fake_calibration("FakeManilaV2").save(path)
    noisy = {"type": "aer", "noise": {"calibration": str(path)}}
    deployment = deployed(backends={**BACKENDS, "backends": {**BACKENDS["backends"], "noisy": noisy}})
    assert_same(deployment.serve(), run_federation(deployment.experiment))
    assert (deployment.out / "calibrations" / "noisy.json").exists()
    deployment.serve()
    copy = deployment.folder / "client-1" / "calibration.json"
    copy.write_text(copy.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(ResultError, match="backends.backends.noisy.noise.calibration was"):
        deployment.serve()


def test_a_stopped_run_is_resumed_at_the_next_round(deployed):
    deployment = deployed(federation__rounds=4)
    whole = run_federation(deployment.experiment)
    first = deployment.nodes[100]

    def lost(kind, records):
        return "the power is gone" if kind == "train" and first.received.count("train") > 2 else records

    first.changed = lost
    with pytest.raises(TrainingError, match="Round 3, client 0: it was sent 2 times; the last time, the power is gone"):
        deployment.serve(attempts=2)
    assert len(RunResult.load(deployment.out).rounds) == 2
    with pytest.raises(ResultError, match="whose clients are nodes of Flower; `flwr run` resumes it"):
        resume_federation(deployment.out)
    first.changed = lambda kind, records: records
    trained = first.received.count("train")
    assert_same(deployment.serve(), whole)
    assert first.received.count("train") == trained + 2


def test_a_finished_run_can_have_more_rounds(deployed):
    deployment = deployed()
    deployment.serve()
    with pytest.raises(ResultError, match="whose clients are nodes of Flower"):
        extend_federation(deployment.out, 3)
    path = deployment.folder / "server" / "experiment.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("rounds: 2", "rounds: 3"), encoding="utf-8")
    assert_same(deployment.serve(), run_federation(deployment.experiment.with_rounds(3)))


def test_a_run_keeps_its_configuration_and_its_data(deployed):
    deployment = deployed()
    deployment.serve(out=str(deployment.out))
    path = deployment.folder / "server" / "experiment.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("learning_rate: 0.05", "learning_rate: 0.06"), encoding="utf-8")
    with pytest.raises(ResultError, match="federation.learning_rate was 0.05, is 0.06"):
        deployment.serve()
    path.write_text(text.replace("rounds: 2", "rounds: 3"), encoding="utf-8")
    first, second = (deployment.folder / f"client-{client}" / "examples.npz" for client in range(2))
    first.write_bytes(second.read_bytes())
    with pytest.raises(ResultError, match="the train data are not those with which the run began"):
        deployment.serve()


def test_a_task_is_sent_again_to_a_node_that_started_again(deployed):
    deployment = deployed()
    whole = run_federation(deployment.experiment)
    second, info = deployment.nodes[101], deployment.grid.infos[101]

    def killed_once(kind, records):
        if kind == "train" and info.last_activated_at == "1":
            info.last_activated_at = "2"
            return None
        return records

    second.changed = killed_once
    assert_same(deployment.serve(), whole)
    assert second.received.count("train") == 3


def test_a_node_that_stays_away_fails_its_client(deployed):
    deployment = deployed(federation__on_client_failure="skip")

    def gone(kind, records):
        if kind == "query":
            return records
        deployment.grid.infos.pop(101, None)
        return "it is gone"

    deployment.nodes[101].changed = gone
    result = deployment.serve(away_seconds=0.05)
    for record in result.rounds:
        outcomes = {client.id: client.outcome for client in record.clients}
        assert outcomes == {0: "ok", 1: "failed: its node has been out of reach for 0.05 seconds"}


def test_a_node_that_is_too_slow_fails_its_client(deployed):
    deployment = deployed(federation__on_client_failure="skip", federation__rounds=1)
    deployment.nodes[101].changed = lambda kind, records: records if kind == "query" else None
    (record,) = deployment.serve(round_seconds=0.3).rounds
    (outcome,) = (client.outcome for client in record.clients if client.id == 1)
    assert outcome.startswith("failed: it gave no answer within 0.3 seconds")


def test_an_error_at_a_node_is_recorded_or_ends_the_run(deployed):
    stopping = {"federation__rounds": 1, "backends": BACKENDS}
    deployment = deployed(**stopping, federation__on_client_failure="skip")
    examples = deployment.folder / "client-1" / "examples.npz"

    def broken(kind, records):
        if kind == "query":
            examples.write_bytes(b"no archive")
        return records

    content = examples.read_bytes()
    deployment.nodes[101].changed = broken
    (record,) = deployment.serve().rounds
    (client,) = (client for client in record.clients if client.id == 1)
    assert client.status == "failed"
    assert "must be an NPZ file of x and y" in client.reason
    examples.write_bytes(content)
    path = deployment.folder / "server" / "experiment.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("on_client_failure: skip", "on_client_failure: stop"), encoding="utf-8")
    with pytest.raises(DataError, match="Round 1, client 1: .*must be an NPZ file of x and y"):
        deployment.serve(out=str(deployment.folder / "server" / "other"))


def test_an_answer_that_does_not_fit_is_refused_and_the_round_goes_on(deployed):
    deployment = deployed(federation__rounds=1)

    def changed(kind, records):
        if kind == "query":
            return records
        state = state_in(records, MODEL)
        return packed(values_in(records, Answer), {MODEL: {**state, "head.0.bias": state["head.0.bias"][:1]}})

    deployment.nodes[101].changed = changed
    (record,) = deployment.serve().rounds
    assert {client.id: client.share for client in record.clients} == {0: 1.0, 1: 0.0}
    (client,) = (client for client in record.clients if client.id == 1)
    assert client.outcome.startswith("refused: its answer was not taken: its update: head.0.bias must be torch.float32")


def test_two_nodes_cannot_be_one_client(deployed):
    deployment = deployed()
    path = deployment.folder / "client-1" / "node.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("client = 1", "client = 0"), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="Nodes 10[01] and 10[01] are both client 0"):
        deployment.serve()


def test_a_newcomer_cannot_disturb_a_run(deployed, caplog):
    deployment = deployed()
    whole = run_federation(deployment.experiment)

    def joined(kind, records):
        if kind == "train" and 102 not in deployment.nodes:
            deployment.nodes[102] = FakeNode(deployment.folder / "client-1")
            deployment.grid.infos[102] = Info(102)
        return records

    deployment.nodes[100].changed = joined
    assert_same(deployment.serve(), whole)
    assert "Node 102 is left out: Nodes 101 and 102 are both client 1." in caplog.text
    assert deployment.nodes[102].received == ["query"]


def test_a_node_may_take_the_place_of_one_that_is_gone(deployed):
    deployment = deployed()
    whole = run_federation(deployment.experiment)

    def replaced(kind, records):
        if kind == "query":
            return records
        deployment.grid.infos.pop(101, None)
        deployment.nodes[102] = FakeNode(deployment.folder / "client-1")
        deployment.grid.infos[102] = Info(102)
        return "it is gone"

    deployment.nodes[101].changed = replaced
    assert_same(deployment.serve(), whole)
    assert deployment.nodes[102].received.count("train") == 2


def test_a_client_that_nobody_is_is_named(deployed):
    deployment = deployed()
    del deployment.grid.infos[101]
    with pytest.raises(ConfigurationError, match="No node came for clients 1 within 0.1 seconds; 1 nodes were there"):
        deployment.serve(start_seconds=0.1)


def test_a_client_that_the_run_does_not_have_is_refused(deployed):
    deployment = deployed()
    path = deployment.folder / "client-1" / "node.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("client = 1", "client = 2"), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="Node 101 is client 2, but the run has clients 0 to 1"):
        deployment.serve()


def test_what_keeps_a_node_away_is_said(deployed):
    deployment = deployed()
    path = deployment.folder / "client-1" / "node.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('"noisy"', '"nosy"'), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="Node 101: --node-config: .* has no backend 'nosy'; did you mean"):
        deployment.serve()


def test_a_node_with_other_features_is_refused(deployed):
    deployment = deployed()
    np.savez(deployment.folder / "client-1" / "examples.npz", x=np.ones((4, 3), np.float32), y=np.array([0, 1, 0, 1]))
    with pytest.raises(ConfigurationError, match=r"Client 1 \(node 101\) has examples of 3 features, but .* have 64"):
        deployment.serve()


def test_two_organisations_may_call_their_machines_by_one_name(deployed):
    deployment = deployed(federation__rounds=1)
    own = deployment.folder / "client-1"
    for name in ("node.toml", "backends.yaml"):
        path = own / name
        path.write_text(path.read_text(encoding="utf-8").replace("noisy", "ideal"), encoding="utf-8")
    result = deployment.serve()
    assert {client.id: client.backend for client in result.rounds[0].clients} == {0: "ideal", 1: "ideal-of-client-1"}
    entries = RunResult.load(deployment.out).experiment.backends.backends
    assert entries["ideal"].noise is None
    assert entries["ideal-of-client-1"].noise.readout.read_1_if_0 == 0.1


def test_the_server_tests_on_simulators_only(deployed):
    device = {"type": "ibm", "device": "FakeManilaV2"}
    with pytest.raises(ConfigurationError, match="tests on simulators only, but device must wait in a queue"):
        deployed(
            backends={**BACKENDS, "backends": {**BACKENDS["backends"], "device": device}},
            evaluation={"backends": ["device"]},
        )


def test_a_backend_that_fails_at_a_node_stops_the_run_with_its_own_error(deployed, monkeypatch):
    deployment = deployed()

    def fail(*_):
        raise BackendError("The device is in flames.")

    monkeypatch.setattr(node.Node, "work", fail)
    with pytest.raises(BackendError, match="Round 1, client .: The device is in flames"):
        deployment.serve()


@pytest.mark.parametrize("has_blocks", [False, True])
def test_figures_of_a_nodes_device_are_taken(deployed, has_blocks):
    device = {"type": "ibm", "device": "FakeManilaV2", "shots": 16, "budget_seconds": 600.0}
    chip = {"type": "aer", "noise": "FakeGuadalupeV2", "blocks": {"spread": "clients"}}
    entries = {**BACKENDS["backends"], "noisy": chip if has_blocks else device}
    deployment = deployed(federation__rounds=1, backends={**BACKENDS, "backends": entries})
    (record,) = deployment.serve().rounds
    assert [client.status for client in record.clients] == ["ok", "ok"]
    assert 0 < record.devices["noisy"]["success_probability"] < 1


def test_figures_that_no_device_has_are_refused_and_the_run_goes_on(deployed):
    deployment = deployed(federation__on_client_failure="skip")

    def with_figures(kind, records):
        if kind == "train":
            values = json.loads(records["values"]["json"])
            values["calibration"] = {"device": "x", "date": None, "blocks": {"0": "good"}, "spread": "clients"}
            records["values"]["json"] = json.dumps(values)
        return records

    deployment.nodes[101].changed = with_figures
    for record in deployment.serve().rounds:
        assert [client.status for client in record.clients] == ["ok", "refused"]
        assert "must be a number, but got 'good'" in record.clients[1].reason


def test_a_run_that_keeps_nothing_of_clients_keeps_nothing(deployed):
    deployment = deployed(federation__on_client_failure="skip")

    def with_more(kind, records):
        if kind == "train":
            values = json.loads(records["values"]["json"])
            records["values"]["json"] = json.dumps(values | {"kept": ["exp_avg"]})
            records["state/kept/exp_avg"] = records[f"state/{MODEL}"]
        return records

    deployment.nodes[101].changed = with_more
    for record in deployment.serve().rounds:
        assert [client.status for client in record.clients] == ["ok", "refused"]
        assert "it wants tensors kept" in record.clients[1].reason
