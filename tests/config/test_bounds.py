"""Sizes that cannot be are refused by arithmetic, before anything is allocated; large ones that can be, work."""

import time
import tracemalloc

import pytest
import yaml

from qiskit_fedqml import BackendRegistry, Experiment, load_experiment, run_federation
from qiskit_fedqml.config.assignment import clients_of
from qiskit_fedqml.config.loading import parse_override
from qiskit_fedqml.config.strict import nearest
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.federation.sampling import sample_clients
from qiskit_fedqml.planning.planner import plan_experiment
from tests.conftest import TINY, make_tiny

BILLION = 1_000_000_000
NO_RANGE = "must be a client's id from 0 or an inclusive range"
IBM = {"type": "ibm", "device": "ibm_kingston"}


def refused(experiment, *, message):
    """Check that an experiment is refused fast, with little memory, and in few words."""
    started = time.process_time()
    tracemalloc.start()
    with pytest.raises(ConfigurationError, match=message) as error:
        validate(Experiment, experiment, "e.yaml")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
    assert time.process_time() - started < 5
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("federation", {"clients": BILLION}, "'federation.clients'.*10000000, but got 1000000000"),
        ("federation", {"rounds": BILLION}, "'federation.rounds'.*but got 1000000000"),
        ("federation", {"batch_size": BILLION}, "'federation.batch_size'.*but got 1000000000"),
        ("federation", {"local_epochs": BILLION}, "'federation.local_epochs'.*but got 1000000000"),
        ("federation", {"learning_rate": 1e30}, "'federation.learning_rate'.*but got 1e"),
        ("federation", {"clients": 10**400}, "'federation.clients'.*but got 1000"),
        ("model", {"circuit": {"num_qubits": BILLION}}, "'model.circuit.num_qubits'.*but got 1000000000"),
        ("model", {"circuit": {"num_qubits": 1000, "num_layers": 1000}}, "1000 qubits in 1000 layers have 3,000,000"),
        ("model", {"hidden": [BILLION, BILLION]}, "1000000000, 1000000000 units have 1,0.* parameters .* at most"),
        ("model", {"hidden": [BILLION + 1]}, "'model.hidden.0'.*but got 1000000001"),
        ("model", {"hidden": [4] * 1001}, "'model.hidden'.*at most 1000 items"),
        ("data", {"classes": [0, 10**30]}, "'data.classes.1'.*but got 1"),
        ("data", {"partition": {"scheme": "dirichlet", "alpha": 1e308}}, "'data.partition.alpha'.*but got 1e"),
        (
            "evaluation",
            {"backends": ["ideal"] * 50_000},
            "evaluation.backends must differ, but are ideal, .*more",
        ),
        ("evaluation", {"backends": [f"b{n}" for n in range(50_000)]}, "evaluation.backends names the backend 'b0'"),
    ],
)
def test_sizes_of_experiments(section, values, message):
    refused({**TINY, section: {**TINY.get(section, {}), **values}}, message=message)


@pytest.mark.parametrize(
    ("backends", "message"),
    [
        ({"backends": {"ideal": {"type": "aer", "shots": BILLION}}}, "'backends.backends.ideal.shots'.*but got"),
        ({"backends": {"ideal": {**IBM, "shots": BILLION}}}, "'backends.backends.ideal.shots'.*but got"),
        ({"backends": {"ideal": {**IBM, "layout_trials": BILLION}}}, "layout_trials'.*but got"),
        ({"backends": {"ideal": {**IBM, "initial_layout": [BILLION]}}}, "initial_layout.0'.*but got"),
        ({"backends": {"ideal": {**IBM, "waiting": {"poll_seconds": 1e300}}}}, "poll_seconds'.*but got"),
        ({"backends": {"ideal": {**IBM, "device": {"least_busy": {"min_qubits": BILLION}}}}}, "min_qubits'.*but got"),
        ({"backends": {f"b{n}": {"type": "aer"} for n in range(1001)}}, "'backends.backends'.*at most 1000 items"),
        ({"backends": {"x" * 101: {"type": "aer"}}}, "at most 100 characters"),
        ({"backends": {f"b {n}": {"type": "aer"} for n in range(500)}}, "There are 495 more mistakes.$"),
    ],
)
def test_sizes_of_backends(backends, message):
    refused({**TINY, "backends": backends}, message=message)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        *(
            (key, NO_RANGE)
            for key in ("x", "-1", -1, "1-", "1-2-3", "", "\u0663", "0x1", "9" * 5000, 10**400, "²", " 1")
        ),
        ("5-1", "range '5-1' is empty"),
    ],
)
def test_what_is_no_range_of_clients(key, message):
    backends = {"backends": {"ideal": {"type": "aer"}}, "assignment": {"clients": {key: "ideal"}}}
    refused({**TINY, "backends": backends}, message=message)


