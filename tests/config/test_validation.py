"""What an error says: one sentence for each mistake, in the words of a YAML file."""

from copy import deepcopy

import pytest

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.strict import nearest
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.errors import ConfigurationError
from tests.conftest import TINY

DATASETS = "'digits', 'npz', 'cifar10', 'image_folder', 'table', 'huggingface' or 'given'"
ALGORITHM = (
    "must be synchronous, {buffered: {buffer: K}}, {gossip: {graph: ring}} or {python: 'module:name', arguments: {…}}"
)
WORDS = {
    "federation.algorithm": ALGORITHM,
    "federation.client_step": "must be minibatch or {python: 'module:name', arguments: {…}}",
    "aggregation.rule": "must be fedavg, coordinate_median, geometric_median, foolsgold, {trimmed_mean: {fraction: β}}"
    ", {krum: {byzantine: f}}, {multi_krum: {byzantine: f}}, {bulyan: {byzantine: f}} or "
    "{python: 'module:name', arguments: {…}}",
    "scheduling.queue": "must be {lognormal: {median_seconds: S, sigma: F}} or {trace: [[TIME, SECONDS], …]}",
    "scheduling.policy": "must be assigned, expected_queue, {best: {…}} or {explore_then_refine: {refine_from: N}}",
    "backends.assignment.default": "must be a backend's name, {cycle: [NAME, …]} or {random: [NAME, …], seed: N}",
    "backends.backends.ideal.noise": "must be a fake device's name, {calibration: FILE} or stated rates",
    "backends.backends.real.device": "must be a device's name or {least_busy: {min_qubits: N}}",
    "backends.backends.real.gradient": (
        "must be parameter_shift, {random_shifts: {fraction: F}} or {spsa: {perturbation: RAD}}"
    ),
}
BASE = {
    **TINY,
    "scheduling": {"queue": {"lognormal": {"median_seconds": 60, "sigma": 1.0}}},
    "backends": {
        "backends": {"ideal": {"type": "aer"}, "real": {"type": "ibm", "device": "FakeManilaV2", "shots": 1}},
    },
}


def errors_of(key, value):
    """Return what is said of an experiment with another value, without the file's name."""
    data = deepcopy(BASE)
    *sections, last = key.split(".")
    inner = data
    for part in sections:
        inner = inner.setdefault(part, {})
    inner[last] = value
    with pytest.raises(ConfigurationError) as error:
        validate(Experiment, data, "e.yaml")
    return str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("federation.algorithm", {"buffered": {"buffer": 2}, "synchronous": {}}, "'buffered', 'synchronous'"),
        ("federation.algorithm", {"bufferd": {"buffer": 2}}, "'bufferd'"),
        ("federation.algorithm", {"buffered": {"buffer": 2}, "python": "a:b"}, "'buffered', 'python'"),
        ("aggregation.rule", {"pyton": "a:b"}, "'pyton'"),
        ("federation.client_step", {"minibatch": {}}, "'minibatch'"),
        ("scheduling.policy", {"best": {}, "explore_then_refine": {}}, "'best', 'explore_then_refine'"),
        ("scheduling.policy", {"bests": {"gamma": 1}}, "'bests'"),
        ("scheduling.queue", {"lognorm": {}}, "'lognorm'"),
        ("backends.assignment.default", {"cycle": ["ideal"], "random": ["ideal"]}, "'cycle', 'random'"),
        ("backends.backends.ideal.noise", {"calibraton": "x"}, "'calibraton'"),
        ("backends.backends.real.device", {"least_busi": {}}, "'least_busi'"),
        ("backends.backends.real.gradient", {"spsa": {}, "random_shifts": {}}, "'spsa', 'random_shifts'"),
    ],
)
def test_a_mapping_that_is_none_of_the_alternatives(key, value, message):
    has = f"has the {'keys' if ',' in message else 'key'} {message}"
    assert errors_of(key, value) == f"e.yaml: key '{key}': {WORDS[key]}, but {has}."


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("scheduling.policy", {"best": {"gamma": 1}}, "policy.best.gamma'; known are age_half_life_hours, success_exp"),
        (
            "federation.algorithm",
            {"buffered": {"buffer": 2, "synchronous": {}}},
            "algorithm.buffered.synchronous'; known are buffer, max_staleness, staleness_exponent.",
        ),
        ("federation.algorithm", {"buffered": {"buffer": 2}, "foo": 1}, "algorithm.foo'; known are buffered."),
        ("federation.algorithm", {"python": "a:b", "argumens": {}}, "algorithm.argumens'; did you mean 'arguments'?"),
        (
            "backends.backends.ideal.noise",
            {"calibration": "x", "readout": 1},
            "backends.backends.ideal.noise.readout'; known are calibration.",
        ),
        (
            "learning_rate",
            0.1,
            "did you mean 'federation.learning_rate' or 'aggregation.server_",
        ),
        ("backends.backends.ideal.token", "abc", "secrets are never read from files: save the account"),
        (
            "backends.backends.ideal.noise",
            {"python": "a:b"},
            "noise.python'; a noise model of your own is a machine: {type: python, python: 'module:function'}.",
        ),
    ],
)
def test_an_unknown_key_is_found_among_those_of_its_alternative(key, value, message):
    found = errors_of(key, value)
    assert found.startswith("e.yaml: unknown key '")
    assert message in found
    assert found.count("e.yaml") == 1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("federation.rounds", None, "must be a whole number, but got null."),
        ("federation.rounds", True, "must be a whole number, but got true."),
        ("federation.rounds", {"many": 1}, "must be a whole number, but got a mapping."),
        ("federation.algorithm", None, f"{ALGORITHM}, but got null."),
        ("federation.algorithm", {}, f"{ALGORITHM}, but is empty."),
        (
            "aggregation.rule",
            "fedavgm",
            "must be fedavg, coordinate_median, geometric_median, foolsgold, {trimmed_mean: {fraction: β}}, "
            "{krum: {byzantine: f}}, {multi_krum: {byzantine: f}}, {bulyan: {byzantine: f}} or "
            "{python: 'module:name', arguments: {…}}, but got 'fedavgm'.",
        ),
        ("data.classes", [0, [None, False]], "must be a whole number, but got [null, false]."),
        ("model.initial", "", "must have at least 1 character, but got ''."),
        ("data.dataset", "mnist", f"must be {DATASETS}, but got 'mnist'."),
        ("data.dataset", None, f"must be {DATASETS}, but got null."),
        ("scheduling.queue", {"trace": [[0, 1], [0, 2]]}, "times must increase, but 0 comes after 0."),
    ],
)
def test_values_are_shown_as_yaml_has_them(key, value, message):
    found = errors_of(key, value)
    assert found.startswith(f"e.yaml: key '{key}")
    assert found.endswith(f"': {message}")


def test_several_mistakes_are_several_sentences():
    assert errors_of("data", {"dataset": "digits", "paht": 1, "classes": None, "test_fraction": 2}) == (
        "e.yaml: key 'data.classes': must be a list, but got null. "
        "e.yaml: key 'data.test_fraction': must be less than 1, but got 2. "
        "e.yaml: unknown key 'data.paht'; known are classes, dataset, min_examples, partition, redraw, test_fraction, "
        "validation_fraction."
    )


def test_nothing_is_known():
    assert nearest("manila", []) == "; there is none."
