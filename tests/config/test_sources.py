"""An error names the file, or the option, that the wrong value comes from, and its key there."""

from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from qiskit_fedqml import BackendRegistry, load_experiment
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.sources import Sources
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.terminal.arguments import load
from tests.conftest import TINY

ARRAY = {"backends": {"ideal": {"type": "aer"}, "manila": {"type": "aer", "shots": -5}}}
WITH_ARRAY = {**TINY, "backends": {"backends": {"ideal": {"type": "aer"}, "manila": {"type": "aer", "shots": 5}}}}
TRACED = {**WITH_ARRAY, "scheduling": {"queue": {"trace": "q.csv"}}}


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in {
        "array": WITH_ARRAY,
        "b2": ARRAY,
        "good": {"backends": {"ideal": {"type": "aer"}}},
        "names_it": {**TINY, "backends": "b2.yaml"},
        "typo": {"backends": {"ideal": {"type": "aer"}}, "asignment": {}},
        "list": [1],
        "traced": TRACED,
    }.items():
        Path(f"{name}.yaml").write_text(yaml.safe_dump(content))
    Path("empty.yaml").touch()
    Path("q.csv").write_text("seconds,queue_seconds\n0,60\n0,5\n")
    Path("below.csv").write_text("seconds,queue_seconds\n0,-60\n")


def error_of(file, backends=None, *settings, workers=None):
    with pytest.raises(ConfigurationError) as error:
        load(Path(file), backends and Path(backends), settings, workers)
    return str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("array.yaml", "b2.yaml"), "b2.yaml: key 'backends.manila.shots': must be greater than 0, but got -5."),
        (("names_it.yaml",), "b2.yaml: key 'backends.manila.shots': must be greater than 0, but got -5."),
        (("array.yaml", None, "backends=b2.yaml"), "b2.yaml: key 'backends.manila.shots': must be greater than 0, bu"),
        (("array.yaml", "typo.yaml"), "typo.yaml: unknown key 'asignment'; did you mean 'assignment'?"),
        (
            ("array.yaml", "array.yaml"),
            "array.yaml is no backends file, but an experiment file with the keys data and federation; its section",
        ),
        (("good.yaml",), "good.yaml is no experiment file, but a backends file; `--backends good.yaml` gives it"),
        (("array.yaml", "empty.yaml"), "empty.yaml: must be a mapping of keys to values, but is empty."),
        (("empty.yaml",), "empty.yaml: must be a mapping of keys to values, but is empty."),
        (("list.yaml",), "list.yaml: must be a mapping of keys to values, but is a list."),
        (("traced.yaml",), "q.csv: times must increase, but 0 comes after 0."),
        (
            ("array.yaml", None, "scheduling.queue.trace=below.csv"),
            "below.csv, line 2: must be two numbers from 0 to 100,000,000, but is '0,-60'.",
        ),
    ],
)
def test_files(arguments, message):
    assert error_of(*arguments).startswith(message)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["federation.rounds=0"], "--set federation.rounds must be greater than 0, but got 0."),
        (["federation.round=3"], "--set federation.round: unknown key 'federation.round'; did you mean 'rounds'?"),
        (["data={}"], "--set data: key 'data.dataset' is missing."),
        (
            ["data.dataset=mnist"],
            "--set data.dataset must be 'digits', 'npz', ",
        ),
        (["data.classes=[0, null]"], "--set data.classes: key 'data.classes.1': must be a whole number, but got null."),
        (["seed=1", "seed.x=1"], "--set seed.x: 'seed' is a value and has no keys."),
        (["data.classes=[0, 1]", "data=5"], "--set data must be a mapping of keys to values, but got 5."),
        (["data=5", "data={dataset: digits, classes: 0}"], "--set data: key 'data.classes': must be a list, but got"),
    ],
)
def test_options(settings, message):
    assert error_of("array.yaml", None, *settings).startswith(message)


def test_a_value_of_an_option_in_a_file_of_backends():
    setting = "backends.backends.ideal.shots=0"
    assert error_of("array.yaml", "good.yaml", setting) == (
        "--set backends.backends.ideal.shots must be greater than 0, but got 0."
    )


