"""How a run that stopped is resumed: what the command says, and when it offers another budget."""

import pytest
import typer
import yaml

from qiskit_fedqml.backends.devices.machine import JobStatus
from qiskit_fedqml.backends.devices.request import JobWaiting
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.errors import AccountLimitError, BackendError, BudgetError, ConfigurationError, JobError
from qiskit_fedqml.federation.executors import groups
from qiskit_fedqml.progress.bars import ProgressBars
from qiskit_fedqml.progress.lines import ProgressLines
from qiskit_fedqml.terminal.arguments import parse_budget
from qiskit_fedqml.terminal.resuming import resumable
from tests.conftest import TINY


@pytest.mark.parametrize(
    ("error", "option", "code"),
    [
        (BudgetError("A budget is spent."), " --budget [NAME=]SECONDS", 5),
        (AccountLimitError("The account is spent."), "", 5),
        (BackendError("The device is offline."), "", 4),
        (JobError("The job failed."), "", 4),
    ],
)
def test_another_budget_is_offered_where_a_budget_was_the_cause(tmp_path, capsys, error, option, code):
    def fail():
        with resumable(tmp_path):
            (tmp_path / "run.json").write_text("{}")
            (tmp_path / "config.yaml").write_text("")
            (tmp_path / "journal.sqlite").write_text("damaged, which must not hide what has ended the run" * 100)
            raise error

    with pytest.raises(typer.Exit) as ended:
        fail()
    assert ended.value.exit_code == code
    told = capsys.readouterr().err.splitlines()
    assert told == [
        f"fedqml: {error}",
        f"fedqml: `fedqml resume {tmp_path}{option}` continues from the last finished round.",
    ]


def test_run_that_has_not_begun_cannot_be_resumed(tmp_path, capsys):
    with pytest.raises(typer.Exit), resumable(tmp_path):
        raise BackendError("There is no such device.")
    assert capsys.readouterr().err == "fedqml: There is no such device.\n"


@pytest.mark.parametrize(
    ("text", "budget"), [("300", (None, 300.0)), ("kingston=60", ("kingston", 60.0)), ("a=b=1e3", ("a=b", 1000.0))]
)
def test_budget(text, budget):
    assert parse_budget(text) == budget


@pytest.mark.parametrize(
    "text", ["", "x", "kingston", "kingston=", "nan", "inf", "-inf", "0", "kingston=-1", "x" * 9999]
)
def test_budget_that_is_none(text):
    with pytest.raises(ConfigurationError, match=r"--budget must be \[NAME=\]SECONDS, with seconds above 0") as error:
        parse_budget(text)
    assert len(str(error.value)) < 200


def test_jobs_are_shown_while_they_are_prepared_and_sent():
    from io import StringIO

    from rich.console import Console

    screen, key = StringIO(), JobKey(1, 0, 2, "train")
    with ProgressBars("run", Console(file=screen, force_terminal=True, width=160)) as bars:
        bars.round_started(1, 3, 3)
        for state in ("preparing", "sending"):
            bars.job_waiting(JobWaiting(key, "kingston", "ibm_kingston", "", JobStatus(state), 0.0))
            bars._bars.refresh()
        bars.job_waiting(JobWaiting(key, "kingston", "ibm_kingston", "j1", JobStatus("queued", pending=4), 61.0))
        bars._bars.refresh()
    shown = screen.getvalue()
    for text in ("preparing the job", "sending the job", "job j1 queued, 4 waiting on the device, 1 min"):
        assert f"client 0, train step 2 on kingston: {text}" in shown


def test_lines_without_a_terminal_are_only_of_jobs_that_wait():
    from io import StringIO

    screen, key = StringIO(), JobKey(1, 0, 2, "train")
    with ProgressLines("run", screen) as bars:
        bars.round_started(1, 3, 3)
        for state, job_id in (("preparing", ""), ("sending", ""), ("queued", "j1"), ("done", "j1")):
            bars.job_waiting(JobWaiting(key, "kingston", "ibm_kingston", job_id, JobStatus(state), 0.0))
    (line,) = screen.getvalue().splitlines()
    assert "job j1 queued" in line


def test_an_unfinished_run_keeps_its_name_and_is_resumed_before_it_is_replaced(tmp_path, fedqml, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "long.yaml").write_text(yaml.safe_dump(TINY))
    original, left = groups.train_client, [3]  # of two trainings a round

    def train(*arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    name = "qiskit_fedqml.federation.executors.groups.train_client"
    monkeypatch.setattr(name, train)
    code, _, err = fedqml("run", "long.yaml", "--out", "results/k100", "--set", "federation.rounds=3")
    assert code == 130
    assert "k100: round 1: " in err
    monkeypatch.setattr(name, original)
    code, _, err = fedqml("run", "long.yaml", "--out", "results/k100")
    assert code == 6
    assert (
        "results/k100 holds a run that is not finished: `fedqml resume results/k100` continues it; or choose "
        "another folder, or overwrite it (--overwrite)." in err
    )
    _, _, err = fedqml("evaluate", "results/k100")
    assert "The run is not finished: `fedqml resume results/k100` continues it." in err
    code, out, err = fedqml("resume", "results/k100")
    assert code == 0, err
    assert err.splitlines()[0] == "k100: continues after round 1 of 3"
    assert "k100: round 2: " in err
    assert "| k100 " in out
    assert "continues" not in fedqml("resume", "results/k100")[2], "it has all its rounds"
