"""What an editor says of a file of configuration, by the JSON schema that `fedqml config --schema` prints."""

from functools import cache

from jsonschema import Draft202012Validator

from qiskit_fedqml.config.explaining import schema_of


@cache
def validator_of(model):
    """Return what checks a file by its model's schema."""
    return Draft202012Validator(schema_of(model))


def mistakes(model, values):
    """Return a sentence for each mistake that the schema finds in a file's values."""
    return [f"{error.json_path}: {error.message[:200]}" for error in validator_of(model).iter_errors(_as_json(values))]


def _as_json(values):
    """Return values as an editor sees them: keys are texts, and what follows one another is a list."""
    if isinstance(values, dict):
        return {str(key): _as_json(value) for key, value in values.items()}
    return [_as_json(value) for value in values] if isinstance(values, list | tuple) else values