def test_a_mapping_in_place_of_a_file(tmp_path):
    before = deepcopy(WITH_ARRAY)
    experiment = load_experiment(WITH_ARRAY, {"federation.rounds": 7})
    assert experiment == load_experiment("array.yaml", {"federation.rounds": 7})
    assert before == WITH_ARRAY
    named = load_experiment({**TINY, "backends": "good.yaml", "data": {"dataset": "given", "path": "mine.npz"}})
    assert list(named.backends.backends) == ["ideal"]
    assert named.data.path == str(tmp_path / "mine.npz")


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({**TINY, "seed": "x"}, "the experiment: key 'seed': must be a whole number, but got 'x'."),
        ({**TINY, "backends": "b2.yaml"}, "b2.yaml: key 'backends.manila.shots': must be greater than 0, but got -5."),
        ({}, "the experiment: key 'data' is missing."),
        (ARRAY, "The mapping is no experiment, but the content of a backends file; it goes into `backends`."),
    ],
)
def test_a_wrong_mapping(mapping, message):
    with pytest.raises(ConfigurationError) as error:
        load_experiment(mapping)
    assert str(error.value).startswith(message)


def test_values_that_do_not_fit_together_name_all_their_sources():
    assert error_of("array.yaml", None, "federation.clients_per_round=9", "data.test_fraction=0.5") == (
        "array.yaml with --set federation.clients_per_round: key 'federation': clients_per_round (9) must be at most "
        "clients (4)."
    )
    found = error_of("array.yaml", "good.yaml", "evaluation.backends=[x]")
    assert found.startswith("array.yaml with good.yaml, --set evaluation.backends: evaluation.backends names")
    assert error_of("array.yaml", None, "features.backbone.x=1") == (
        "array.yaml with --set features.backbone.x: key 'features.backbone': must be text, but got a mapping."
    )


def test_workers_come_last():
    found = load(Path("array.yaml"), None, ["federation.workers=2", "federation.rounds=7"], 3).federation
    assert (found.workers, found.rounds) == (3, 7)
    assert error_of("array.yaml", None, workers=5000).startswith("--workers must be 'auto' or less than or equal to")


def test_overrides_from_python_are_called_so():
    with pytest.raises(ConfigurationError, match=r"^override 'federation.rounds' must be greater than 0, but got 0\.$"):
        load_experiment("array.yaml", {"federation.rounds": 0})


def test_a_backends_file_by_itself():
    with pytest.raises(ConfigurationError, match=r"^b2.yaml: key 'backends.manila.shots': must be greater"):
        BackendRegistry.from_yaml("b2.yaml")
    with pytest.raises(ConfigurationError, match=r"^array.yaml is no backends file, but an experiment file"):
        BackendRegistry.from_yaml("array.yaml")


def test_changes_of_a_run_name_the_argument():
    experiment = validate(Experiment, TINY, "tiny")
    for change, message in (
        (lambda: experiment.with_rounds(0), "`rounds` must be greater than 0, but got 0."),
        (lambda: experiment.with_workers("two"), "`workers` must be 'auto' or a whole number, but got 'two'."),
        (lambda: experiment.with_budgets({"manila": 60.0}), "The run has no devices, so there is nothing that could h"),
        (lambda: experiment.with_budgets({None: 60.0}), "The run has no devices, so there is nothing that could have"),
    ):
        with pytest.raises(ConfigurationError) as error:
            change()
        assert str(error.value).startswith(message)


def test_a_budget_of_a_device():
    ibm = {"type": "ibm", "device": "FakeManilaV2", "shots": 16}
    array = {"backends": {"ideal": {"type": "aer"}, "a": ibm, "b": {**ibm}}, "assignment": {"default": "a"}}
    experiment = validate(Experiment, {**TINY, "backends": array}, "tiny")
    changed = experiment.with_budgets({"a": 60.0, None: 90.0}).backends
    assert (changed.backends["a"].budget_seconds, changed.budget_seconds) == (60.0, 90.0)
    assert changed.backends["b"].budget_seconds is None
    with pytest.raises(ConfigurationError, match=r"^There is no device 'ideal' to have a budget; known are a, b\.$"):
        experiment.with_budgets({"ideal": 60.0})
    with pytest.raises(ConfigurationError, match=r"^The new budget of 'a' must be less than or equal to 1"):
        experiment.with_budgets({"a": 1e9})


def test_the_longest_key_that_fits_is_the_owner():
    sources = Sources("e.yaml", {("a",): "a.yaml"}, {("a", "b"): "--b", ("c",): "--c"})
    found = [sources.place(key) for key in (("a", "x"), ("a", "b"), ("a", "b", "c"), ("c", "d"), ("d",), ())]
    assert [(place.source, place.key) for place in found] == [
        ("a.yaml", ("x",)),
        ("--b", ()),
        ("--b", ("a", "b", "c")),
        ("--c", ("c", "d")),
        ("e.yaml", ("d",)),
        ("e.yaml", ()),
    ]
    assert sources.place((), compares=True).source == "e.yaml with --b, --c, a.yaml"
