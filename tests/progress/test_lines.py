"""A round's line and its bar."""

import dataclasses
from io import StringIO

import pytest
from rich.console import Console

from qiskit_fedqml import run_federation
from qiskit_fedqml.progress.bars import ProgressBars
from qiskit_fedqml.progress.lines import ProgressLines, figures_of
from tests.conftest import make_tiny


@pytest.fixture(scope="module")
def record():
    metrics = {"accuracy": 0.5, "auc": 0.98765, "huge": -2e9, "f1": 0.25, "small": 1e-9, "zero": 0.0}
    return dataclasses.replace(run_federation(make_tiny(federation__rounds=1)).rounds[0], metrics=metrics)


def test_a_rounds_line_has_the_first_metrics_and_says_how_many_more_there_are(record):
    screen = StringIO()
    ProgressLines("mine", screen).round_finished(record)
    figures = f"test {record.test_loss:.3f}, accuracy {record.test_accuracy:.1%}"
    assert screen.getvalue().endswith(f"{figures}, AUC 0.988, huge -2.000e+09, F1 0.250, 2 more\n")
    plain = dataclasses.replace(record, metrics={"accuracy": 0.5})
    assert figures_of(plain).endswith(figures)


@pytest.mark.parametrize(("width", "shown"), [(90, "%"), (118, "%, AUC 0.988, 4 more"), (160, "F1 0.250, 2 more")])
def test_bars_have_metrics_where_there_is_room(record, width, shown):
    screen = Console(file=StringIO(), width=width)
    bars = ProgressBars("mine", screen)
    bars.round_started(1, 3, 2)
    bars.round_finished(record)
    screen.print(bars._bars.get_renderable())
    first = screen.file.getvalue().splitlines()[0]
    assert first.rstrip().endswith(shown)
    assert "━━" in first
