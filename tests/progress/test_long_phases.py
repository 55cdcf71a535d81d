"""What is shown where progress is lines: phases that take long, and who has which machine."""

import pytest

from qiskit_fedqml.progress.lines import ProgressLines
from qiskit_fedqml.progress.size import RunSize


@pytest.fixture
def clock(monkeypatch, _patient_lines):
    """Return a list whose last number is the time."""
    times = [0.0]
    monkeypatch.setattr("qiskit_fedqml.progress.lines.time.perf_counter", lambda: times[-1])
    monkeypatch.setattr("qiskit_fedqml.progress.lines._LONG_SECONDS", 5.0)
    return times


def said(capsys):
    return capsys.readouterr().err.splitlines()


def test_a_phase_has_a_line_once_it_takes_long(clock, capsys):
    lines = ProgressLines("tiny")
    for seconds in (0.0, 4.0, 5.1, 9.0, 30.0):
        clock.append(seconds)
        lines.preparing("compiling loops", 0, 0)
    assert said(capsys) == ["tiny: compiling loops"]
    lines.preparing("loading", 1, 100)
    clock.append(33.0)
    lines.preparing("loading", 10, 100)
    assert said(capsys) == [], "it takes no time"
    clock.append(40.0)
    lines.preparing("loading", 20, 100)
    assert said(capsys) == ["tiny: loading"]
    clock.append(51.0)
    lines.preparing("loading", 50, 100)
    assert said(capsys) == ["tiny: loading: 50 of 100, 21.0 s left"]


def test_the_clients_of_each_machine_are_counted():
    size = RunSize(100, 20, ("a", "b"), 10, 10, 10, 5, {"ideal": 5, "manila": 5})
    assert "; 10 clients with 10 each, 5 on ideal, 5 on manila; " in str(size)
    assert " on " not in str(RunSize(100, 20, ("a", "b"), 10, 10, 10, 5, {"ideal": 10}))
    many = RunSize(100, 20, ("a", "b"), 10, 10, 10, 5, {f"m{k}": 1 for k in range(10)})
    assert "1 on m5, … (4 more); " in str(many)
