"""`fedqml init` writes files that run as they are."""

import sys

import numpy as np
import pytest
import typer
from PIL import Image

from qiskit_fedqml import load_experiment
from qiskit_fedqml.config.backends import BackendsFile
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.yaml_files import read_yaml
from qiskit_fedqml.terminal.new_files import _width, data_section
from tests.schemas import mistakes


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.delenv("FEDQML_DATA", raising=False)
    monkeypatch.setenv("FEDQML_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("cat", "dog, large"):
        (tmp_path / "my photos" / name).mkdir(parents=True)
        for k in range(10):
            picture = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            picture.save(tmp_path / "my photos" / name / f"{k}.png")
    x, y = rng.normal(size=(40, 6)).astype(np.float32), np.arange(40) % 6
    np.savez(tmp_path / "six.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    return tmp_path


@pytest.mark.parametrize("machines", ["ideal", "noisy", "ibm"])
@pytest.mark.parametrize("data", ["digits", "my photos", "six.npz"])
def test_files_are_read_and_have_comments(here, fedqml, data, machines):
    code, out, err = fedqml("init", "new/one", "--data", data, "--clients", "3", "--machines", machines)
    assert (code, err) == (0, ""), err
    experiment = load_experiment("new/one/experiment.yaml")
    assert experiment.federation.clients == 3
    assert experiment.backends.assignment.default == {"ibm": "device"}.get(machines, machines)
    assert BackendsFile.model_validate(read_yaml(here / "new/one/backends.yaml"))
    for model, name in ((Experiment, "experiment"), (BackendsFile, "backends")):
        assert mistakes(model, read_yaml(here / f"new/one/{name}.yaml")) == []
    assert (here / "new/one/experiment.yaml").read_text().count("#") > 8
    first = "plan" if machines == "ibm" else "run"
    assert out.splitlines()[1] == f"Next: fedqml {first} new/one/experiment.yaml"
    if data == "six.npz":
        assert experiment.model.circuit.num_qubits == 6


@pytest.mark.parametrize("data", ["digits", "six.npz"])
def test_files_run(here, fedqml, data):
    assert fedqml("init", "--data", data, "--clients", "4")[0] == 0
    assert fedqml("run", "experiment.yaml", "-q", "--set", "federation.rounds=1")[::2] == (0, "")


def test_without_options_and_without_a_terminal_nothing_is_asked(here, fedqml):
    code, out, _ = fedqml("init")
    assert code == 0
    assert "Written: experiment.yaml, backends.yaml" in out
    assert load_experiment("experiment.yaml").data.dataset == "digits"


def test_three_questions_on_a_terminal(here, fedqml, monkeypatch):
    answers = iter(["my photos", "4", "ideal"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.modules[typer.prompt.__module__], "visible_prompt_func", lambda prompt: next(answers))
    assert fedqml("init", "asked")[0] == 0
    experiment = load_experiment("asked/experiment.yaml")
    assert (experiment.data.dataset, experiment.federation.clients) == ("image_folder", 4)
    assert not list(answers)


def test_nothing_is_overwritten(here, fedqml):
    (here / "backends.yaml").write_text("mine")
    code, _, err = fedqml("init")
    assert (code, err) == (6, "fedqml: backends.yaml exists already; choose another folder, or move it away.\n")
    assert (here / "backends.yaml").read_text() == "mine"
    assert not (here / "experiment.yaml").exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--data", "nothing"], 3, "There is no 'nothing'"),
        (["--data", "README.txt"], 3, "must be digits, a folder of pictures, or an NPZ, CSV or Parquet file"),
        (["--machines", "fast"], 2, "--machines must be one of ideal, noisy, ibm, but got 'fast'"),
        (["--clients", "9999"], 2, "--clients must be at most 576, the training examples, but got 9,999"),
        (["--data", "digits", "--label", "y"], 2, "--label names a column of a CSV or Parquet file"),
    ],
)
def test_what_cannot_be_written_is_refused(here, fedqml, options, code, message):
    (here / "README.txt").touch()
    found, _, err = fedqml("init", "new", *options)
    assert found == code
    assert message in err
    assert not (here / "new").exists()


@pytest.mark.parametrize(("examples", "width"), [(20, 0), (159, 0), (160, 8), (320, 16), (5000, 64)])
def test_a_head_has_the_size_of_its_data(examples, width):
    assert _width(examples) == width


def test_the_last_column_of_a_table_has_its_classes(here):
    (here / "t.csv").write_text("a,b,kind\n1,2,x\n")
    section = data_section("t.csv", None)
    assert section == {"dataset": "table", "path": str(here / "t.csv"), "label": "kind", "test_fraction": 0.2}
    assert data_section("t.csv", "a")["label"] == "a"
