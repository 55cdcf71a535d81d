"""Options that all commands have, examples in their help, completion, and results as JSON."""

import json
import logging
import re
import shlex

import pytest
import typer.main
import yaml

from qiskit_fedqml import __version__, cli, run_federation
from qiskit_fedqml.errors import BackendError, BudgetError, CircuitError, DataError, FedQMLError, TrainingError
from qiskit_fedqml.terminal.help import EXAMPLES
from qiskit_fedqml.terminal.program import code_of
from tests.conftest import TINY, make_tiny

GROUP = typer.main.get_command(cli.app)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    yield tmp_path
    logger = logging.getLogger("qiskit_fedqml")
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


def test_version(fedqml):
    assert fedqml("--version") == (0, f"fedqml {__version__}\n", "")


@pytest.mark.parametrize("name", [None, *GROUP.commands])
def test_help_has_a_short_name_arguments_and_examples(fedqml, name):
    code, out, _ = fedqml(*([name] if name else []), "-h")
    assert code == 0
    assert "Example" in out
    for parameter in (GROUP.commands[name] if name else GROUP).params:
        assert parameter.help, f"{name}: {parameter.name} has no help"


@pytest.mark.parametrize("command", [line for lines in EXAMPLES.values() for line in lines])
def test_examples_are_read(command):
    arguments = shlex.split(command.partition(" > ")[0])[1:]
    context = GROUP.make_context("fedqml", list(arguments))
    name, found, rest = GROUP.resolve_command(context, list(arguments))
    found.make_context(name, list(rest), parent=context)


def test_each_command_has_an_example():
    assert set(EXAMPLES) == {"fedqml", *GROUP.commands}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell, monkeypatch, fedqml):
    monkeypatch.setenv("_FEDQML_COMPLETE", f"source_{shell}")
    code, out, _ = fedqml()
    assert code == 0
    assert "_FEDQML_COMPLETE" in out


@pytest.mark.parametrize("arguments", [("-q", "run", "tiny.yaml"), ("run", "tiny.yaml", "--quiet")])
def test_quiet_shows_the_result_alone(files, fedqml, arguments):
    code, out, err = fedqml(*arguments)
    assert (code, err) == (0, "")
    assert out.endswith("Result: results/tiny\n")


@pytest.mark.parametrize("arguments", [("-v", "run", "tiny.yaml"), ("run", "tiny.yaml", "-vv")])
def test_verbose_names_phases_and_clients(files, fedqml, arguments):
    code, _, err = fedqml(*arguments)
    assert code == 0
    lines = err.splitlines()
    for line in ("tiny: loading data", "tiny: transpiling the circuit for ideal", "tiny: round 1 of 2: 2 clients"):
        assert line in lines
    assert sum(" on ideal: loss " in line for line in lines) == 4


def test_quiet_and_verbose_exclude_each_other(files, fedqml):
    for arguments in (("-q", "run", "tiny.yaml", "-v"), ("run", "tiny.yaml", "-qv")):
        code, _, err = fedqml(*arguments)
        assert code == 2
        assert "--quiet and --verbose exclude each other" in err


def test_a_run_says_how_large_it_is(files, fedqml):
    code, _, err = fedqml("run", "tiny.yaml")
    assert code == 0
    first, *rest = err.splitlines()
    assert first == (
        "tiny: 72 training examples of 2 classes, 288 for tests; 4 clients with 18 each; 276 trained parameters."
    )
    assert not any("warning" in line for line in rest)
    code, _, err = fedqml("run", "tiny.yaml", "--set", "model.hidden=[200]", "--overwrite")
    assert "tiny: warning: 13,408 trained parameters are 186 for each training example" in err


@pytest.mark.parametrize(
    ("error", "code"), [(CircuitError, 2), (DataError, 3), (BackendError, 4), (BudgetError, 5), (TrainingError, 1)]
)
def test_codes(error, code):
    assert code_of(error("It went wrong.")) == code
    assert code_of(FedQMLError("It went wrong.")) == 1


def test_missing_data_have_a_code(files, fedqml):
    data = "{dataset: npz, path: none.npz}"
    assert fedqml("run", "tiny.yaml", "--set", f"data={data}")[0] == 3


def test_results_are_printed_as_json_alone(files, fedqml):
    def printed(*arguments):
        code, out, err = fedqml(*arguments, "--json", "-")
        assert code == 0, err
        return json.loads(out)

    ran = printed("run", "tiny.yaml")
    assert (ran["rounds"], ran["is_complete"], ran["folder"]) == (2, True, "results/tiny")
    assert printed("resume", "results/tiny") == ran
    more = printed("extend", "results/tiny", "--rounds", "3")
    assert more["rounds"] == 3
    compared = printed("compare", "results/tiny", "--out", "all")
    assert compared == {"folder": "all", "runs": {"tiny": more}}
    evaluated = printed("evaluate", "results/tiny")
    assert evaluated["accuracy"] == pytest.approx(more["test_accuracy"])
    assert printed("jobs", "results/tiny") == {"folder": "results/tiny", "jobs": []}
    assert printed("config", "tiny.yaml")["federation"]["rounds"] == 2
    assert printed("config", "--schema")["title"] == "Experiment"
    (key,) = printed("config", "tiny.yaml", "--explain", "batch_size")
    assert (key["default"], key["value"]) == (32, 8)
    assert len(printed("config", "--defaults", "--of", "backends")) > 50
    (files / "array.yaml").write_text("backends: {ideal: {type: aer}, n: {type: aer, noise: {readout: 0.1}}}")
    rows = printed("backends", "--backends", "array.yaml")
    assert [row["backend"] for row in rows] == ["ideal", "n"]
    checks = printed("backends", "--backends", "array.yaml", "--check")
    assert all(check["passed"] for check in checks)


