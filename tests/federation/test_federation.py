import dataclasses
import json

import numpy as np
import pytest
import torch

from qiskit_fedqml import RunResult, load_model, resume_federation, run_federation
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.data.examples import Examples, SharedOut
from qiskit_fedqml.errors import BackendError, ConfigurationError, ResultError, TrainingError
from qiskit_fedqml.federation.messages import Status
from qiskit_fedqml.federation.runs.assembly import assemble
from qiskit_fedqml.federation.runs.run import run_assembled
from qiskit_fedqml.federation.sampling import sample_clients
from qiskit_fedqml.federation.steps.minibatch import Minibatch
from qiskit_fedqml.results import provenance
from qiskit_fedqml.results.evaluation import evaluate_model
from tests.stopping import Interrupt, StopAfter

NOISY = {
    "backends": {
        "ideal": {"type": "aer"},
        "shots": {"type": "aer", "noise": {"readout": 0.05}, "shots": 64},
    },
    "assignment": {"default": {"cycle": ["ideal", "shots"]}},
}


def same(a, b):
    assert [r.without_times() for r in a.rounds] == [r.without_times() for r in b.rounds]
    assert a.state.keys() == b.state.keys()
    assert all(torch.equal(a.state[key], b.state[key]) for key in a.state)


def test_clients_are_sampled_without_replacement_in_order():
    draws = [sample_clients(0, r, 20, 5) for r in range(1, 200)]
    assert all(d == sorted(set(d)) and len(d) == 5 for d in draws)
    counts = np.bincount(np.concatenate(draws), minlength=20)
    assert counts.min() > 25
    assert sample_clients(0, 3, 20, 5) == draws[2]
    assert sample_clients(1, 3, 20, 5) != draws[2]


def test_rerun_gives_the_same_bits_and_the_folder_the_same_result(tiny, tmp_path):
    experiment = tiny(backends=NOISY)
    first = run_federation(experiment, tmp_path / "run")
    same(first, run_federation(experiment))
    loaded = RunResult.load(tmp_path / "run")
    same(first, loaded)
    assert loaded.experiment == experiment
    assert loaded.is_complete
    assert loaded.run["seed"] == 5
    assert loaded.run["versions"]["qiskit"]
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("keep", ["reset", "keep"])
@pytest.mark.parametrize(("round", "clients"), [(1, 1), (2, 1), (3, 2), (2, -1), (3, -1)])
def test_resumed_run_ends_with_the_same_bits(tiny, tmp_path, keep, round, clients):
    experiment = tiny(backends=NOISY, federation__rounds=3, federation__client_optimizer_state=keep)
    whole = run_federation(experiment)
    with pytest.raises(Interrupt):
        run_federation(experiment, tmp_path / "run", observer=StopAfter(round, clients))
    stopped = RunResult.load(tmp_path / "run")
    assert not stopped.is_complete or clients < 0
    resumed = resume_federation(tmp_path / "run")
    same(whole, resumed)
    same(whole, RunResult.load(tmp_path / "run"))


def test_resuming_in_another_environment_is_logged(tiny, tmp_path, monkeypatch, caplog):
    with pytest.raises(Interrupt):
        run_federation(tiny(), tmp_path / "run", observer=StopAfter(2, 1))
    now = provenance.versions()
    monkeypatch.setattr(provenance, "versions", lambda: now | {"torch": "1.0"})
    resume_federation(tmp_path / "run")
    assert f"torch was {now['torch']}, is 1.0" in caplog.text
    assert "numpy" not in caplog.text


@pytest.mark.parametrize("name", ["rounds.jsonl", "manifest.json.part"])
def test_run_that_cannot_be_written_ends_with_a_clear_error(tiny, tmp_path, name):
    class Spoil(StopAfter):
        def client_finished(self, client):
            if not (tmp_path / "run" / name).is_dir():
                (tmp_path / "run" / name).unlink(missing_ok=True)
                (tmp_path / "run" / name).mkdir()

    with pytest.raises(ResultError, match="cannot be written"):
        run_federation(tiny(), tmp_path / "run", observer=Spoil(1, 1))


