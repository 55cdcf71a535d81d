"""The JSON schema for editors: it is valid, takes what the package takes, and refuses what is wrong by itself."""

from copy import deepcopy

import pytest
from jsonschema import Draft202012Validator

from qiskit_fedqml.config.backends import BackendsFile
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.explaining import schema_of
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.config.yaml_files import parse_yaml, read_yaml
from qiskit_fedqml.errors import ConfigurationError
from tests.config.test_experiment import IDEAL, PERTURBED, REHEARSAL, put
from tests.conftest import ROOT, TINY
from tests.schemas import mistakes

FILES = sorted({ROOT / "backends.yaml", *(ROOT / "experiments").rglob("*.yaml")})
PLAIN = {f"{IDEAL}.type": "aer"}


def changed(changes):
    data = deepcopy(TINY)
    for key, value in changes.items():
        put(data, key, value)
    return data


def is_taken(data):
    """Return whether the package takes an experiment."""
    try:
        validate(Experiment, data, "e.yaml")
    except ConfigurationError:
        return False
    return True


@pytest.mark.parametrize("model", [Experiment, BackendsFile])
def test_the_schema_is_one(model):
    schema = schema_of(model)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_shipped_files_have_no_mistakes(path):
    values = read_yaml(path)
    assert mistakes(BackendsFile if values.keys() <= BackendsFile.model_fields.keys() else Experiment, values) == []


def test_what_the_package_takes_has_no_mistakes():
    experiments = [changed(of) for key, (base, value) in PERTURBED.items() for of in (base, {**base, key: value})]
    experiments = [data for data in experiments if is_taken(data)]
    assert len(experiments) > 250
    assert [found for data in experiments if (found := mistakes(Experiment, data))] == []


@pytest.mark.slow
def test_the_package_refuses_whatever_has_mistakes():
    odd = (None, True, 1, "", "yes", -1, 1.5, 1e30, [], ["x"], [1, 1], {}, {"x": 1}, {"python": "a b"})
    experiments = [changed({**base, key: value}) for key, (base, _) in PERTURBED.items() for value in odd]
    wrong = [data for data in experiments if mistakes(Experiment, data)]
    assert len(wrong) > 1500
    assert [data for data in wrong if is_taken(data)] == []


@pytest.mark.parametrize(
    "changes",
    [
        # unknown keys
        *({key: 1} for key in ("fedration", "data.clases", "model.hiden", "federation.round", "checkpoints.keeps")),
        *({**PLAIN, f"{IDEAL}.{key}": 1} for key in ("shot", "noise.redout", "device")),
        {**PLAIN, "backends.assignment.servers": "ideal"},
        {**REHEARSAL, f"{IDEAL}.waiting.poll": 1},
        # what is missing
        {"federation": {"clients": 4, "clients_per_round": 2}},
        {"data": {}},
        {"backends.backends": {}},
        {"data.partition": {"scheme": "dirichlet"}},
        # types
        *({"federation.rounds": value} for value in ("3", True, 1.5, None, [3], {})),
        *({"features.scaling": {"method": "client_sums", "center": value}} for value in (1, "yes", None)),
        {"model.hidden": 16},
        {"model.circuit": "tree"},
        {"seed": "abc"},
        {"evaluation.metrics": "auc"},
        {"evaluation.backends": "ideal"},
        {"backends": ["backends.yaml"]},
        # ranges
        *({"federation.learning_rate": value} for value in (0, -1, 1e7)),
        *({"data.test_fraction": value} for value in (0, 1, 2)),
        {"federation.rounds": 0},
        {"data.classes": [1]},
        {"data.classes": [1, 1]},
        {"model.dropout": 1.0},
        {**PLAIN, f"{IDEAL}.shots": 0},
        {**PLAIN, f"{IDEAL}.noise": {"readout": 1.5}},
        # one of several things
        {"data.dataset": "digit"},
        {"data.path": "digits have none"},
        {"data": {"dataset": "digits", "python": "a:b"}},
        {"data": {"python": "own_data"}},
        {"model.circuit.ansatz": "qnn"},
        {"model.circuit": {"ansatz": "tree", "num_layers": 2}},
        {"model.circuit": {"qpy": "a.qpy", "inputs": "", "weights": "w", "observables": ["IZ"]}},
        {"model.head": "conv"},
        {"model.loss": {"python": "focal"}},
        {"evaluation.metrics": ["auc", "auc"]},
        {"evaluation.metrics": ["roc"]},
        {"evaluation.metrics": [{"name": "auc"}]},
        {"aggregation.rule": "median"},
        {"aggregation.server_optimizer": {"method": "fedadam", "momentum": 0.9}},
        {"federation.algorithm": {"bufferd": {"buffer": 2}}},
        {"federation.algorithm": {"buffered": {"buffer": 2}, "python": "a:b"}},
        {"federation.algorithm": {"gossip": {"graph": "star"}}},
        {"federation.algorithm": {"gossip": {"graph": {"edges": [[0]]}}}},
        {"scheduling": {"queue": {"trace": [[0, 5, 7]]}}},
        {**PLAIN, f"{IDEAL}.type": "air"},
        {**PLAIN, f"{IDEAL}.blocks": "on"},
        {**PLAIN, "backends.backends.my machine": {"type": "aer"}},
        {**PLAIN, "backends.assignment": {"clients": {"first": "ideal"}}},
        {**PLAIN, "backends.assignment.default": {"cycle": ["ideal"], "random": ["ideal"]}},
        {**PLAIN, "backends.assignment.default": ""},
        {**REHEARSAL, f"{IDEAL}.device": ""},
        {**REHEARSAL, f"{IDEAL}.gradient": {"random_shift": {"fraction": 0.5}}},
        {**REHEARSAL, f"{IDEAL}.gradient": {"spsa": {}, "random_shifts": {"fraction": 0.5}}},
    ],
    ids=str,
)
def test_what_is_wrong_by_itself_has_a_mistake_in_an_editor_too(changes):
    data = changed(changes)
    assert not is_taken(data)
    assert mistakes(Experiment, data)


def test_names_of_all_languages_are_taken():
    values = parse_yaml("backends: {rødkløver-2.1: {type: aer}}\nassignment: {server: rødkløver-2.1, default: x}", "b")
    assert mistakes(BackendsFile, values) == []
    own = changed({"model.loss": {"python": "my.потери:focal"}})
    assert is_taken(own)
    assert mistakes(Experiment, own) == []
