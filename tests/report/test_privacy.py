"""What a report says of privacy, and that simulated noise is marked wherever ε is."""

from dataclasses import replace

import pytest

from qiskit_fedqml import run_federation
from qiskit_fedqml.report.contents import collect
from qiskit_fedqml.report.curves import round_rows
from qiskit_fedqml.report.drawing import style
from qiskit_fedqml.report.overview import run_facts
from qiskit_fedqml.report.page import write_report
from qiskit_fedqml.report.privacy import privacy_panels
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.terminal.summaries import summary_of
from tests.conftest import make_tiny


def private(randomness, **overrides):
    clients = {"noise_multiplier": 1.2, "max_norm": 0.3}
    section = {"delta": 1e-3, "epsilon": 9.5, "randomness": randomness, "clients": clients}
    shape = {"federation__on_client_failure": "skip", "aggregation__weights": "uniform", "federation__rounds": 3}
    return make_tiny(privacy=section, **shape | overrides)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    parent = tmp_path_factory.mktemp("private")
    made = {name: run_federation(private(name), parent / name) for name in ("system", "simulated")}
    return made | {"plain": run_federation(make_tiny(), parent / "plain")}


def test_words_say_who_is_protected_by_what(runs):
    epsilon = f"{runs['system'].final.epsilon:.4g}"
    spent = f"Privacy: (ε = {epsilon}, δ = 0.001) for each client"
    assert runs["system"].privacy_in_words == f"{spent}, noise from the operating system."
    simulated = f"{spent}, with simulated noise from the run's seed: nobody is protected."
    assert runs["simulated"].privacy_in_words == simulated
    assert runs["plain"].privacy_in_words == ""
    assert simulated in run_facts(runs["simulated"])
    assert simulated.rstrip(".") in repr(runs["simulated"])
    assert "on average 2 of 4 clients a round" in run_facts(runs["system"])
    assert "Privacy" not in run_facts(runs["plain"])


def test_the_curve_has_ceilings_and_says_whose_noise_is_simulated(runs):
    with style():
        (panel,) = privacy_panels(runs)
    lines = {line.get_label(): line for line in panel.axis.lines}
    for name in ("system", "simulated"):
        assert list(lines[name].get_ydata()) == [record.epsilon for record in runs[name].rounds]
    assert "plain" not in lines
    assert [line.get_ydata()[0] for line in panel.axis.lines if line.get_label().startswith("_")] == [9.5, 9.5]
    assert panel.note == (
        "δ = 0.001. Dotted: the ceiling (privacy.epsilon). Simulated noise from the run's seed, so nobody is "
        "protected: simulated. Without privacy, so not shown: plain."
    )
    texts = [mark.text for mark in panel.marks]
    assert any(text.startswith("simulated, simulated noise, round 1: ε = ") for text in texts)
    assert set(panel.legend) == {"system", "simulated"}


def test_tables_mark_what_is_simulated(runs):
    epsilon = f"{runs['system'].final.epsilon:.4g}"
    rows = {row["Scheme"]: row["ε"] for row in table_rows(runs)}
    assert rows == {"system": epsilon, "simulated": f"{epsilon}, simulated", "plain": "–"}
    assert [row["ε"] for row in round_rows({"simulated": runs["simulated"]})][-1] == f"{epsilon}, simulated"
    assert "ε" not in table_rows({"plain": runs["plain"]})[0]
    summary = summary_of(runs["simulated"], runs["simulated"].folder)["privacy"]
    assert summary == {
        "protects": "clients",
        "epsilon": runs["simulated"].rounds[-1].epsilon,
        "delta": 1e-3,
        "is_simulated": True,
    }
    assert summary_of(runs["plain"], runs["plain"].folder)["privacy"] is None


def test_the_page_has_it(runs, tmp_path):
    page = write_report([run.folder for run in runs.values()], tmp_path / "report").read_text()
    assert "Privacy spent by round" in page
    assert page.count("nobody is protected") >= 2
    assert (tmp_path / "report" / "figures" / "privacy.png").exists()


def test_a_run_of_empty_rounds_is_reported(tmp_path):
    federation = {"federation__clients_per_round": 1, "federation__rounds": 6, "aggregation__weights": "examples"}
    run = run_federation(private("simulated", **federation), tmp_path / "run")
    empty = tuple(record for record in run.rounds if not record.clients)
    assert empty
    with style():
        assert collect({"run": replace(run, rounds=empty)}).panels.curves
        assert collect({"run": run}).panels.clients
