"""Whole runs in which the server learns the mean of a round's updates only, on nodes that answer in this process."""

import json
import re
from functools import cache

import numpy as np
import pytest
from flwr.common import bytes_to_ndarray, ndarray_to_bytes
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage

from qiskit_fedqml.config.secure import SecureConfig
from qiskit_fedqml.errors import ConfigurationError, DataError, TrainingError
from qiskit_fedqml.federation.runs.run import run_federation
from qiskit_fedqml.flower import executor, line, roll, secure_executor
from qiskit_fedqml.results.result import RunResult
from tests.conftest import TINY, make_tiny
from tests.flower.test_server_app import Deployment

OF_STAGE = {
    Stage.SETUP: Key.PUBLIC_KEY_1,
    Stage.SHARE_KEYS: Key.CIPHERTEXT_LIST,
    Stage.COLLECT_MASKED_VECTORS: Key.MASKED_PARAMETERS,
    Stage.UNMASK: Key.SHARE_LIST,
}
ONE = {"federation__rounds": 1, "federation__on_client_failure": "skip"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Do not wait between two looks."""
    for module in (executor, line, roll, secure_executor):
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(roll, "_LIST_SECONDS", 0.0)
    monkeypatch.setattr(executor, "_PAUSE_SECONDS", 0.001)


def clients(number):
    """Return changes that give the tiny experiment so many clients, and a model that is trained in no time."""
    whole = {"federation__clients": number, "federation__clients_per_round": number}
    return whole | {"model": {"quantum": "none", "hidden": [4]}, "backends": {"backends": {"ideal": {"type": "aer"}}}}


@pytest.fixture
def deployed(tmp_path):
    """Return a function that deploys the tiny experiment with secure aggregation among so many clients."""

    def deployed(number, threshold, *, weights="examples", clipping_range=8.0, name="secure", **changes):
        secure = {"threshold": threshold, "clipping_range": clipping_range}
        aggregation = {"weights": weights, "secure": secure} | changes.pop("aggregation", {})
        return Deployment(tmp_path / name, **clients(number) | {"aggregation": aggregation} | changes)

    return deployed


@cache
def plain(number, rounds=1, weights="examples", optimizer=None, quantum="none"):
    """Return the trained tensors of the local engine's run, in which the server sees all updates."""
    aggregation = {"weights": weights, "server_optimizer": optimizer and {"method": optimizer}}
    model = {} if quantum == "none" else {"model": TINY["model"]}
    experiment = make_tiny(**clients(number) | model, federation__rounds=rounds, aggregation=aggregation)
    return run_federation(experiment).state


def largest_difference(one, other):
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


def answers_in(stage, records):
    """Return whether a node's answer is that of a stage."""
    found = records.config_records.get(RECORD_KEY_CONFIGS)
    return found is not None and OF_STAGE[stage] in found


def dropping(stage, times=99):
    """Return what makes a node drop out in a stage, the first so many times."""
    left = [times]

    def changed(kind, records):
        if not answers_in(stage, records) or not left[0]:
            return records
        left[0] -= 1
        return "the power is gone"

    return changed


@pytest.mark.parametrize("weights", ["examples", "uniform"])
def test_the_mean_is_the_plain_one_but_for_the_steps_of_the_range(deployed, weights):
    coarse = 1e4
    deployment = deployed(3, 2, weights=weights, clipping_range=coarse, federation__rounds=1)
    difference = largest_difference(deployment.serve().state, plain(3, weights=weights))
    sizes = [member.examples for member in deployment.serve().rounds[0].clients]
    step = 2 * coarse / SecureConfig(threshold=2).quantization_range(3)
    spread = 1.0 if weights == "uniform" else max(sizes) * 3 / sum(sizes)
    assert step / 10 < difference < step * spread + 1e-6


@pytest.mark.parametrize(("optimizer", "quantum"), [(None, "trainable"), ("fedavgm", "none")])
def test_by_default_the_steps_are_as_small_as_those_of_float32(deployed, optimizer, quantum):
    aggregation = {"server_optimizer": optimizer and {"method": optimizer}}
    model = {} if quantum == "none" else {"model": TINY["model"]}
    deployment = deployed(3, 2, aggregation=aggregation, **model)
    result = deployment.serve()
    assert largest_difference(result.state, plain(3, rounds=2, optimizer=optimizer, quantum=quantum)) < 2e-6
    for record in result.rounds:
        assert [client.outcome for client in record.clients] == ["ok", "ok", "ok"]
        assert sum(client.share for client in record.clients) == pytest.approx(1)
    assert not any(node.context.state for node in deployment.nodes.values()), "secrets are left"


def test_updates_that_protect_their_examples_may_be_hidden_too(deployed):
    options = {"noise_multiplier": 1.0, "max_norm": 1.0, "sampling_rate": 0.5}
    privacy = {"delta": 1e-5, "randomness": "simulated", "examples": options}
    result = deployed(3, 2, weights="uniform", privacy=privacy).serve()
    local = run_federation(make_tiny(**clients(3), aggregation={"weights": "uniform"}, privacy=privacy))
    assert largest_difference(result.state, local.state) < 2e-6
    assert [record.epsilon for record in result.rounds] == [record.epsilon for record in local.rounds]
    assert {client.examples for record in result.rounds for client in record.clients} == {0}


@pytest.mark.parametrize("stage", Stage.all())
def test_a_client_that_drops_out_in_any_stage_leaves_the_mean_of_the_others(deployed, stage):
    deployment = deployed(4, 3, **ONE)
    deployment.nodes[103].changed = dropping(stage)
    result = deployment.serve()
    if stage == Stage.UNMASK:  # its update had come before
        expected = plain(4)
    else:
        other = deployed(4, 3, name="plain", aggregation={"secure": None}, **ONE)
        other.nodes[103].changed = lambda kind, records: "it is gone" if kind == "train" else records
        expected = other.serve(attempts=1).state
    assert largest_difference(result.state, expected) < 2e-6
    outcomes = {client.id: client.outcome for client in result.rounds[0].clients}
    assert [outcomes[client] for client in range(3)] == ["ok"] * 3
    gone = f"failed: it dropped out in stage '{stage}' of secure aggregation: the power is gone"
    assert outcomes[3] == ("ok" if stage == Stage.UNMASK else gone)
    shares = {client.id: client.share for client in result.rounds[0].clients}
    assert (shares[3] > 0) == (stage == Stage.UNMASK)


def test_one_may_drop_out_in_each_stage(deployed):
    deployment = deployed(7, 4, **ONE)
    for node, stage in zip((100, 102, 104), Stage.all()[:3], strict=True):
        deployment.nodes[node].changed = dropping(stage)
    other = deployed(7, 4, name="plain", aggregation={"secure": None}, **ONE)
    for node in (100, 102, 104):
        other.nodes[node].changed = lambda kind, records: "it is gone" if kind == "train" else records
    assert largest_difference(deployment.serve().state, other.serve(attempts=1).state) < 2e-6


@pytest.mark.parametrize("stage", Stage.all())
def test_where_fewer_stay_than_the_threshold_nothing_is_learned(deployed, stage):
    deployment = deployed(3, 3, **ONE)
    deployment.nodes[101].changed = dropping(stage)
    with pytest.raises(TrainingError, match=r"0 of 3 clients returned an update, fewer than secure aggregation needs"):
        deployment.serve()
    assert RunResult.load(deployment.out).rounds == ()


def test_the_reason_names_the_client_and_its_stage(deployed):
    deployment = deployed(3, 3, **ONE)
    deployment.nodes[101].changed = dropping(Stage.COLLECT_MASKED_VECTORS)
    with pytest.raises(TrainingError) as error:
        deployment.serve()
    assert "client 1 failed: it dropped out in stage 'collect_masked_vectors' of secure aggregation" in str(error.value)
    assert "there is no sum: 2 clients stayed in stage 'collect masked vectors'" in str(error.value)


def test_a_round_of_which_too_many_dropped_out_is_repeated(deployed):
    repeating = ONE | {"federation__on_too_few": "repeat", "federation__min_clients": 3}
    deployment = deployed(3, 3, **repeating)
    deployment.nodes[101].changed = dropping(Stage.SHARE_KEYS, times=1)
    result = deployment.serve()
    assert len(result.rounds[0].attempts) == 1
    assert largest_difference(result.state, plain(3)) < 2e-6


def test_a_client_that_drops_out_stops_the_run_if_it_is_to(deployed):
    deployment = deployed(3, 2, federation__rounds=1)
    deployment.nodes[101].changed = dropping(Stage.SHARE_KEYS)
    with pytest.raises(TrainingError, match="Round 1, client 1: it dropped out in stage 'share_keys'"):
        deployment.serve()


def test_an_error_at_a_node_stops_the_run_as_the_error_that_it_was(deployed):
    deployment = deployed(3, 2, federation__rounds=1)
    examples = deployment.folder / "client-1" / "examples.npz"

    def broken(kind, records):
        if answers_in(Stage.SHARE_KEYS, records):
            examples.write_bytes(b"no archive")
        return records

    deployment.nodes[101].changed = broken
    with pytest.raises(DataError, match="Round 1, client 1: .*must be an NPZ file of x and y"):
        deployment.serve()


def test_a_stopped_run_is_resumed_at_the_next_round(deployed):
    deployment = deployed(3, 2)
    node = deployment.nodes[100]
    node.changed = lambda kind, records: "the power is gone" if node.received.count("train") > 4 else records
    with pytest.raises(TrainingError, match="Round 2, client 0: it dropped out in stage 'setup'"):
        deployment.serve()
    assert len(RunResult.load(deployment.out).rounds) == 1
    node.changed = lambda kind, records: records
    assert largest_difference(deployment.serve().state, plain(3, rounds=2)) < 2e-6


def test_a_node_that_is_away_at_the_start_is_left_out(deployed):
    deployment = deployed(3, 2, **ONE)

    def introduced(kind, records):
        deployment.grid.infos.pop(102, None)
        return records

    deployment.nodes[102].changed = introduced
    (record,) = deployment.serve(away_seconds=0.05).rounds
    outcomes = {client.id: client.outcome for client in record.clients}
    assert outcomes == {0: "ok", 1: "ok", 2: "failed: its node has been out of reach for 0.05 seconds"}


def test_a_node_that_starts_again_has_lost_its_secrets(deployed):
    deployment = deployed(3, 2, **ONE)

    def killed(kind, records):
        if answers_in(Stage.SHARE_KEYS, records):
            deployment.grid.infos[101].last_activated_at = "2"
            return None
        return records

    deployment.nodes[101].changed = killed
    (record,) = deployment.serve().rounds
    assert "stage 'share_keys' of secure aggregation: its node was started again" in record.clients[1].reason


WIDE = {"model": {"quantum": "none", "hidden": [64]}}


def test_what_comes_to_the_server_tells_nothing_of_one_update(deployed):
    shown = deployed(3, 2, name="plain", aggregation={"secure": None}, federation__rounds=1, **WIDE)
    updates = {}
    for number, node in shown.nodes.items():
        node.changed = lambda kind, records, number=number: updates.setdefault((number, kind), records) and records
    shown.serve()
    deployment = deployed(3, 2, **WIDE)
    came = []
    deployment.nodes[100].changed = lambda kind, records: came.append((kind, records)) or records
    deployment.serve()
    update = updates[100, "train"].array_records["state/model"]
    of_update = np.concatenate([np.frombuffer(update[name].data, "<f4") for name in sorted(update)])
    vectors = [
        np.concatenate([bytes_to_ndarray(part).ravel() for part in found[Key.MASKED_PARAMETERS]])[1:].astype(float)
        for kind, records in came
        if (found := records.config_records.get(RECORD_KEY_CONFIGS)) and Key.MASKED_PARAMETERS in found
    ]
    assert [len(vector) for vector in vectors] == [len(of_update)] * 2  # one for each round
    limit = 4 / np.sqrt(len(of_update))
    for vector in vectors:
        assert abs(np.corrcoef(vector, of_update)[0, 1]) < limit
        assert abs(vector.mean() / 2**32 - 0.5) < limit
    assert abs(np.corrcoef(*vectors)[0, 1]) < limit
    for kind, records in came:
        assert not any(len(arrays) for arrays in records.array_records.values()), "tensors"
        if kind == "train" and "values" in records.config_records:
            values = json.loads(records.config_records["values"]["json"])
            assert (values["train_loss"], values["accuracy"], values["kept"]) == (None, None, [])


def test_a_client_that_goes_too_far_has_failed(deployed):
    deployment = deployed(3, 2, clipping_range=1e-6, **ONE)
    with pytest.raises(TrainingError, match=r"its update changes \S+ by more than `aggregation.secure.clipping_range`"):
        deployment.serve()


def test_a_vector_that_is_no_update_spoils_no_model(deployed):
    deployment = deployed(3, 2, **ONE)

    def garbage(kind, records):
        if answers_in(Stage.COLLECT_MASKED_VECTORS, records):
            found, rng = records.config_records[RECORD_KEY_CONFIGS], np.random.default_rng(0)
            shapes = [bytes_to_ndarray(part).shape for part in found[Key.MASKED_PARAMETERS]]
            found[Key.MASKED_PARAMETERS] = [ndarray_to_bytes(rng.integers(0, 2**32, shape)) for shape in shapes]
        return records

    deployment.nodes[102].changed = garbage
    with pytest.raises(TrainingError, match="the sum is none of updates within the clipping range"):
        deployment.serve()


def test_a_share_that_is_none_spoils_no_model(deployed):
    deployment = deployed(3, 2, **ONE)

    def changed(kind, records):
        if answers_in(Stage.UNMASK, records):
            shares = records.config_records[RECORD_KEY_CONFIGS][Key.SHARE_LIST]
            shares[0] = shares[0][:4] + bytes(len(shares[0]) - 4)
        return records

    deployment.nodes[102].changed = changed
    with pytest.raises(TrainingError, match="there is no sum: "):
        deployment.serve()


def test_an_answer_that_does_not_fit_drops_its_client(deployed):
    deployment = deployed(4, 3, **ONE)

    def short(kind, records):
        if answers_in(Stage.COLLECT_MASKED_VECTORS, records):
            records.config_records[RECORD_KEY_CONFIGS][Key.MASKED_PARAMETERS].pop()
        return records

    deployment.nodes[102].changed = short
    (record,) = deployment.serve().rounds
    assert [client.status for client in record.clients] == ["ok", "ok", "refused", "ok"]
    assert "its answer was not taken: it has 4 masked vectors, not 5" in record.clients[2].reason


def test_a_node_shows_no_update_where_it_wants_them_hidden(deployed):
    deployment = deployed(3, 2, **ONE)
    assert "secure_threshold = 2" in (deployment.folder / "client-0" / "node.toml").read_text(encoding="utf-8")
    path = deployment.folder / "server" / "experiment.yaml"
    text = path.read_text(encoding="utf-8")
    changed = re.sub(r"  secure:\n.*\n.*\n", "  secure: null\n", text)
    path.write_text(changed, encoding="utf-8")
    (record,) = deployment.serve().rounds
    assert {client.status for client in record.clients} == {"failed"}
    assert "lets this node take part in secure aggregation alone" in record.clients[0].reason


def test_a_node_takes_part_in_no_weaker_aggregation(deployed):
    deployment = deployed(4, 3, **ONE)
    path = deployment.folder / "client-2" / "node.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("secure_threshold = 3", "secure_threshold = 4"), "utf-8")
    (record,) = deployment.serve().rounds
    assert [client.status for client in record.clients] == ["ok", "ok", "failed", "ok"]
    assert "the threshold is 3, less than this node's `secure_threshold` (4)" in record.clients[2].reason


def test_one_computer_hides_nothing_from_itself():
    with pytest.raises(ConfigurationError, match="here, one process sees all of them anyway"):
        run_federation(make_tiny(aggregation={"secure": {"threshold": 2}}))