def test_ranges_are_not_written_out():
    keys = {"0-999999999": "ideal", "1000000000-1999999999": "ideal"}
    file = {"backends": {"ideal": {"type": "aer"}}, "assignment": {"clients": keys}}
    started = time.process_time()
    registry = BackendRegistry.from_mapping(file)
    assert registry.name_for_client(BILLION - 1) == "ideal"
    with pytest.raises(ConfigurationError, match="names client 999999999, but there are 4 clients"):
        registry.assign(4)
    with pytest.raises(ConfigurationError, match="client 5 is named by both"):
        BackendRegistry.from_mapping({**file, "assignment": {"clients": {"0-999999999": "ideal", "5-6": "ideal"}}})
    assert time.process_time() - started < 2
    assert clients_of("0-999999999") == range(BILLION)


def test_a_million_clients_and_5000_a_round_work():
    machines = {name: {"type": "aer"} for name in ("a", "b", "ideal")}
    file = {
        "backends": machines,
        "assignment": {"default": {"cycle": ["a", "b"]}, "clients": {"10-12": "ideal", 999_999: "ideal"}},
    }
    large = {**TINY["federation"], "clients": 1_000_000, "clients_per_round": 5000, "rounds": 1_000_000}
    experiment = validate(Experiment, {**TINY, "federation": large, "backends": file}, "e")
    started = time.process_time()
    names = BackendRegistry.from_mapping(file).assign(1_000_000)
    assert (len(names), *names[8:14], names[-1]) == (1_000_000, "a", "b", "ideal", "ideal", "ideal", "b", "ideal")
    assert len(set(sample_clients(5, 1, 1_000_000, experiment.federation.clients_per_round))) == 5000
    assert time.process_time() - started < 10


def test_a_head_that_memory_cannot_hold_is_refused_before_the_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("qiskit_fedqml.model.memory.memory_bytes", lambda: 8 * (64 * 100 + 100 + 200 + 2) - 1)
    message = r"`model.hidden` of 100 units for 64 features has 6,702 parameters: 0\.0 GiB with their gradients"
    with pytest.raises(ConfigurationError, match=message):
        run_federation(make_tiny(model__hidden=[100]), tmp_path / "run")
    assert not list(tmp_path.iterdir())
    run_federation(make_tiny(model__hidden=[99], federation__rounds=1), tmp_path / "run")


def test_plans_of_too_many_items_are_refused():
    array = {"backends": {"ideal": {"type": "ibm", "device": "FakeManilaV2"}}}
    experiment = make_tiny(backends=array, federation__rounds=600_000)
    with pytest.raises(ConfigurationError, match="are 1,200,000 trainings; at most 1,000,000 are planned"):
        plan_experiment(experiment)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("a." * 2000, "no key of an experiment has 2001 parts"),
        ("seed.x", "'seed' is a value and has no keys"),
        ("", "unknown key ''"),
        ("federation..rounds", "unknown key 'federation.'"),
        (".", "unknown key ''"),
        ("x" * 5000, "unknown key 'xxx"),
        ("a\ud800\0", "unable to parse"),
        (" ", "unknown key ' '"),
    ],
)
def test_odd_keys_are_refused_in_few_words(key, message, tmp_path):
    path = tmp_path / "e.yaml"
    path.write_text(yaml.safe_dump(TINY))
    with pytest.raises(ConfigurationError, match=message) as error:
        load_experiment(path, {key: 1})
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("text", ["x" * 5000, "=" * 5000, f"seed={'9' * 5000}", "seed=*a", "seed=[" * 1000])
def test_odd_overrides_are_refused_in_few_words(text):
    with pytest.raises(ConfigurationError) as error:
        parse_override(text)
    assert len(str(error.value)) < 500


def test_many_and_long_names_are_looked_through_fast():
    started = time.process_time()
    assert nearest("x" * 100_000, ["y" * 100_000]).startswith("; known are yyy")
    assert nearest("b", [f"name{n:04}" for n in range(2000)]).endswith("name0019, … (1,980 more).")
    assert nearest("rounds", ["round"]) == "; did you mean 'round'?"
    assert time.process_time() - started < 2
