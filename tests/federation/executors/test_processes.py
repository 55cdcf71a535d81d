"""Clients of simulators in several processes: the same bits as in one, whatever becomes of a process."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from qiskit_fedqml import errors, load_experiment, resume_federation, run_federation
from qiskit_fedqml.backends.job import Usage
from qiskit_fedqml.data.examples import Examples, SharedOut
from qiskit_fedqml.federation.executors.automatic import AutomaticExecutor
from qiskit_fedqml.federation.executors.groups import train_group
from qiskit_fedqml.federation.executors.parcels import IncomingUpdates, OutgoingTasks, packed
from qiskit_fedqml.federation.executors.processes import ProcessExecutor
from qiskit_fedqml.federation.executors.shared_data import MappedFile, SharedData
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, Status
from qiskit_fedqml.federation.runs.assembly import assemble
from qiskit_fedqml.federation.runs.resuming import extend_federation
from qiskit_fedqml.workers.memory import Memory, Place, Rooms
from qiskit_fedqml.workers.messages import Memories
from tests.conftest import ROOT

NOISY = {
    "backends": {
        "ideal": {"type": "aer"},
        "manila": {"type": "aer", "noise": "FakeManilaV2", "shots": 64},
        "quito": {"type": "aer", "noise": "FakeQuitoV2"},
    },
    "assignment": {"server": "ideal", "default": {"cycle": ["manila", "quito"]}},
}


@pytest.fixture(autouse=True)
def one_thread():
    """As many threads of torch's as a worker has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def experiment(**changes):
    few = {
        **{"data.test_fraction": 0.8, "model.hidden": [8], "model.dropout": 0.1, "backends": NOISY},
        **{"federation.clients": 6, "federation.clients_per_round": 4, "federation.rounds": 2},
    }
    return load_experiment(ROOT / "experiments" / "digits.yaml", {**few, **changes})


@pytest.fixture
def executor():
    """Return a function that puts together an experiment's executor, with its tasks of the first round."""
    made = []

    def make(workers, **changes):
        federation = assemble(experiment(**{"federation.workers": workers, **changes}), None, None)
        made.append(federation.executor)
        return federation.executor, federation.algorithm.next_tasks(federation.initial)

    yield make
    for each in made:
        each.stop()


def same(one, other):
    return all(torch.equal(one.state[name], other.state[name]) for name in other.state)


@pytest.mark.slow
def test_same_bits_for_any_number_of_workers(executor):
    changes = {"federation.client_optimizer_state": "keep"}
    serial, tasks = executor(1, **changes)
    expected = {update.client_id: update for update in serial.run(tasks)}
    for workers in (2, 3):
        pool, _ = executor(workers, **changes)
        assert isinstance(pool, ProcessExecutor)
        for _ in range(2):  # the second time with circuits that are compiled
            found = {update.client_id: update for update in pool.run(tasks)}
            assert found.keys() == expected.keys()
            for client, update in found.items():
                assert same(update, expected[client])
                assert update.usage == expected[client].usage
                assert update.client_states.keys() == expected[client].client_states.keys()
                assert update.success_probability == expected[client].success_probability


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_its_client_recorded(executor):
    pool, tasks = executor(2)
    expected = {update.client_id: update for update in pool.run(tasks)}
    updates = pool.run(tasks)
    first = next(updates)
    (victim, *_) = pids = [worker.pid for worker in pool.pool._workers]
    os.kill(victim, signal.SIGSTOP)  # so that it works when it dies
    threading.Timer(0.3, os.kill, (victim, signal.SIGKILL)).start()
    found = {update.client_id: update for update in [first, *updates]}
    assert found.keys() == expected.keys()
    failed = [update for update in found.values() if update.status is Status.FAILED]
    assert len(failed) == 1
    assert failed[0].reason == "its worker process died (SIGKILL), perhaps for want of memory."
    assert failed[0].num_examples == expected[failed[0].client_id].num_examples
    assert all(same(found[client], expected[client]) for client in found if found[client] is not failed[0])
    assert all(update.status is Status.OK for update in pool.run(tasks))
    assert {worker.pid for worker in pool.pool._workers} & set(pids) == set(pids) - {victim}


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files as Linux shows them")
def test_nothing_is_left_of_an_executor_that_was_stopped_at_work(executor, monkeypatch):
    pool, tasks = executor(2)
    before = len(os.listdir("/proc/self/fd"))
    lost = []
    monkeypatch.setattr(sys, "unraisablehook", lambda raised: lost.append(raised.exc_value))
    updates = pool.run(tasks)
    next(updates)
    pool.stop()
    del updates  # as when an error that has ended a run is dropped
    gc.collect()
    assert not lost
    assert len(os.listdir("/proc/self/fd")) == before, "not even the memory that was shared"
    assert len(list(pool.run(tasks))) == len(tasks), "it starts again where it is asked to"


