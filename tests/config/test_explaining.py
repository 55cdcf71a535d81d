"""What is known of each key."""

import pytest

from qiskit_fedqml.config.allowed import in_words
from qiskit_fedqml.config.backends import BackendsFile
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.explaining import (
    _all_models,
    description_of,
    explained,
    keys_in,
    keys_of,
    keys_that_mention,
    schema_of,
)
from qiskit_fedqml.errors import ConfigurationError


@pytest.mark.parametrize("model", [Experiment, BackendsFile])
def test_each_key_has_a_sentence(model):
    lacking = [
        f"{one.__name__}.{key}"
        for one in _all_models(model)
        for key in one.model_fields
        if not description_of(one, key).endswith(".")
    ]
    assert not lacking, "a docstring below the key is missing"
    assert all(one.description and one.allowed != "anything" for one in keys_of(model))


def test_defaults_and_bounds_are_those_of_the_models():
    (rate,) = explained(Experiment, "federation.learning_rate")
    assert (rate.default, rate.allowed, rate.is_required) == (1e-4, "a number above 0 to 1e+06", False)
    (clients,) = explained(Experiment, "clients_per_round")
    assert clients.is_required
    assert clients.allowed == "a whole number from 1 to 10,000,000"
    (hidden,) = explained(Experiment, "model.hidden")
    assert hidden.default == [4096, 4096]
    for key in ("layer", "weights", "image_size", "pooling"):
        (companion,) = explained(Experiment, f"features.{key}")
        assert companion.default is None
        assert companion.description.endswith("; needed with a backbone.")


def test_a_key_of_several_alternatives_comes_with_each():
    kinds = {one.kind: one.default for one in explained(Experiment, "server_optimizer.learning_rate")}
    assert kinds == {"method: fedavgm": 1.0, "method: fedadam": 0.01}
    kinds = {one.kind for one in explained(Experiment, "backends.backends.manila.shots")}
    assert kinds == {"type: aer", "type: ibm, backend", "type: python, object"}


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(ConfigurationError, match="no key 'lerning_rate'; did you mean 'learning_rate'"):
        explained(Experiment, "lerning_rate")


def test_a_word_that_is_no_key_is_looked_for_in_choices_and_sentences():
    found = {one.key for one in keys_that_mention(Experiment, "fedadam")}
    assert "aggregation.server_optimizer.tau" in found
    assert not keys_that_mention(Experiment, "nonsense")
    with pytest.raises(ConfigurationError, match="no key 'xyzzy', and no sentence has that word"):
        explained(Experiment, "xyzzy")


def test_a_mapping_has_its_keys():
    assert {"aggregation.rule", "aggregation.angles"} <= {one.key for one in keys_in(Experiment, "aggregation")}
    assert {one.key for one in keys_in(Experiment, "aggregation.angles")} == set()
    assert "backends.backends.NAME.shots" in {one.key for one in keys_in(Experiment, "backends.backends")}


def test_the_schema_takes_short_forms_and_has_sentences():
    schema = schema_of(Experiment)
    assert schema["properties"]["seed"]["description"].startswith("From which all draws derive")
    assert {"type": "string", "minLength": 1} in schema["properties"]["backends"]["anyOf"]
    assert {"enum": ["off", "auto", False]} in schema["$defs"]["AerEntry"]["properties"]["blocks"]["anyOf"]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "exclusiveMinimum": 0, "maximum": 9}, "a whole number from 1 to 9"),
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "a number from 0 below 1"),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, "true or false or none"),
        ({"enum": ["a", "b", False]}, "a, b or false"),
        ({"type": "array", "items": {"$ref": "#/$defs/X"}, "minItems": 2}, "a list of at least 2, each text"),
    ],
)
def test_words(schema, words):
    assert in_words(schema, {"X": {"type": "string"}}) == words
