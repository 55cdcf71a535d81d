import json
import os
import re
import shutil
import subprocess
import sys
import time
from html import escape as html_escape
from xml.sax.saxutils import escape

import pytest
import yaml

from qiskit_fedqml import Experiment, RunResult, cli, run_federation
from qiskit_fedqml.report.naming import printable
from qiskit_fedqml.terminal import output as terminal
from tests.conftest import ROOT, TINY

FOLDERS = ("exists already", "cannot be written", "not a result folder")


def code_of(message):
    """Return the exit code that a mistake has: those of result folders and backends have their own."""
    if any(words in message for words in ("no fake device", "There is no backend", "none/x.json")):
        return 4
    return 6 if any(words in message for words in FOLDERS) else 2


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    (tmp_path / "array.yaml").write_text(
        "backends: {ideal: {type: aer}, noisy: {type: aer, noise: {readout: 0.1}, shots: 50}}\n"
        "assignment: {default: {cycle: [ideal, noisy]}}\n"
    )
    return tmp_path


def fedqml(monkeypatch, capsys, *arguments):
    """Run the command line in this process; return exit code, output and errors."""
    monkeypatch.setattr(sys, "argv", ["fedqml", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out, err = capsys.readouterr()
    return caught.value.code or 0, out, err


def test_metrics_are_shown(files, monkeypatch, capsys):
    measured = ["tiny.yaml", "--set", "evaluation.metrics=[accuracy, auc]"]
    code, out, err = fedqml(monkeypatch, capsys, "run", *measured)
    auc = RunResult.load("results/tiny").rounds[-1].metrics["auc"]
    assert code == 0
    assert re.search(rf"\n.* round 2: .*, AUC {auc:.3f}\n", err)
    assert "| Testing AUC |" in out
    assert f"| {auc:.4f} " in out
    _, out, _ = fedqml(monkeypatch, capsys, "evaluate", "results/tiny")
    assert f"%, AUC {auc:.4f} of 288 examples" in out
    _, out, _ = fedqml(monkeypatch, capsys, "compare", "results/tiny", "--json", "-")
    assert json.loads(out)["runs"]["tiny"]["metrics"]["auc"] == auc
    assert "| Testing AUC |" in (files / "results/comparison/table.md").read_text()


def test_run_resume_evaluate_and_compare(files, monkeypatch, capsys):
    code, out, err = fedqml(monkeypatch, capsys, "run", "tiny.yaml", "--backends", "array.yaml", "--set", "seed=9")
    assert code == 0
    assert "| Testing accuracy |" in out
    assert "round 2" in err
    result = RunResult.load("results/tiny")
    assert result.experiment.seed == 9
    assert {c.backend for r in result.rounds for c in r.clients} == {"ideal", "noisy"}
    lines = [json.loads(line) for line in (files / "results/tiny/rounds.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines] == [1, 2]
    needed = {
        "train_loss",
        "test_loss",
        "test_accuracy",
        "examples",
        "circuits",
        "executions",
        "bytes_up",
        "bytes_down",
    }
    assert needed | {"seconds", "clients"} <= set(lines[0])
    assert {"id", "backend", "simulator", "examples", "train_loss", "seconds", "status"} <= set(
        lines[0]["clients"]["columns"]
    )

    assert fedqml(monkeypatch, capsys, "resume", "results/tiny")[0] == 0
    code, out, _ = fedqml(monkeypatch, capsys, "evaluate", "results/tiny")
    assert code == 0
    assert f"accuracy {lines[-1]['test_accuracy']:.2%}" in out
    code, out, _ = fedqml(
        monkeypatch, capsys, "evaluate", "results/tiny", "--backend", "noisy", "--backends", "array.yaml"
    )
    assert code == 0
    (files / "backends.yaml").write_text("backends: {ideal: {type: aer}, third: {type: aer, noise: {readout: 0.3}}}")
    code, out, _ = fedqml(monkeypatch, capsys, "evaluate", "results/tiny", "--backend", "third")
    assert code == 0
    assert out.startswith("third: loss")
    table = (files / "results/tiny/evaluations/noisy.csv").read_text().splitlines()
    assert table[0] == "example,class,predicted,output 0,output 1"
    assert len(table) == 1 + json.loads((files / "results/tiny/evaluations/noisy.json").read_text())["examples"]

    (files / "other.yaml").write_text(yaml.safe_dump({**TINY, "seed": 1}))
    code, out, _ = fedqml(monkeypatch, capsys, "compare", "results/tiny", "other.yaml", "--out", "both")
    assert code == 0
    assert (files / "both/curves.png").stat().st_size > 10_000
    assert "<svg" in (files / "both/curves.svg").read_text()
    rows = (files / "both/table.md").read_text().splitlines()
    assert len(rows) == 4
    assert rows[2].startswith("| tiny")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "none.yaml"], "none.yaml: cannot be read"),
        (["run", "tiny.yaml", "--set", "federation.round=3"], "unknown key 'federation.round'; did you mean 'rounds'"),
        (["run", "tiny.yaml", "--set", "rounds"], "must be KEY=VALUE"),
        (["run", "tiny.yaml", "--set", "federation.rounds=none"], "--set federation.rounds must be a whole number"),
        (["run", "tiny.yaml", "--backends", "tiny.yaml"], "tiny.yaml is no backends file, but an experiment file"),
        (["backends", "--backends", "tiny.yaml"], "tiny.yaml is no backends file, but an experiment file"),
        (["run", "tiny.yaml", "--workers", "0"], "--workers must be 'auto' or a whole number from 1 to 1024, but got"),
        (
            ["run", "tiny.yaml", "--workers", ""],
            "--workers must be 'auto' or a whole number from 1 to 1024, but got ''",
        ),
        (["resume", "none", "--workers=-2"], "--workers must be 'auto' or a whole number from 1 to 1024, but got '-2'"),
        (["extend", "none", "--rounds", "3", "--workers", "1.5"], "--workers must be 'auto' or a whole number from 1"),
        (["run", "tiny.yaml", "--backends", "none.yaml"], "none.yaml: cannot be read"),
        (["run", "tiny.yaml", "--out", "taken"], "taken exists already"),
        (["run", "tiny.yaml", "--set", "data.classes=[0,1,2]"], "3 classes, but `model.circuit.num_qubits` is 2"),
        (["run", "tiny.yaml", "--out", "tiny.yaml/x"], "cannot be written"),
        (["resume", "none"], "none is not a result folder"),
        (["evaluate", "none"], "none is not a result folder"),
        (["compare", "tiny.yaml", "./tiny.yaml"], "Each run must be given once, but got tiny.yaml, tiny.yaml."),
        (["backends", "--backends", "none.yaml"], "none.yaml: cannot be read"),
        (
            ["backends", "--save-calibration", "FakeManila", "x.json"],
            "no fake device 'FakeManila'; did you mean 'FakeManilaV2'",
        ),
        (["backends", "--save-calibration", "FakeManilaV2", "none/x.json"], "none/x.json cannot be written"),
    ],
)
def test_mistakes_end_with_one_sentence_and_a_code_of_their_kind(files, monkeypatch, capsys, arguments, message):
    (files / "taken").mkdir()
    (files / "taken/file").touch()
    code, _, err = fedqml(monkeypatch, capsys, *arguments)
    assert code == code_of(message)
    assert message in " ".join(err.split())
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "x" * 300], "cannot be used: File name too long"),
        (["run", "tiny.yaml", "--out", "loop"], "cannot be used: Too many levels of symbolic links"),
        (["run", "tiny.yaml", "--out", "dead"], "dead cannot be written: File exists"),
        (["run", "tiny.yaml", "--backends", "taken"], "cannot be read: it is a folder"),
        (["run", "pipe", "--out", "new"], "cannot be read: it is not a file"),
        (["report", "x" * 300], "cannot be used: File name too long"),
        (["report", "run", "--out", "taken/file"], "cannot be written: Not a directory"),
        (["report", "run", "--out", "in_the_way"], "figures cannot be written: File exists"),
        (["compare", "run", "--out", "dead"], "dead cannot be written: File exists"),
        (["compare", "run", "--out", "in_the_way"], "table.md cannot be written: Is a directory"),
        (["compare", "tiny.yaml", "--out", "taken/file/x"], "cannot be written: Not a directory"),
        (["evaluate", "run", "--backend", "x" * 3000], "There is no backend 'xxx"),
        (["evaluate", "closed"], "evaluations cannot be written: File exists"),
        (
            ["resume", "run", "--budget", "manila=60"],
            "The run has no devices, so there is nothing that could have a budg",
        ),
        (["resume", "run", "--budget", "nan"], "--budget must be [NAME=]SECONDS, with seconds above 0"),
        (["resume", "run", "--budget", "x=inf"], "--budget must be [NAME=]SECONDS"),
        (["resume", "run", "--budget=-1"], "--budget must be [NAME=]SECONDS"),
        (["resume", "run", "--budget", "0"], "--budget must be [NAME=]SECONDS"),
        (["resume", "run", "--budget", "x="], "--budget must be [NAME=]SECONDS"),
        (["resume", "run", "--budget", "x" * 5000], "--budget must be [NAME=]SECONDS"),
        (["plan", "tiny.yaml", "--queue-seconds", "nan"], "must be a number of seconds from 0, but got nan"),
        (["plan", "tiny.yaml", "--queue-seconds", "inf"], "must be a number of seconds from 0, but got inf"),
        (["plan", "tiny.yaml", "--queue-seconds=-1"], "must be a number of seconds from 0, but got -1"),
        (["backends", "--save-calibration", "FakeManilaV2", "x" * 300], "cannot be used: File name too long"),
        (["citation", "taken"], "taken is not a result folder"),
    ],
)
def test_wrong_paths_and_numbers_end_with_one_sentence(files, monkeypatch, capsys, run_once, arguments, message):
    (files / "loop").symlink_to("loop")
    (files / "dead").symlink_to("nowhere/at/all")
    os.mkfifo(files / "pipe")
    for folder in ("taken", "in_the_way", "in_the_way/table.md"):
        (files / folder).mkdir()
    for name in ("taken/file", "in_the_way/figures"):
        (files / name).touch()
    for name in ("run", "closed"):
        shutil.copytree(run_once, files / name)
    (files / "closed" / "evaluations").touch()
    code, _, err = fedqml(monkeypatch, capsys, *arguments)
    assert code == code_of(message)
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert len(err) < 1000


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    """The result folder of a tiny run."""
    folder = tmp_path_factory.mktemp("once") / "run"
    run_federation(Experiment.model_validate({**TINY, "federation": {**TINY["federation"], "rounds": 1}}), folder)
    return folder