@pytest.mark.slow
def test_a_worker_that_dies_while_it_is_idle_is_replaced(executor):
    pool, tasks = executor(2)
    list(pool.run(tasks))
    for worker in pool.pool._workers:
        worker._process.kill()
        worker._process.wait()
    assert all(update.status is Status.OK for update in pool.run(tasks))


@pytest.mark.slow
def test_what_a_client_raises_ends_the_run(executor):
    skipping = {"federation.on_client_failure": "skip"}  # otherwise the circuit would be refused before
    pool, tasks = executor(2, **skipping, **{"model.circuit.num_qubits": 6})
    kit = pool.pool.setup.kit
    kit = replace(kit, config=kit.config.model_copy(update={"on_client_failure": "stop"}))
    pool.pool.setup = replace(pool.pool.setup, kit=kit)
    with pytest.raises(errors.BackendError, match=r"^Round 1, client \d, backend '(manila|quito)': "):
        list(pool.run(tasks))


@pytest.mark.slow
def test_workers_end_with_the_run(tmp_path):
    with_two = run_federation(experiment(**{"federation.workers": 2}), tmp_path / "two")
    alone = run_federation(experiment(), tmp_path / "one")
    assert [r.test_loss for r in with_two.rounds] == [r.test_loss for r in alone.rounds]
    assert same(with_two, alone)
    listed = ["ps", "--ppid", str(os.getpid()), "-o", "args="]
    children = subprocess.run(listed, capture_output=True, text=True, check=False).stdout
    assert "workers.program" not in children


@pytest.mark.slow
def test_a_script_needs_no_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from qiskit_fedqml import load_experiment, run_federation\n"
        "few = {'federation.workers': 2, 'federation.rounds': 1, 'data.test_fraction': 0.8}\n"
        f"result = run_federation(load_experiment({str(ROOT / 'experiments' / 'digits.yaml')!r}, few))\n"
        "print('trained', result.rounds[-1].clients[0].status)\n"
    )
    command = [sys.executable, script]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "trained ok\n", "the script runs once"


@pytest.mark.slow
def test_a_worker_at_work_does_not_outlive_a_run_that_is_killed():
    work = "import os, threading\nfrom qiskit_fedqml.workers.program import _end_after\n"
    work += "threading.Thread(target=_end_after, args=(os.getppid(),), daemon=True).start()\n"
    work += "print(os.getpid(), flush=True)\nwhile True: pass"
    started = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}])"
    with subprocess.Popen([sys.executable, "-c", started], stdout=subprocess.PIPE, text=True) as run:
        worker = int(run.stdout.readline())
        run.kill()
        run.wait()
        until = time.monotonic() + 30
        while (is_alive := os.path.exists(f"/proc/{worker}")) and time.monotonic() < until:
            time.sleep(0.05)
        if is_alive:
            os.kill(worker, signal.SIGKILL)
    assert not is_alive


@pytest.mark.parametrize("width", [4, 400_000])
@pytest.mark.parametrize("is_common", [True, False])
def test_tasks_travel_as_they_are(width, is_common):
    common, inbox = Memory(), Memory()
    state = {"head.weight": torch.arange(float(width)), "quantum.weight": torch.tensor(1.5), "none": torch.ones(0)}
    other = {name: -tensor for name, tensor in state.items()}
    moments = {"exp_avg": {"head.weight": 2 * torch.arange(float(width))}}
    tasks = [ClientTask(3, 0, "a", state), ClientTask(3, 5, "b", state if is_common else other, client_states=moments)]
    model = packed([state], lambda arrays: common.put(arrays, 100)[0])[0] if is_common else None
    sent = OutgoingTasks.of(tasks, model, inbox)
    assert isinstance(sent.kept[1]["exp_avg"]["head.weight"], Place) == (width > 4)
    for task, found in zip(tasks, sent.open(common, inbox), strict=True):
        assert (found.client_id, found.backend) == (task.client_id, task.backend)
        assert found.state.keys() == task.state.keys()
        assert all(torch.equal(found.state[name], task.state[name]) for name in state)
        assert found.client_states.keys() == task.client_states.keys()
    assert torch.equal(found.client_states["exp_avg"]["head.weight"], moments["exp_avg"]["head.weight"])


def test_updates_own_their_tensors():
    written = Memory()
    memories, rooms = Memories(Memory(), Memory(), written), Rooms(Memory(os.dup(written.file)))

    def sent(value, width=100_000):
        memories.room = rooms.lend()
        state = {"w": torch.full((width,), float(value)), "b": torch.tensor([float(value)])}
        blank = ClientUpdate(0, "a", "sweep", 1, 0.5, 0.0, Usage(), Status.OK, state=state, client_states={"m": state})
        (update,) = IncomingUpdates.of([blank], memories).open(rooms)
        return update

    kept = [sent(1.0), sent(2.0)]
    size = written.size
    for value in range(3, 9):  # each is dropped before the next one
        assert sent(value).state["w"].unique() == value
    assert written.size == pytest.approx(1.5 * size, rel=0.01), "a third room is enough"
    assert [update.state["w"].unique().item() for update in kept] == [1.0, 2.0]
    assert [update.client_states["m"]["b"].item() for update in kept] == [1.0, 2.0]
    larger = sent(9.0, 300_000)
    assert larger.state["w"].unique() == 9.0
    assert sent(10.0).state["w"].unique() == 10.0
    assert larger.state["w"].unique() == 9.0


