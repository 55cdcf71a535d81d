"""`fedqml init` writes files that run as they are."""

import sys

import numpy as np
import pytest
import typer
from PIL import Image

from qiskit_fedqml import RunResult, load_experiment
from qiskit_fedqml.config.backends import BackendsFile
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.yaml_files import read_yaml
from qiskit_fedqml.data.loading import partition_examples
from qiskit_fedqml.terminal.new_files import _width
from qiskit_fedqml.terminal.new_partition import REDRAWS, chosen_partition
from qiskit_fedqml.terminal.new_tables import new_table
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
    experiment = load_experiment("new/one/one.yaml")
    assert experiment.federation.clients == 3
    assert experiment.backends.assignment.default == {"ibm": "device"}.get(machines, machines)
    assert BackendsFile.model_validate(read_yaml(here / "new/one/backends.yaml"))
    for model, name in ((Experiment, "one"), (BackendsFile, "backends")):
        assert mistakes(model, read_yaml(here / f"new/one/{name}.yaml")) == []
    assert (here / "new/one/one.yaml").read_text().count("#") > 8
    first = "plan" if machines == "ibm" else "run"
    assert out.splitlines()[1] == f"Next: fedqml {first} new/one/one.yaml"
    circuit = experiment.model.circuit
    assert circuit.num_qubits == (6 if data == "six.npz" else 4)
    assert circuit.num_layers == (4 if data == "six.npz" and machines != "ibm" else 2)


@pytest.mark.parametrize("data", ["digits", "six.npz"])
def test_files_run(here, fedqml, data):
    assert fedqml("init", "--data", data, "--clients", "4")[0] == 0
    assert fedqml("run", f"{here.name}.yaml", "-q", "--set", "federation.rounds=1")[::2] == (0, "")


def test_without_options_and_without_a_terminal_nothing_is_asked(here, fedqml):
    code, out, _ = fedqml("init")
    assert code == 0
    assert f"Written: {here.name}.yaml, backends.yaml" in out
    assert load_experiment(f"{here.name}.yaml").data.dataset == "digits"