def test_torn_last_line_is_replayed(tiny, tmp_path):
    experiment = tiny(federation__rounds=3)
    whole = run_federation(experiment)
    with pytest.raises(Interrupt):
        run_federation(experiment, tmp_path / "run", observer=StopAfter(3, 1))
    with (tmp_path / "run" / "rounds.jsonl").open("a") as file:
        file.write('{"round": 3, "train_lo')
    same(whole, resume_federation(tmp_path / "run"))


def test_resuming_a_finished_run_changes_nothing(tiny, tmp_path):
    run_federation(tiny(), tmp_path / "run")
    before = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    assert resume_federation(tmp_path / "run").is_complete
    assert (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == before


def test_existing_folder_is_refused_unless_told(tiny, tmp_path):
    out = tmp_path / "run"
    run_federation(tiny(), out)
    with pytest.raises(ResultError, match="exists already"):
        run_federation(tiny(), out)
    run_federation(tiny(federation__rounds=1), out, overwrite=True)
    assert len(RunResult.load(out).rounds) == 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "mine" / "config.yaml").write_text("mine: too")
    with pytest.raises(ResultError, match="not a result folder"):
        run_federation(tiny(), tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_records_count_what_happened(tiny):
    experiment = tiny(federation__local_epochs=2, federation__rounds=1, backends=NOISY)
    (record,) = run_federation(experiment).rounds
    held = sum(client.examples for client in record.clients)
    assert record.examples == 2 * held
    # 2 qubits, 1 layer, Z of both: 4 + 6 angles, all in the light cone of the logical circuit.
    assert record.circuits == 2 * held * 21
    shots = {"ideal": 1, "shots": 64}
    assert record.executions == sum(2 * c.examples * 21 * shots[c.backend] for c in record.clients)
    num_trained = 64 * 4 + 4 + 4 * 2 + 2 + 6
    assert record.bytes_down == record.bytes_up == 2 * 4 * num_trained
    assert record.train_loss == pytest.approx(np.mean([c.train_loss for c in record.clients]))
    assert {c.backend for c in record.clients} <= {"ideal", "shots"}
    assert all(c.simulator == "sweep" and c.status == "ok" for c in record.clients)


class Spy(Minibatch):
    """Tells sizes and losses of the batches."""

    def __init__(self, told):
        self.told = told

    def add_gradients(self, model, start, features, labels):
        loss = super().add_gradients(model, start, features, labels)
        self.told.append((len(labels), loss))
        return loss


def test_partial_batches_are_kept_and_the_loss_is_weighted_by_examples(tiny):
    told = []
    federation = assemble(tiny(federation__rounds=1, federation__clients_per_round=1), None, None)
    federation.executor.worker.step = Spy(told)
    (record,) = run_assembled(federation).rounds
    sizes, losses = zip(*told)
    assert sum(sizes) == record.clients[0].examples
    assert set(sizes[:-1]) == {8}
    assert 0 < sizes[-1] < 8
    assert record.train_loss == pytest.approx(np.average(losses, weights=sizes))


def test_one_client_with_all_data_is_the_non_federated_baseline(tiny):
    options = {"federation__clients": 1, "federation__clients_per_round": 1, "federation__rounds": 3}
    kept = run_federation(tiny(**options, federation__client_optimizer_state="keep"))
    reset = run_federation(tiny(**options))
    assert kept.rounds[0].without_times() == reset.rounds[0].without_times()
    assert kept.rounds[1].train_loss != reset.rounds[1].train_loss
    assert kept.rounds[0].clients[0].examples == kept.rounds[0].examples


@dataclasses.dataclass
class Spoiled:
    """Client data in which some clients' features are another number, in the first so many openings."""

    inner: SharedOut
    clients: set
    value: float
    times: int = 1_000_000

    def open(self, client_id):
        shard = self.inner.open(client_id)
        if client_id not in self.clients or not self.times:
            return shard
        self.times -= 1
        examples = shard.take(np.arange(len(shard)))
        return Examples(np.full_like(examples.features, self.value), examples.labels)


def spoiled(experiment, clients, value, times=1_000_000):
    federation = assemble(experiment, None, None)
    federation.executor.worker.data = Spoiled(federation.data.clients, set(clients), value, times)
    return federation


class Exploding(Minibatch):
    """Gradients that are infinite where all features are 7."""

    def add_gradients(self, model, start, features, labels):
        loss = super().add_gradients(model, start, features, labels)
        if bool((features == 7).all()):
            for parameter in model.parameters():
                parameter.grad.fill_(torch.inf)
        return loss


def test_update_that_is_not_finite_is_refused_and_recorded(tiny):
    poisoned, other = sample_clients(5, 1, 4, 2)
    experiment = tiny(federation__rounds=1, federation__optimizer="sgd", federation__batch_size=1000)
    federation = spoiled(experiment, [poisoned], 7.0)
    federation.executor.worker.step = Exploding()
    result = run_assembled(federation)
    outcomes = {c.id: c.outcome for c in result.rounds[0].clients}
    assert outcomes[poisoned] == "refused: the update is not finite"
    assert outcomes[other] == "ok"
    assert all(bool(torch.isfinite(tensor).all()) for tensor in result.state.values())
    assert np.isfinite(result.rounds[0].test_loss)


@pytest.mark.parametrize("state", ["reset", "keep"])
def test_client_that_explodes_is_refused_once_and_trains_on(tiny, state):
    options = {"federation__clients_per_round": 4, "federation__client_optimizer_state": state}
    first, second = run_assembled(spoiled(tiny(**options), range(4), np.inf, times=4)).rounds
    assert all(c.status is Status.REFUSED and c.reason and c.train_loss is None for c in first.clients)
    assert first.train_loss is None
    assert all(c.status is Status.OK for c in second.clients)


def test_aggregate_that_explodes_ends_with_a_clear_error(tiny):
    federation = assemble(tiny(), None, None)
    federation.evaluator.test = Examples(np.full((3, 64), np.inf, dtype=np.float32), np.zeros(3, dtype=np.int64))
    with pytest.raises(
        TrainingError, match="Round 1: the aggregate cannot be tested: Inputs and weights must be finite"
    ):
        run_assembled(federation)
    federation.evaluator.model.head.register_forward_hook(lambda *_: torch.full((3, 2), 1e30))
    federation.evaluator.model.quantum.register_forward_hook(lambda *_: torch.full((3, 2), torch.inf))
    federation.evaluator.test = Examples(np.zeros((3, 64), dtype=np.float32), np.zeros(3, dtype=np.int64))
    with pytest.raises(TrainingError, match="Round 1: the aggregate's loss is not finite"):
        run_assembled(federation)


def test_overwriting_removes_the_runs_own_files_only(tiny, tmp_path):
    run_federation(tiny(), tmp_path / "run")
    (tmp_path / "run" / "notes.txt").write_text("mine")
    run_federation(tiny(), tmp_path / "run", overwrite=True)
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_run_that_lost_its_model_is_not_trained_anew(tiny, tmp_path):
    run_federation(tiny(federation__rounds=3), tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    with pytest.raises(ResultError, match=r"finished run, but its model.safetensors is gone"):
        resume_federation(tmp_path / "run")
    assert len(RunResult.load(tmp_path / "run").rounds) == 3


class Failing(AerBackend):
    def evaluate(self, program, angles, *, jacobian, seed=None, key=None):
        if jacobian:
            raise BackendError("the fridge is warm")
        return super().evaluate(program, angles, jacobian=jacobian, seed=seed)


def failing(experiment, *names):
    federation = assemble(experiment, None, None)
    worker = federation.executor.worker
    worker.backends = {name: Failing(name) if name in names else backend for name, backend in worker.backends.items()}
    return federation


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_client_whose_backend_fails(tiny, policy):
    experiment = tiny(backends=NOISY, federation__clients_per_round=4, federation__on_client_failure=policy)
    if policy == "stop":
        with pytest.raises(BackendError, match=r"Round 1, client 1, backend 'shots': the fridge is warm"):
            run_assembled(failing(experiment, "shots"))
        return
    (record, _) = run_assembled(failing(experiment, "shots")).rounds
    assert [c.outcome for c in record.clients] == ["ok", "failed: the fridge is warm"] * 2
    assert record.clients[1].train_loss is None
    assert record.bytes_up == record.bytes_down / 2


def test_round_without_any_update_keeps_the_global_model(tiny, caplog):
    result = run_assembled(failing(tiny(federation__on_client_failure="skip"), "ideal"))
    assert "No update was aggregated in any round" in caplog.text
    assert "the fridge is warm" in result.never_trained
    assert result.rounds[0].train_loss is None
    assert result.rounds[0].test_loss == result.rounds[1].test_loss


@pytest.mark.parametrize("quantum", ["frozen", "classical"])
def test_controls(tiny, quantum):
    result = run_federation(tiny(model__quantum=quantum, model__circuit={"num_qubits": 2, "num_layers": 2}))
    clients = result.rounds[0].clients
    assert {c.simulator for c in clients} == {"sweep" if quantum == "frozen" else "none"}
    assert result.rounds[0].circuits > 0 if quantum == "frozen" else result.rounds[0].circuits == 0
    if quantum == "frozen":
        trained = run_federation(tiny(model__circuit={"num_qubits": 2, "num_layers": 2}, federation__rounds=1))
        fresh = run_federation(tiny(model__quantum="frozen", model__circuit={"num_qubits": 2, "num_layers": 2}))
        assert torch.equal(result.state["quantum.weight"], fresh.state["quantum.weight"])
        assert not torch.equal(result.state["quantum.weight"], trained.state["quantum.weight"])


def test_model_without_a_circuit_is_tested_on_no_other_machine(tiny, tmp_path):
    classical = tiny(model__quantum="classical", model__circuit={"num_qubits": 2, "num_layers": 2})
    result = run_federation(classical, tmp_path / "run")
    server = evaluate_model(tmp_path / "run", AerBackend("ideal"))
    assert server.accuracy == result.rounds[-1].test_accuracy
    with pytest.raises(ResultError, match="runs no circuit"):
        evaluate_model(tmp_path / "run", AerBackend("quito"))


def test_further_evaluation_backends_add_columns(tiny):
    record = run_federation(tiny(backends=NOISY, evaluation={"backends": ["shots"]})).rounds[-1]
    assert set(record.evaluations) == {"shots"}
    assert record.evaluations["shots"]["test_loss"] != record.test_loss


def test_validation_set_is_evaluated(tiny):
    record = run_federation(tiny(data__validation_fraction=0.2)).rounds[-1]
    assert 0 <= record.validation_accuracy <= 1
    assert record.validation_loss > 0


def test_loaded_model_gives_the_recorded_test_accuracy(tiny, tmp_path):
    result = run_federation(tiny(), tmp_path / "run")
    model = load_model(tmp_path / "run")
    from qiskit_fedqml.data.preparation import prepare_test_data

    examples = prepare_test_data(result.experiment)
    with torch.no_grad():
        logits = model(torch.from_numpy(examples.features))
    accuracy = (logits.argmax(dim=1).numpy() == examples.labels).mean()
    assert accuracy == result.rounds[-1].test_accuracy


def test_training_learns(tiny):
    result = run_federation(tiny(federation__rounds=6, federation__clients_per_round=4, data__test_fraction=0.5))
    assert result.rounds[-1].test_accuracy > 0.9
    assert result.rounds[-1].test_loss < result.rounds[0].test_loss


def test_unavailable_device_is_a_clear_error(tiny, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigurationError, match="finds no CUDA device"):
        run_federation(tiny(model__device="cuda"))


def test_records_are_plain_values(tiny):
    record = run_federation(tiny()).rounds[0]
    assert type(record).from_json(json.loads(json.dumps(record.as_json()))) == record
