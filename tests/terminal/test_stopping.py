"""Ctrl-C and SIGTERM end a command in order, with the code of the signal."""

import os
import signal

import pytest
import yaml

from qiskit_fedqml import RunResult
from qiskit_fedqml.terminal import stopping
from tests.conftest import TINY

TRAIN = "qiskit_fedqml.federation.executors.groups.train_client"


@pytest.fixture
def signals(monkeypatch):
    """Let signals have Python's own handlers before the command, and give them back what they had."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    stopping._received.clear()
    stopping.forget_interruptions()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_stopped_says_how_to_resume(tmp_path, monkeypatch, fedqml, signals, number, code):
    from qiskit_fedqml.federation.executors import groups

    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    original, left = groups.train_client, [3]

    def train(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)  # somebody is impatient
        return original(*arguments, **options)

    monkeypatch.setattr(TRAIN, train)
    found, out, err = fedqml("run", "tiny.yaml")
    assert (found, out) == (code, "")
    assert "fedqml: `fedqml resume results/tiny` continues from the last finished round." in err
    assert len(RunResult.load("results/tiny").rounds) == 1
    assert fedqml("resume", "results/tiny")[0] == 0
    assert RunResult.load("results/tiny").is_complete


def test_the_third_signal_ends_the_process_at_once(monkeypatch, signals):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    with pytest.raises(KeyboardInterrupt), stopping.stoppable():
        os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    assert ended == []
    os.kill(os.getpid(), signal.SIGINT)
    assert ended == [143]


def test_signals_that_are_handled_otherwise_are_left_alone(signals):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stopping.stoppable():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is stopping._stop
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
