"""Two processes, one folder: the second is refused and destroys nothing; Ctrl-C comes through and leaves no lock."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from qiskit_fedqml import RunResult, resume_federation, run_federation
from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.federation.interruption import check_interrupted, interruptible
from qiskit_fedqml.federation.runs.resuming import extend_federation
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.writer import RunWriter
from tests.conftest import ROOT
from tests.federation.test_federation import same
from tests.stopping import Interrupt, StopAfter


class Meanwhile(StopAfter):
    """Does something in the middle of a round."""

    def __init__(self, action):
        super().__init__(0, 1)
        self.action = action

    def client_finished(self, client):
        self.action()


def test_folder_is_locked_before_anything_else_happens(tiny, tmp_path):
    out = tmp_path / "new" / "run"
    first = RunWriter(RunFolder(out))
    first.claim(overwrite=False)
    for work in (lambda: run_federation(tiny(), out), lambda: run_federation(tiny(), out, overwrite=True)):
        with pytest.raises(ResultError, match="another process works on it"):
            work()
    first.release()
    assert not (tmp_path / "new").exists()  # nothing was written, so nothing is left
    assert run_federation(tiny(), out).is_complete


def test_run_that_comes_second_destroys_nothing(tiny, tmp_path):
    refused = []

    def run_too():
        with pytest.raises(ResultError, match="another process works on it") as error:
            run_federation(tiny(seed=99), tmp_path / "run", overwrite=True)
        refused.append(error)

    result = run_federation(tiny(), tmp_path / "run", observer=Meanwhile(run_too))
    assert refused
    same(result, RunResult.load(tmp_path / "run"))
    with pytest.raises(ResultError, match="exists already"):
        run_federation(tiny(seed=99), tmp_path / "run")


def test_run_that_cannot_begin_leaves_no_folder(tiny, tmp_path):
    with pytest.raises(ConfigurationError):
        run_federation(tiny(data__classes=[0, 1, 2]), tmp_path / "a" / "run")
    assert not (tmp_path / "a").exists()


def test_lock_is_held_until_the_checkpoint_is_written(tiny, tmp_path, monkeypatch):
    from qiskit_fedqml.results.checkpoint import Checkpoint

    original, seen = Checkpoint.save, []

    def slowly(self, path):
        time.sleep(0.3)
        with pytest.raises(ResultError, match="another process works on it"):
            RunWriter(RunFolder(tmp_path / "run")).lock()
        original(self, path)
        seen.append(path)

    monkeypatch.setattr(Checkpoint, "save", slowly)
    with pytest.raises(Interrupt):
        run_federation(tiny(federation__rounds=3), tmp_path / "run", observer=StopAfter(1, -1))
    assert seen
    assert len(RunResult.load(tmp_path / "run").rounds) == 1
    monkeypatch.undo()
    same(resume_federation(tmp_path / "run"), run_federation(tiny(federation__rounds=3)))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interruption_that_python_drops_comes_through(tiny):
    """Ctrl-C in a weak reference's callback is printed and forgotten by Python; the run still stops."""
    import weakref

    class Thing:
        pass

    def press():
        thing = Thing()
        weakref.finalize(thing, lambda: None)
        reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT) or time.sleep(0.01))
        del thing
        assert reference() is None

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background Ctrl-C is ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            run_federation(tiny(federation__rounds=50), observer=Meanwhile(press))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_handlers_of_others_are_left_alone():
    def mine(*_):
        pass

    before = signal.signal(signal.SIGINT, mine)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)
    thread = threading.Thread(target=lambda: interruptible().__enter__())
    thread.start()
    thread.join()
    check_interrupted()


@pytest.mark.slow
def test_two_runs_at_once_on_one_new_folder(tmp_path):
    """As two shells would: one of them runs, the other one is told."""
    script = "from qiskit_fedqml.cli import main; main()"
    arguments = ["run", "experiments/digits.yaml", "--out", str(tmp_path / "run"), "--set", "federation.rounds=2"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, *arguments, "--set", f"seed={seed}"],
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for seed in (1, 2)
    ]
    errors = [process.communicate(timeout=400)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 6], errors
    loser = codes.index(6)
    assert "another process works on it" in errors[loser] or "exists already" in errors[loser]
    assert RunResult.load(tmp_path / "run").experiment.seed == 2 - loser


def nothing_left(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["mine.txt", "calibrations/mine.json", "config.yaml", "run.lockout/x"])
def test_a_folder_of_somebody_else_is_refused_and_left_as_it_was(tiny, tmp_path, name, overwrite):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("{mine: 1}")
    before = nothing_left(tmp_path)
    with pytest.raises(ResultError, match=r"exists already and is not a result folder; choose another folder\.$"):
        run_federation(tiny(), tmp_path, overwrite=overwrite)
    for work in (resume_federation, lambda folder: extend_federation(folder, 9)):
        with pytest.raises(ResultError):
            work(tmp_path)
    assert nothing_left(tmp_path) == before


def test_a_run_that_cannot_begin_leaves_an_empty_folder_empty(tiny, tmp_path):
    with pytest.raises(ConfigurationError):
        run_federation(tiny(data__classes=[0, 1, 2]), tmp_path)
    assert nothing_left(tmp_path) == []


def test_overwriting_is_offered_only_where_it_works(tiny, tmp_path):
    run_federation(tiny(federation__rounds=1), tmp_path / "run")
    with pytest.raises(ResultError, match=r"run exists already; .* or overwrite it \(--overwrite\)"):
        run_federation(tiny(), tmp_path / "run")
    assert run_federation(tiny(), tmp_path / "run", overwrite=True).is_complete


def test_what_was_killed_before_it_had_begun_is_begun_again(tiny, tmp_path):
    writer = RunWriter(RunFolder(tmp_path / "run"))
    writer.claim(overwrite=False)
    (tmp_path / "run" / "calibrations").mkdir()
    (tmp_path / "run" / "run.json.part").touch()
    writer._lock.release()  # as the system does
    assert run_federation(tiny(), tmp_path / "run").is_complete
