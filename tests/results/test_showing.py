import dataclasses
import sys

import pytest

from qiskit_fedqml import RunResult, run_federation
from qiskit_fedqml.errors import ConfigurationError, ResultError
from tests.conftest import make_tiny


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    backends = {"backends": {"ideal": {"type": "aer"}, "stated": {"type": "aer", "noise": {"readout": 0.2}}}}
    changes = {"federation__rounds": 7, "backends": backends, "evaluation": {"backends": ["stated"]}}
    return run_federation(make_tiny(**changes), tmp_path_factory.mktemp("runs") / "<b>")


def test_result_is_one_line(result):
    last = result.rounds[-1]
    figures = f"testing accuracy {last.test_accuracy:.1%}, testing loss {last.test_loss:.3f}"
    assert repr(result) == f"<RunResult '<b>': 7 of 7 rounds; {figures}>"
    assert repr(RunResult.load(result.folder)) == repr(result)
    assert repr(dataclasses.replace(result, rounds=(), folder=None)) == "<RunResult: 0 of 7 rounds>"


def test_notebook_shows_the_last_rounds(result):
    html = result._repr_html_()
    assert html.count("<tr>") == 1 + 5
    assert "&lt;b&gt;" in html
    assert f"{result.rounds[-1].test_accuracy:.2%}" in html
    assert "<td" not in dataclasses.replace(result, rounds=())._repr_html_()


def test_metrics_are_shown_where_there_are_some(tmp_path):
    own = {"python": "tests.own_parts:share_of_first"}
    result = run_federation(make_tiny(evaluation={"metrics": ["accuracy", "auc", own]}))
    html = result._repr_html_()
    assert html.count("Testing accuracy") == html.count("Testing AUC") == html.count("Testing share_of_first") == 1
    assert f"{result.rounds[-1].metrics['auc']:.4f}" in html
    undefined = dataclasses.replace(result.rounds[0], metrics={})
    assert dataclasses.replace(result, rounds=(undefined,))._repr_html_().count("–") == 2
    pytest.importorskip("pandas")
    assert list(result.to_dataframe()["metrics.share_of_first"]) == [
        record.metrics["share_of_first"] for record in result.rounds
    ]


def test_table_of_rounds_and_of_clients(result):
    pytest.importorskip("pandas")
    table = result.to_dataframe()
    assert list(table.index) == list(range(1, 8))
    assert list(table["test_loss"]) == [record.test_loss for record in result.rounds]
    of_further = [record.evaluations["stated"]["test_accuracy"] for record in result.rounds]
    assert list(table["evaluations.stated.test_accuracy"]) == of_further
    assert "validation_loss" not in table, "no run has it"
    clients = result.to_dataframe(clients=True)
    assert list(clients.index) == [(record.round, c.id) for record in result.rounds for c in record.clients]
    assert list(clients["train_loss"]) == [c.train_loss for record in result.rounds for c in record.clients]
    assert dataclasses.replace(result, rounds=()).to_dataframe().empty


def test_missing_pandas_is_said(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'qiskit-fedqml\[notebook\]'"):
        result.to_dataframe()


def test_plot_and_report(result, tmp_path):
    figure = result.plot()
    assert list(figure.axes[1].lines[0].get_ydata()) == [record.test_loss for record in result.rounds]
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert result.report(tmp_path / "report") == tmp_path / "report" / "report.html"
    assert "7 of 7 rounds" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


def test_nothing_to_show_is_said(result, tmp_path):
    with pytest.raises(ResultError, match="no finished round"):
        dataclasses.replace(result, rounds=()).plot()
    with pytest.raises(ResultError, match="kept in no folder"):
        dataclasses.replace(result, folder=None).report(tmp_path)