def test_a_file_of_json_replaces_only_its_own(files, fedqml):
    arguments = ("run", "tiny.yaml", "--set", "federation.rounds=1", "--json", "figures.json")
    (files / "figures.json").write_text("mine")
    code, _, err = fedqml(*arguments)
    assert code == 6
    assert "figures.json exists already" in err
    assert not (files / "results").exists(), "it is seen before the run"
    (files / "figures.json").unlink()
    assert fedqml(*arguments)[0] == 0
    assert fedqml("resume", "results/tiny", "--json", "figures.json")[0] == 0
    assert json.loads((files / "figures.json").read_text())["rounds"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "tiny.yaml", "--overwrite"),
        ("plan", "tiny.yaml", "--overwrite", "--json", "-"),
        ("backends", "--overwrite"),
        ("backends", "--check", "--overwrite"),
        ("privacy", "tiny.yaml", "--overwrite"),
        ("jobs", "run", "--overwrite"),
        ("resume", "run", "--overwrite"),
        ("config", "tiny.yaml", "--overwrite"),
    ],
)
def test_overwrite_needs_something_that_is_written(files, fedqml, arguments):
    code, _, err = fedqml(*arguments)
    assert code == 2
    assert "--overwrite has no effect without " in err


def test_a_dry_run_writes_nothing(files, fedqml):
    before = sorted(files.rglob("*"))
    code, out, _ = fedqml("run", "tiny.yaml", "--dry-run")
    assert code == 0
    facts = dict(line.split("  ", 1) for line in out.splitlines())
    assert facts["Trained parameters"].strip() == "276"
    assert facts["Training step"].endswith(" on ideal")
    assert facts["Start"].strip().startswith(("about ", "less than 1 s"))
    assert re.fullmatch(r"less than 1 s|about \d+ s", facts["In all"].strip())
    code, out, _ = fedqml("run", "tiny.yaml", "--dry-run", "--json", "-")
    found = json.loads(out)
    assert (code, found["clients"], found["smallest_shard"], found["plan"]) == (0, 4, 18, None)
    assert found["run_seconds"] > found["step_seconds"] > 0
    assert sorted(files.rglob("*")) == before


def test_a_dry_run_times_a_step_on_each_machine(files, fedqml):
    machines = {f"m{k}": {"type": "aer", "shots": 16 * (k + 1)} for k in range(7)}
    array = {"backends": machines, "assignment": {"server": "m0", "default": {"cycle": list(machines)}}}
    federation = TINY["federation"] | {"clients": 7, "clients_per_round": 2}
    (files / "array.yaml").write_text(yaml.safe_dump({**TINY, "federation": federation, "backends": array}))
    code, out, err = fedqml("run", "array.yaml", "--dry-run")
    assert code == 0, err
    assert len(re.findall(r"^ .* on m\d$|^Training step .* on m\d$", out, re.MULTILINE)) == 5
    assert "2 more machines were not timed" in out
    found = json.loads(fedqml("run", "array.yaml", "--dry-run", "--json", "-")[1])
    assert len(found["step_seconds_by_backend"]) == 5
    assert found["start_seconds"] > 0


def test_a_dry_run_on_a_device_has_its_plan(files, fedqml):
    machines = {"ideal": {"type": "aer"}, "manila": {"type": "ibm", "device": "FakeManilaV2", "shots": 16}}
    array = {"backends": machines, "assignment": {"default": "manila"}}
    (files / "device.yaml").write_text(yaml.safe_dump({**TINY, "backends": array}))
    code, out, _ = fedqml("run", "device.yaml", "--dry-run")
    assert code == 0
    assert "Devices             manila" in out
    assert "By backend" in out
    array["backends"]["manila"]["budget_seconds"] = 0.1
    (files / "device.yaml").write_text(yaml.safe_dump({**TINY, "backends": array}))
    assert fedqml("run", "device.yaml", "--dry-run", "-q")[0] == 1


def test_observers_need_not_know_of_phases():
    class Own:
        def __getattr__(self, name):
            if name in ("preparing", "prepared"):
                raise AttributeError(name)
            return lambda *_: seen.append(name)

    seen = []
    run_federation(make_tiny(federation__rounds=1), observer=Own())
    assert {"round_started", "client_finished", "round_finished"} <= set(seen)
