"""`fedqml run --seeds` and `fedqml study`: run, stopped, resumed, compared."""

import csv

import pytest
import yaml

from qiskit_fedqml import RunResult
from qiskit_fedqml.federation.executors import groups
from tests.conftest import TINY

TRAIN = "qiskit_fedqml.federation.executors.groups.train_client"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    schemes = {"slow": {"federation.learning_rate": 0.01}, "fast": {}}
    study = {"experiment": "tiny.yaml", "seeds": "1-2", "schemes": schemes}
    (tmp_path / "rates.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return tmp_path


def test_seeds_are_run_once_and_shown_as_one(here, fedqml, monkeypatch):
    code, out, err = fedqml("run", "tiny.yaml", "--seeds", "1-3")
    assert code == 0, err
    assert "| tiny   | 3     |" in out
    assert "±" in out
    assert out.endswith("Result: results/tiny; `fedqml report results/tiny` shows its seeds as one.\n")
    assert [RunResult.load(here / "results" / "tiny" / f"seed{n}").experiment.seed for n in (1, 2, 3)] == [1, 2, 3]
    assert "3/3 seed 3: accuracy" in err
    assert (here / "results/tiny/seed1/model.safetensors").exists(), "each is an ordinary result folder"
    monkeypatch.setattr(TRAIN, lambda *_, **__: pytest.fail("a finished run was trained again"))
    assert fedqml("run", "tiny.yaml", "--seeds", "1-3")[:2] == (0, out)
    code, out, _ = fedqml("compare", "results/tiny")
    assert (code, "| tiny   | 3     |" in out) == (0, True)
    assert fedqml("report", "results/tiny")[0] == 0


def test_seeds_that_were_stopped_continue_by_the_same_command(here, fedqml, monkeypatch):
    original, left = groups.train_client, [5]  # of 4 trainings a seed

    def train(*arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(TRAIN, train)
    code, _, err = fedqml("run", "tiny.yaml", "--seeds", "1-2")
    assert code == 130
    assert "The same command continues: finished runs are not run again." in err
    first = (here / "results/tiny/seed1/run.json").read_bytes()
    monkeypatch.setattr(TRAIN, original)
    assert fedqml("run", "tiny.yaml", "--seeds", "1-2")[0] == 0
    assert (here / "results/tiny/seed1/run.json").read_bytes() == first


def test_what_seeds_are_not_mixed_with(here, fedqml):
    for seeds in ("5-1", "x", ""):
        code, _, err = fedqml("run", "tiny.yaml", "--seeds", seeds)
        assert code == 2
        assert "--seeds must be whole numbers and ranges of them, such as 1-5" in err
    code, _, err = fedqml("run", "tiny.yaml", "--seeds", "1", "--allow-partial")
    assert "--allow-partial is for a run by itself, not for --seeds." in err
    assert fedqml("run", "tiny.yaml")[0] == 0
    code, _, err = fedqml("run", "tiny.yaml", "--seeds", "1-2")
    assert code != 0
    assert "results/tiny holds a run of its own; choose another folder for several seeds (--out)." in err
    assert fedqml("run", "tiny.yaml", "--seeds", "1", "--out", "other")[0] == 0
    code, _, err = fedqml("run", "tiny.yaml", "--seeds", "1", "--out", "other", "--set", "federation.rounds=3")
    assert code != 0
    assert "seed1 holds a run of another configuration (federation.rounds is 2 there, 3 here)" in err
    assert (
        fedqml("run", "tiny.yaml", "--seeds", "1", "--out", "other", "--set", "federation.rounds=3", "--overwrite")[0]
        == 0
    )
    assert len(RunResult.load(here / "other" / "seed1").rounds) == 3


def test_what_is_in_the_way_of_a_seed_is_left_alone(here, fedqml):
    (here / "mine" / "seed1").mkdir(parents=True)
    (here / "mine" / "seed1" / "notes.txt").write_text("mine")
    for options in ([], ["--overwrite"]):
        code, _, err = fedqml("run", "tiny.yaml", "--seeds", "1", "--out", "mine", *options)
        assert code != 0
        assert "seed 1: mine/seed1 exists already and is not a result folder; choose another folder." in err
    assert (here / "mine" / "seed1" / "notes.txt").read_text() == "mine"


def test_a_study_is_run_and_written(here, fedqml, monkeypatch):
    code, out, err = fedqml("study", "rates.yaml", "--set", "federation.rounds=1")
    assert code == 0, err
    assert "Testing loss minus “slow”" in out
    assert "with the range of 2 seeds in brackets" in " ".join(out.split())
    assert "±" not in out
    folder = here / "results" / "rates"
    written = {path.name for path in folder.iterdir()}
    assert written == {
        *("runs", "results.md", "table.csv", "differences.csv", "curves.png", "curves.svg"),
        *("runs.jsonl", "rounds.csv", "configurations.json"),
    }
    monkeypatch.setattr(TRAIN, lambda *_, **__: pytest.fail("a finished run was trained again"))
    assert fedqml("study", "rates.yaml", "--set", "federation.rounds=1")[0] == 0
    code, out, _ = fedqml("compare", "results/rates")
    assert (code, "| slow   | 2     |" in out) == (0, True)


def test_a_grid_says_what_each_setting_changes(here, fedqml):
    grid = {"federation.learning_rate": [0.01, 0.02], "federation.local_epochs": [1, 2]}
    study = {"experiment": "tiny.yaml", "seeds": "1-3", "grid": grid}
    (here / "grid.yaml").write_text(yaml.safe_dump(study))
    code, out, err = fedqml("study", "grid.yaml", "--set", "federation.rounds=1", "-q")
    assert (code, err) == (0, ""), "nothing but the result is shown"
    assert "| local_epochs  | 1 → 2       | 6     |" in out
    assert "Accuracy minus the first (points)" in out
    with (here / "results" / "grid" / "effects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["Setting"], row["Pairs"]) for row in rows] == [("learning_rate", "6"), ("local_epochs", "6")]
    assert all(float(row["Testing loss, change, half-width of 95% interval"]) > 0 for row in rows)
    assert "What a setting changes" in (here / "results" / "grid" / "results.md").read_text()


def test_seeds_and_studies_are_quiet_if_asked(here, fedqml):
    code, out, err = fedqml("run", "tiny.yaml", "--seeds", "1-2", "-q")
    assert (code, err) == (0, "")
    assert "Result: results/tiny" in out
    (here / "again").mkdir()
    assert "tiny" not in fedqml("study", "rates.yaml", "--out", "again", "-q")[2]


def test_a_mistake_is_found_before_anything_runs(here, fedqml):
    (here / "bad.yaml").write_text("experiment: tiny.yaml\nseeds: 1-2\nschemes: {a: {}, b: {federation.rounds: 0}}\n")
    code, _, err = fedqml("study", "bad.yaml")
    assert code == 2
    assert "bad.yaml, scheme 'b': federation.rounds" in err
    assert not (here / "results").exists()


def test_schemes_keep_their_names_after_the_study(here, fedqml):
    schemes = {"Slow, as it was": {"federation.learning_rate": 0.01}, "Fast": {}}
    study = {"experiment": "tiny.yaml", "seeds": "1-2", "schemes": schemes}
    (here / "named.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    assert fedqml("study", "named.yaml", "--set", "federation.rounds=1", "-q")[0] == 0
    _, out, _ = fedqml("compare", "results/named")
    assert "| Slow, as it was | 2     |" in out
    (here / "results" / "named" / "configurations.json").write_text("[")
    _, out, _ = fedqml("compare", "results/named", "--out", "again")
    assert "| slow_as_it_was | 2     |" in out