def test_three_questions_on_a_terminal(here, fedqml, monkeypatch):
    answers = iter(["my photos", "4", "ideal"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.modules[typer.prompt.__module__], "visible_prompt_func", lambda prompt: next(answers))
    assert fedqml("init", "asked")[0] == 0
    experiment = load_experiment("asked/asked.yaml")
    assert (experiment.data.dataset, experiment.federation.clients) == ("image_folder", 4)
    assert not list(answers)


def test_nothing_is_overwritten(here, fedqml):
    (here / "backends.yaml").write_text("mine")
    code, _, err = fedqml("init")
    assert (code, err) == (6, "fedqml: backends.yaml exists already; choose another folder, or move it away.\n")
    assert (here / "backends.yaml").read_text() == "mine"
    assert not (here / f"{here.name}.yaml").exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--data", "nothing"], 3, "There is no 'nothing'"),
        (["--data", "README.txt"], 3, "must be digits, a folder of pictures, or an NPZ, CSV or Parquet file"),
        (["--machines", "fast"], 2, "--machines must be one of ideal, noisy, ibm, but got 'fast'"),
        (["--clients", "9999"], 2, "--clients must be at most 576, the training examples, but got 9,999"),
        (["--data", "digits", "--label", "y"], 2, "--label is for a CSV or Parquet file, but --data"),
        (["--data", "digits", "--missing", "mean"], 2, "--missing is for a CSV or Parquet file, but --data is none"),
        (["--data", "t.csv", "--missing", "zero"], 2, "--missing must be mean or drop, but got 'zero'"),
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


def test_each_folder_has_a_name_of_its_own(here, fedqml):
    for name in ("one", "two", "backends"):
        assert fedqml("init", name)[0] == 0
    names = sorted(str(path.relative_to(here)) for path in here.glob("*/*.yaml"))
    assert [name for name in names if not name.endswith("/backends.yaml")] == [
        *("backends/experiment.yaml", "one/one.yaml", "two/two.yaml")
    ]


def test_clients_that_all_take_part_are_not_drawn(here, fedqml):
    for clients, comment in ((3, "all of them"), (6, "drawn again in each round")):
        assert fedqml("init", f"of{clients}", "--clients", str(clients))[0] == 0
        line = next(x for x in (here / f"of{clients}/of{clients}.yaml").read_text().splitlines() if "per_round" in x)
        assert line.split() == ["clients_per_round:", str(min(clients, 5)), "#", *comment.split()]


def write_table(path, rows):
    """Write rows of cells with None where they are missing, as the file's name says; skip without pyarrow."""
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import csv, parquet

    header, *lines = rows
    table = arrow.table({name: [line[k] for line in lines] for k, name in enumerate(header)})
    (parquet.write_table if path.suffix == ".parquet" else csv.write_csv)(table, str(path))


def patients(*, labels=("no", "yes", "no", "yes")):
    """Return 40 patients, of whom two lack their age and one the size."""
    rows = [
        [k, k, None if k in (3, 9) else 30 + k % 7, None if k == 9 else k / 7, None, f"note {k % 3}", labels[k % 4]]
        for k in range(40)
    ]
    return [["", "patient", "age", "size (cm)", "empty", "ward", "sick"], *rows]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_with_missing_values_runs(here, fedqml, suffix, caplog):
    write_table(here / f"t.{suffix}", patients())
    assert fedqml("init", "t", "--data", f"t.{suffix}", "--clients", "4", "--machines", "ideal")[0] == 0
    assert "patient: whole numbers that are all different, as those of an identifier" in caplog.text
    data = load_experiment("t/t.yaml").data
    assert (data.label, data.missing) == ("sick", "mean")
    assert data.features == ("patient", "age", "size (cm)")
    text = (here / "t/t.yaml").read_text()
    assert "# 3 values are missing in 40 rows: 2 in age, 1 in size (cm)\n" in text
    assert "# Left out, as not numeric, empty or without a name: (no name), empty, ward." in text
    assert "# patient: whole numbers that are all different; take out what is an identifier.\n" in text
    assert fedqml("run", "t/t.yaml", "-q", "--set", "federation.rounds=1")[0] == 0
    result = RunResult.load("results/t")
    assert result.run["columns"]["missing"] == {"age": 2, "size (cm)": 1}
    assert result.run["columns"]["left_out"] == ["", "empty", "ward"]
    assert min(sum(counts.values()) for counts in result.class_counts.values()) >= 2


def test_rows_without_a_label_are_left_out(here, fedqml):
    write_table(here / "t.csv", patients(labels=("no", "yes", "no", None)))
    assert fedqml("init", "t", "--data", "t.csv", "--clients", "2")[0] == 0
    assert load_experiment("t/t.yaml").data.missing == "drop"
    assert "13 values are missing in 40 rows: 2 in age, 1 in size (cm), 10 in sick" in (here / "t/t.yaml").read_text()
    assert fedqml("init", "u", "--data", "t.csv", "--missing", "mean")[0] == 3  # a label has no mean


def test_what_is_said_of_a_table_goes_before(here, fedqml):
    write_table(here / "t.csv", patients())
    options = ("--data", "t.csv", "--label", "ward", "--missing", "drop", "--clients", "2")
    assert fedqml("init", "t", *options)[0] == 0
    data = load_experiment("t/t.yaml").data
    assert (data.label, data.missing) == ("ward", "drop")
    code, _, err = fedqml("init", "u", "--data", "t.csv", "--label", "sik")
    assert code == 3
    assert "has no column 'sik'; did you mean 'sick'?" in err


def test_of_a_table_the_label_is_asked_for(here, fedqml, monkeypatch):
    write_table(here / "t.parquet", patients())
    answers = iter(["t.parquet", "sik", "ward", "4", "ideal"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.modules[typer.prompt.__module__], "visible_prompt_func", lambda prompt: next(answers))
    assert fedqml("init", "asked")[0] == 0
    assert load_experiment("asked/asked.yaml").data.label == "ward"
    assert not list(answers)


def test_long_lists_of_columns_are_counted(here):
    write_table(here / "wide.csv", [[*(f"x{k}" for k in range(201)), "y"], *([[k] * 201 + [k % 2] for k in range(4)])])
    table = new_table(here / "wide.csv", None, None)
    assert "features" not in table.section
    assert table.notes["test_fraction"] == [
        "Features are all 201 other columns of numbers; `features` can name some of them."
    ]


@pytest.mark.parametrize(
    ("clients", "alpha", "fewest"), [(10, 1, 8), (20, 1, 4), (40, 3, 2), (80, 10, 2), (1, 1, 1), (200, 1, 1)]
)
def test_no_client_is_left_with_an_example_or_two(clients, alpha, fewest):
    labels = np.arange(320) % 2
    partition, found = chosen_partition(labels, clients, 8)
    assert (partition.alpha, found) == (alpha, fewest)
    for seed in (1, 2):
        draws = (partition_examples(labels, clients, partition, seed, draw) for draw in range(REDRAWS + 1))
        assert any(shards.sizes.min() >= fewest for shards in draws)