def test_a_plan_is_printed_as_json_alone(files, monkeypatch, capsys):
    machines = {"ideal": {"type": "aer"}, "manila": {"type": "ibm", "device": "FakeManilaV2", "shots": 16}}
    array = {"backends": machines, "assignment": {"default": "manila"}}
    (files / "device.yaml").write_text(yaml.safe_dump({**TINY, "backends": array}))
    code, out, _ = fedqml(monkeypatch, capsys, "plan", "device.yaml", "--json", "-")
    assert code == 0
    assert json.loads(out)["total"]["jobs"] > 0
    assert not (files / "-").exists()
    code, table, _ = fedqml(monkeypatch, capsys, "plan", "device.yaml", "--json", "plan.json")
    assert "| Backend |" in table
    written = json.loads((files / "plan.json").read_text())
    assert len(written["items"]) == len(json.loads(out)["items"]) > 0


def test_runs_of_the_same_name_are_compared_under_longer_names(files, monkeypatch, capsys, run_once):
    (files / "sub").mkdir()
    small = {**TINY, "federation": {**TINY["federation"], "rounds": 1}}
    for name in ("tiny.yaml", "sub/tiny.yaml"):
        (files / name).write_text(yaml.safe_dump(small))
    for name in ("A", "B"):
        shutil.copytree(run_once, files / name / "result")
    given = ("A/result", "B/result", "sub/tiny.yaml", "tiny.yaml")
    code, _, err = fedqml(monkeypatch, capsys, "compare", *given, "--out", "all")
    assert code == 0, err
    rows = (files / "all" / "table.md").read_text().splitlines()[2:]
    names = [row.split(" | ")[0].removeprefix("| ").strip() for row in rows]
    assert names == ["A/result", "B/result", "sub/tiny", f"{files.name}/tiny"]
    assert (files / "all" / "sub" / "tiny" / "model.safetensors").exists()


