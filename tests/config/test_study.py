import pytest
import yaml

from qiskit_fedqml.config.loading import load_experiment
from qiskit_fedqml.config.study import MOST_SEEDS, load_study, parse_seeds
from qiskit_fedqml.errors import ConfigurationError
from tests.conftest import TINY

STUDY = {"experiment": "tiny.yaml", "seeds": "1-3", "schemes": {"slow": {}, "fast": {"federation.learning_rate": 0.5}}}


@pytest.fixture
def study(tmp_path):
    """Return a function that writes a study file, with other values for some keys."""
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))

    def write(**changes):
        path = tmp_path / "study.yaml"
        values = {key: value for key, value in {**STUDY, **changes}.items() if value is not None}
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    return write


def test_seeds_are_read():
    assert parse_seeds("1-5") == (1, 2, 3, 4, 5)
    assert parse_seeds("7, 1,3-4") == (7, 1, 3, 4)


@pytest.mark.parametrize("text", ["", "a", "5-1", "1,,2", "1-", "-3", "1,1", f"0-{MOST_SEEDS}", "1-999999999999999999"])
def test_seeds_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="must"):
        parse_seeds(text)


def test_every_scheme_has_every_seed(study):
    plan = load_study(study())
    assert {name: [each.seed for each in of] for name, of in plan.experiments.items()} == {
        "slow": [1, 2, 3],
        "fast": [1, 2, 3],
    }
    assert [of[0].federation.learning_rate for of in plan.experiments.values()] == [0.05, 0.5]
    assert plan.keep_models
    plan = load_study(study(seeds=[4, 9], keep_models=False), {"federation.rounds": 7})
    assert [each.federation.rounds for each in plan.experiments["fast"]] == [7, 7]
    assert not plan.keep_models


def test_a_grid_makes_a_scheme_of_each_combination(study):
    grid = {"federation.batch_size": [4, 8], "model.quantum": ["trainable", "frozen"]}
    plan = load_study(study(grid=grid, schemes=None))
    assert list(plan.experiments) == [
        "batch_size = 4, quantum = trainable",
        "batch_size = 4, quantum = frozen",
        "batch_size = 8, quantum = trainable",
        "batch_size = 8, quantum = frozen",
    ]
    first = plan.experiments["batch_size = 8, quantum = frozen"][0]
    assert (first.federation.batch_size, first.model.quantum) == (8, "frozen")
    assert plan.settings["batch_size = 8, quantum = frozen"] == {"batch_size": "8", "quantum": "frozen"}
    both = load_study(study(grid={"federation.batch_size": [4, 8]}))
    assert both.settings["fast, batch_size = 4"] == {"Scheme": "fast", "batch_size": "4"}
    assert list(both.experiments) == [f"{name}, batch_size = {size}" for name in ("slow", "fast") for size in (4, 8)]


def test_paths_in_a_study_start_at_its_folder(study, tmp_path, monkeypatch):
    (tmp_path / "array.yaml").write_text("{backends: {only: {type: aer}}, assignment: {server: only, default: only}}")
    plan = load_study(study(schemes={"mine": {"backends": "array.yaml"}}))
    assert list(plan.experiments["mine"][0].backends.backends) == ["only"]
    path = study()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match=r"elsewhere/array\.yaml"):
        load_study(path, {"backends": "array.yaml"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": "3-1"}, r"study.yaml: key 'seeds': must be whole numbers and ranges of them, such as 1-5"),
        ({"seeds": 5}, r"must be a list such as \[1, 2, 3\], or a range such as 1-5, but got 5"),
        ({"seeds": [1, 1]}, "seeds must differ"),
        ({"seeds": []}, "'seeds'"),
        ({"seeds": [True]}, "'seeds"),
        ({"seeds": None}, "key 'seeds' is missing"),
        ({"schemes": None}, "there must be schemes or a grid"),
        ({"scheme": {}}, "unknown key 'scheme'; did you mean 'schemes'?"),
        ({"schemes": {"..": {}}}, "must have a name with a letter or a digit"),
        ({"schemes": {"a": {"seed": 1}}}, "the key seed is varied by `seeds` alone"),
        (
            {"grid": {"federation.learning_rate": [1.0]}},
            "'fast' changes federation.learning_rate, which the grid varies",
        ),
        ({"grid": {"federation.rounds": []}}, "grid.federation.rounds"),
        ({"grid": {"federation.rounds": list(range(1, 2000))}}, "at most 10,000 runs"),
        ({"grid": {"federation.rounds": [1, 1]}}, "Two schemes are called 'slow, rounds = 1'"),
        (
            {"schemes": {"a": {"federation.roundz": 1}}},
            r"study.yaml, scheme 'a': federation.roundz: unknown key .*did you mean 'rounds'",
        ),
        ({"experiment": "none.yaml"}, "none.yaml"),
    ],
)
def test_a_wrong_study_is_refused(study, changes, words):
    with pytest.raises(ConfigurationError, match=words):
        load_study(study(**changes))


def test_what_a_study_varies_has_no_other_value(study):
    for override in ({"federation.learning_rate": 1.0}, {"seed": 3}):
        with pytest.raises(ConfigurationError, match="The study .*study.yaml varies"):
            load_study(study(), override)


def test_a_study_and_an_experiment_are_told_apart(study, tmp_path):
    path = study()
    with pytest.raises(ConfigurationError, match=r"is no experiment file, but a study; `fedqml study .*` runs it"):
        load_experiment(path)
    with pytest.raises(ConfigurationError, match="is no study file, but an experiment; `fedqml run .* --seeds 1-5`"):
        load_study(load_study_base(path))


def load_study_base(path):
    return path.parent / yaml.safe_load(path.read_text())["experiment"]
