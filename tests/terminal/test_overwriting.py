"""Commands replace only what they have written of the same thing, unless --overwrite is given."""

import json
import shutil

import pytest
import yaml

from qiskit_fedqml import run_federation
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.files import check_replaceable, write_new
from tests.conftest import TINY, make_tiny

MACHINES = {
    "ideal": {"type": "aer"},
    "manila": {"type": "ibm", "device": "FakeManilaV2", "shots": 16},
    "noisy": {"type": "aer", "noise": {"readout": 0.1}, "shots": 50},
}


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("once") / "run"
    run_federation(make_tiny(federation__rounds=1), folder)
    return folder


@pytest.fixture
def files(tmp_path, monkeypatch, run_once):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        shutil.copytree(run_once, tmp_path / name)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    array = {"backends": MACHINES, "assignment": {"default": "manila"}}
    (tmp_path / "device.yaml").write_text(yaml.safe_dump({**TINY, "backends": array}))
    (tmp_path / "backends.yaml").write_text(yaml.safe_dump({"backends": MACHINES}))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "taken"),
    [
        (["backends", "--save-calibration", "FakeManilaV2", "m.json"], "m.json"),
        (["backends", "--map", "manila"], "manila.svg"),
        (["backends", "--map", "manila", "--out", "maps"], "maps/manila.png"),
        (["plan", "device.yaml", "--json", "plan.json"], "plan.json"),
        (["plan", "device.yaml", "--fit", "900", "--json", "plan.json"], "plan.json"),
        (["report", "one"], "report/report.html"),
        (["report", "one"], "report/figures/client_losses_one.svg"),
        (["compare", "one", "two"], "results/comparison/table.md"),
        (["compare", "one", "two"], "results/comparison/curves.svg"),
        (["compare", "tiny.yaml", "two", "--out", "both"], "both/curves.png"),
        (["evaluate", "one"], "one/evaluations/ideal.json"),
        (["evaluate", "one", "--backend", "manila"], "one/evaluations/manila.csv"),
    ],
)
def test_what_is_not_the_commands_own_stays(files, fedqml, arguments, taken):
    path = files / taken
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    before = sorted(files.rglob("*"))
    code, _, err = fedqml(*arguments)
    assert (code, len(err.splitlines())) == (6, 1), err
    assert f"{taken} exists already; " in err
    assert err.endswith(", or replace it (--overwrite).\n")
    assert path.read_text() == "mine"
    assert {p for p in files.rglob("*") if p.is_file()} <= set(before), "nothing else is written"
    assert fedqml(*arguments, "--overwrite")[0] == 0
    assert path.read_bytes() != b"mine"


@pytest.mark.parametrize(
    "arguments",
    [
        ["backends", "--save-calibration", "FakeManilaV2", "m.json"],
        ["backends", "--map", "manila"],
        ["plan", "device.yaml", "--json", "plan.json"],
        ["report", "one"],
        ["compare", "one", "two"],
        ["evaluate", "one"],
        ["evaluate", "one", "--backend", "noisy"],
    ],
)
def test_the_same_is_written_again(files, fedqml, arguments):
    assert fedqml(*arguments)[::2] == (0, "")
    before = {path: path.read_bytes() for path in files.rglob("*") if path.is_file()}
    assert fedqml(*arguments)[::2] == (0, "")
    if arguments[0] != "plan":  # its sizes of compressed circuits vary by some bytes
        assert {path: path.read_bytes() for path in files.rglob("*") if path.is_file()} == before


def test_a_plan_is_the_same_whatever_its_circuits_compress_to(files, fedqml):
    assert fedqml("plan", "device.yaml", "--json", "plan.json")[::2] == (0, "")
    plan = json.loads((files / "plan.json").read_text())
    plan["total"]["payload_bytes"] += 9
    (files / "plan.json").write_text(json.dumps(plan))
    assert fedqml("plan", "device.yaml", "--json", "plan.json")[::2] == (0, "")
    plan["total"]["jobs"] += 1
    (files / "plan.json").write_text(json.dumps(plan))
    assert fedqml("plan", "device.yaml", "--json", "plan.json")[0] == 6