ODD_NAMES = ("$x_{1}$ & $\\frac{", "_hidden", "a|b", "[red]x", "new\nline", "\udcff", "<b>x")


def test_odd_names_are_shown_as_they_are(files, monkeypatch, capsys, run_once):
    for name in ODD_NAMES:
        shutil.copytree(run_once, files / name)
    code, _, err = fedqml(monkeypatch, capsys, "compare", *ODD_NAMES, "--out", "all")
    assert (code, err) == (0, "")
    table = (files / "all" / "table.md").read_text().splitlines()
    assert len(table) == 2 + len(ODD_NAMES)
    assert len({row.replace("\\|", "").count("|") for row in table}) == 1
    drawn = (files / "all" / "curves.svg").read_text()
    assert all(escape(printable(name)) in drawn for name in ODD_NAMES)
    assert fedqml(monkeypatch, capsys, "report", *ODD_NAMES[1:4])[0] == 0
    page = (files / "report" / "report.html").read_text().replace("<wbr>", "")
    assert all(html_escape(printable(name)) in page for name in ODD_NAMES[1:4])


def test_names_that_look_like_markup_run_and_are_evaluated(files, monkeypatch, capsys):
    (files / "[red]x.yaml").write_text(yaml.safe_dump({**TINY, "federation": {**TINY["federation"], "rounds": 1}}))
    code, _, err = fedqml(monkeypatch, capsys, "run", "[red]x.yaml")
    assert code == 0
    assert "[red]x: round 1: " in err
    assert fedqml(monkeypatch, capsys, "evaluate", "results/[red]x")[0] == 0