def test_data_are_opened_by_client(tmp_path):
    features = np.arange(24, dtype=np.float32).reshape(8, 3)
    np.save(tmp_path / "features.npy", features)
    rows = (np.array([1, 4]), np.array([0]), np.array([2, 7, 5]))
    for of in (features, np.load(tmp_path / "features.npy", mmap_mode="r")):
        memory = Memory()
        shared = SharedData.of(SharedOut(Examples(of, np.arange(8)), rows), memory)
        assert isinstance(shared.features, MappedFile) == isinstance(of, np.memmap)
        opened = shared.open_in(memory)
        for client, expected in enumerate(rows):
            shard = opened.open(client)
            np.testing.assert_array_equal(shard.rows, expected)
            np.testing.assert_array_equal(shard.take(np.arange(len(expected))).features, features[expected])
    part = np.load(tmp_path / "features.npy", mmap_mode="r")[2:]
    assert MappedFile.of(part) is None, "a part of a mapped array lies elsewhere in its file"


class Quick:
    """Stands for workers that are ready after some looks, and train in this process."""

    def __init__(self, worker, looks):
        self.worker, self.looks, self.started, self.trained, self.workers = worker, looks, 0, [], 2
        self.pool = self

    def start(self, count):
        self.started += 1

    @property
    def is_ready(self):
        self.looks -= 1
        return self.looks < 0

    def run_groups(self, groups, handed_out):
        for group in groups:
            self.trained += [task.client_id for task in group]
            for updates in train_group(self.worker, group):
                yield from updates


@pytest.mark.parametrize(("worthwhile", "looks", "elsewhere"), [(1e9, 0, 0), (0.0, 0, 2), (0.0, 1, 1), (0.0, 9, 0)])
def test_automatic_workers_take_over_once_they_pay_and_are_ready(monkeypatch, worthwhile, looks, elsewhere):
    monkeypatch.setattr("qiskit_fedqml.federation.executors.automatic._WORTHWHILE_SECONDS", worthwhile)
    federation = assemble(experiment(**{"federation.workers": 1}), None, None)
    tasks, worker = federation.algorithm.next_tasks(federation.initial), federation.executor.worker
    quick = Quick(worker, looks)
    automatic = AutomaticExecutor(worker, quick)
    torch.set_num_threads(2)
    updates = list(automatic.run(tasks))
    assert torch.get_num_threads() == 2
    assert quick.started == (worthwhile == 0.0)
    assert quick.trained == [task.client_id for task in tasks][len(tasks) - elsewhere :]
    assert automatic.has_taken_over == bool(elsewhere)
    if elsewhere:
        quick.looks, quick.trained = 9, []  # all of them have died, and are replaced
        list(automatic.run(tasks))
        assert quick.trained == [task.client_id for task in tasks]
    torch.set_num_threads(1)
    for update, expected in zip(updates, federation.executor.run(tasks), strict=True):
        assert same(update, expected), "one thread, whoever trains"


@pytest.mark.slow
def test_automatic_workers_give_the_same_bits(monkeypatch):
    monkeypatch.setattr("qiskit_fedqml.federation.executors.automatic._WORTHWHILE_SECONDS", 0.0)
    changes = {"federation.rounds": 30}
    found = run_federation(experiment(**changes, **{"federation.workers": "auto"}))
    alone = run_federation(experiment(**changes))
    assert [r.without_times() for r in found.rounds] == [r.without_times() for r in alone.rounds]
    assert same(found, alone)


@pytest.mark.slow
def test_a_run_is_resumed_with_other_workers_to_the_same_bits(tmp_path):
    whole = run_federation(experiment(**{"federation.rounds": 3}))
    run_federation(experiment(**{"federation.rounds": 1}), tmp_path / "run")
    extended = extend_federation(tmp_path / "run", 3, workers=2)
    assert [r.without_times() for r in extended.rounds] == [r.without_times() for r in whole.rounds]
    assert same(extended, whole)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())["manifest"]
    changed = {change["key"]: (change["after"], change["command"]) for change in manifest["changes"]}
    assert changed["federation.workers"] == ("2", "extend --rounds --workers")
    assert resume_federation(tmp_path / "run", workers="auto").experiment.federation.workers == "auto"
    with pytest.raises(errors.ConfigurationError, match=r"^`workers` must be 'auto' or a whole number"):
        resume_federation(tmp_path / "run", workers="some")