@pytest.mark.slow
def test_reports_and_comparisons_grow_but_do_not_drop_a_run(files, fedqml):
    for command, page in (("report", "report/report.html"), ("compare", "results/comparison/table.md")):
        assert fedqml(command, "one")[0] == 0
        assert fedqml(command, "one", "two")[::2] == (0, "")
        text = (files / page).read_text()
        assert names_two(text)
        code, _, err = fedqml(command, "one")
        assert code == 6
        assert page in err
        assert "--overwrite" in err
        assert (files / page).read_text() == text
        assert fedqml(command, "one", "--overwrite")[0] == 0
        assert not names_two((files / page).read_text())


def names_two(text):
    """Tell whether a page or a table names the run "two", and does not only use the word."""
    return any(cell in text for cell in ("| two", ">two<"))


def test_a_page_that_only_links_like_a_report_has_no_figures_removed(files, fedqml):
    (files / "report" / "figures").mkdir(parents=True)
    (files / "report" / "figures" / "mine.png").write_text("mine")
    (files / "report" / "report.html").write_text('<a href="figures/mine.png">PNG</a>')
    assert fedqml("report", "one")[0] == 6
    assert fedqml("report", "one", "--overwrite")[0] == 0
    assert (files / "report" / "figures" / "mine.png").read_text() == "mine"


def test_another_machine_of_the_same_name_replaces_no_evaluation(files, fedqml, monkeypatch):
    other = {**MACHINES, "noisy": {"type": "aer", "noise": {"readout": 0.2}, "shots": 50}}
    (files / "other.yaml").write_text(yaml.safe_dump({"backends": other}))
    assert fedqml("evaluate", "one", "--backend", "noisy")[0] == 0
    table = files / "one" / "evaluations" / "noisy.csv"
    before = table.read_bytes()
    arguments = ("evaluate", "one", "--backend", "noisy", "--backends", "other.yaml")
    code, _, err = fedqml(*arguments)
    assert code == 6
    assert err == "fedqml: one/evaluations/noisy.csv exists already; rename it, or replace it (--overwrite).\n"
    assert table.read_bytes() == before
    assert fedqml(*arguments, "--overwrite")[0] == 0
    assert table.read_bytes() != before


def test_a_device_is_not_asked_where_its_answer_would_be_refused(files, fedqml):
    """Another answer of a device is another measurement, which has cost something."""
    assert fedqml("evaluate", "one", "--backend", "manila")[0] == 0
    before = (files / "one" / "evaluations" / "manila.json").read_bytes()
    assert fedqml("evaluate", "one", "--backend", "manila")[0] == 6
    assert (files / "one" / "evaluations" / "manila.json").read_bytes() == before
    assert not list((files / "one" / "evaluations").glob("*.journal"))


def test_all_files_or_none(tmp_path):
    (tmp_path / "b").write_text("mine")
    contents = {tmp_path / "a": b"1", tmp_path / "b": b"2"}
    with pytest.raises(ResultError, match="b exists already; choose another name, or replace it"):
        write_new(contents, overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    write_new(contents, overwrite=True)
    write_new(contents, overwrite=False)
    assert (tmp_path / "b").read_text() == "2"


def test_links_that_lead_nowhere_are_something_and_pipes_are_not(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ResultError, match="link exists already"):
        check_replaceable(tmp_path / "link", b"1")
    check_replaceable(tmp_path / "none", b"1")
    check_replaceable(tmp_path, b"1")  # a folder: whoever writes gets an error
    with open("/dev/null", "wb"):
        write_new({tmp_path.joinpath("/dev/null"): b"1"}, overwrite=False)