def test_a_result_folder_needs_a_name_of_text_and_a_file_does_not(files, monkeypatch, capsys):
    (files / "\udcff.yaml").write_text(yaml.safe_dump({**TINY, "federation": {**TINY["federation"], "rounds": 1}}))
    code, _, err = fedqml(monkeypatch, capsys, "run", "\udcff.yaml")
    assert (code, err) == (6, "fedqml: results/\\udcff cannot be written: its name is not UTF-8 text.\n")
    assert not (files / "results").exists()
    assert fedqml(monkeypatch, capsys, "run", "\udcff.yaml", "--out", "new")[0] == 0


def test_odd_names_in_a_terminals_table(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    terminal.print_table([{"Scheme": "[red]x[/]", "Tested on": "[/nothing]"}])
    out = capsys.readouterr().out
    assert "[red]x[/]" in out
    assert "[/nothing]" in out


def test_unknown_options_end_with_code_2(monkeypatch, capsys):
    assert fedqml(monkeypatch, capsys, "run", "x.yaml", "--speed", "9")[0] == 2


def test_backends_table_check_and_calibration(files, monkeypatch, capsys):
    code, out, _ = fedqml(monkeypatch, capsys, "backends", "--backends", "array.yaml")
    assert code == 0
    assert "noisy" in out
    assert "stated rates" in out
    code, out, _ = fedqml(monkeypatch, capsys, "backends", "--backends", "array.yaml", "--check")
    assert code == 0
    assert "NO" not in out
    assert fedqml(monkeypatch, capsys, "backends", "--save-calibration", "FakeManilaV2", "m.json")[0] == 0
    (files / "saved.yaml").write_text("backends: {ideal: {type: aer}, m: {type: aer, noise: {calibration: m.json}}}")
    code, _, _ = fedqml(
        monkeypatch, capsys, "backends", "--backends", "saved.yaml", "--save-calibration", "m", "again.json"
    )
    assert code == 0
    assert (files / "again.json").read_text() == (files / "m.json").read_text()
    code, _, err = fedqml(
        monkeypatch, capsys, "backends", "--backends", "saved.yaml", "--save-calibration", "ideal", "i.json"
    )
    assert code == 4
    assert "has no calibration" in err


def test_interrupted_by_the_user(files, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("qiskit_fedqml.federation.executors.groups.train_client", interrupt)
    code, _, err = fedqml(monkeypatch, capsys, "run", "tiny.yaml", "--out", "mine")
    assert code == 130
    assert "`fedqml resume mine` continues" in err
    monkeypatch.undo()
    monkeypatch.chdir(files)
    assert fedqml(monkeypatch, capsys, "resume", "mine")[0] == 0


def test_help_comes_without_heavy_imports():
    script = "import sys; sys.argv = ['fedqml', '--help']; from qiskit_fedqml.cli import main\n"
    script += "try: main()\nexcept SystemExit: pass\n"
    script += "print([m for m in ('torch', 'qiskit', 'qiskit_aer', 'numpy', 'matplotlib') if m in sys.modules])"
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip().splitlines()[-1] == "[]"
    assert "compare" in done.stdout
    assert time.perf_counter() - started < 30  # a hang; how fast it is, is measured elsewhere


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_torchs_threads_sleep_while_they_wait_unless_the_user_says_otherwise(given, expected):
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    script = "import os, qiskit_fedqml; print(os.environ['OMP_WAIT_POLICY'])"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_progress_bars_on_a_terminal(files):
    from io import StringIO

    from rich.console import Console

    from qiskit_fedqml import load_experiment, run_federation
    from qiskit_fedqml.progress.bars import ProgressBars

    screen = StringIO()
    with ProgressBars("tiny", Console(file=screen, force_terminal=True, width=160)) as bars:
        bars.features_extracted("vgg16 features", 3, 7)
        run_federation(load_experiment("tiny.yaml"), observer=bars)
    shown = screen.getvalue()
    assert "tiny: preparing" in shown.split("tiny: rounds")[0], "a line stands there before anything is done"
    assert "tiny: rounds" in shown
    assert "accuracy" in shown
    assert "3/7" in shown


def test_tables_fit_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    row = {"Scheme": "planes_vs_cars", "Tested on": "ideal", "Training loss": "0.4033", "Testing accuracy": "94.60%"}
    terminal.print_table([row])
    out = capsys.readouterr().out
    assert "94.60%" in out
    assert "accuracy" in out


def test_a_table_that_is_too_wide_is_divided(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    rows = [
        {
            "Scheme": "a",
            "Seeds": seeds,
            "Tested on": where,
            **{f"Testing metric{k}": f"0.{k}000 ± 0.1" for k in range(9)},
        }
        for seeds, where in (("3", "ideal"), ("", "noisy"))
    ]
    terminal.print_table(rows)
    lines = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("ideal" in line for line in lines) > 1, "each part says what its rows are of"
    assert [sum(f"0.{k}000 ± 0.1" in line for line in lines) for k in range(9)] == [2] * 9, "no cell is cut or folded"
    terminal.print_table(rows[:1])
    assert "Seeds" in capsys.readouterr().out


def test_module_runs_as_installed_command(files):
    command = [os.path.join(os.path.dirname(sys.executable), "fedqml"), "run", "none.yaml"]
    if not os.path.exists(command[0]):
        pytest.skip("the command is not installed beside this Python")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
