"""What `fedqml config` prints."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qiskit_fedqml.config.backends import BackendsFile
from qiskit_fedqml.config.backends_file import read_backends
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.explaining import (
    KeyFacts,
    explained,
    keys_in,
    keys_of,
    keys_that_mention,
    schema_of,
    values_at,
)
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.config.yaml_files import dump_yaml, read_yaml
from qiskit_fedqml.config.yaml_words import shown_as_yaml
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.terminal.arguments import load
from qiskit_fedqml.terminal.json_files import STDOUT, write_json
from qiskit_fedqml.terminal.output import print_table

_MOST_EXPLAINED = 20
"""Keys that are shown of those that mention a word, or that end alike."""


def model_of(file: Path | None, kind: str | None) -> type[Experiment] | type[BackendsFile]:
    """Return what describes a file: what ``--of`` says, or what the file is; without either, an experiment.

    Raises:
        ConfigurationError: The file cannot be read, or ``--of`` is neither of the two.
    """
    if kind not in (None, "experiment", "backends"):
        raise ConfigurationError(f"--of must be experiment or backends, but got {kind!r}.")
    if kind is None and file is not None:
        values = read_yaml(file)
        is_backends = isinstance(values, dict) and values.keys() <= BackendsFile.model_fields.keys()
        kind = "backends" if is_backends else "experiment"
    return BackendsFile if kind == "backends" else Experiment


def show_schema(model: type[Experiment] | type[BackendsFile], json_: Path | None, *, overwrite: bool) -> None:
    """Print the JSON schema, or write it to a file."""
    write_json(schema_of(model), json_ or STDOUT, overwrite=overwrite)


def show_keys(
    model: type[Experiment] | type[BackendsFile], file: Path | None, json_: Path | None, *, overwrite: bool
) -> None:
    """Print every key with its default, what it may be and a sentence; with a file, what it says too."""
    values = None if file is None else values_in(model, file, None, None)
    facts = list(keys_of(model))
    if write_json([_values_of(one, values) for one in facts], json_, overwrite=overwrite):
        print_table([_row(one, values) for one in facts])


def show_key(
    model: type[Experiment] | type[BackendsFile],
    key: str,
    file: Path | None,
    json_: Path | None,
    *,
    overwrite: bool,
) -> None:
    """Print what is known of a key, and of the keys in it; of a word that is no key, those that mention it."""
    values = None if file is None else values_in(model, file, None, None)
    try:
        facts = explained(model, key)
    except ConfigurationError:
        facts = keys_that_mention(model, key)
        if not facts:
            raise
        facts.sort(key=lambda one: len(one.key))
    if not write_json([_values_of(one, values) for one in facts], json_, overwrite=overwrite):
        return
    for one in facts[:_MOST_EXPLAINED]:
        print(f"{one.key}{f'   (with {one.kind})' if one.kind else ''}")
        print(f"  {one.description}")
        print(f"  {one.allowed}; {_default(one)}{_here(one, values)}")
    if more := len(facts[_MOST_EXPLAINED:]):
        print(f"and {more} more keys")
    inner = {one.key: keys_in(model, one.key) for one in facts} if len(facts) == 1 else {}
    for parent, keys in inner.items():
        if keys:
            print("Keys in it:")
        for one in keys:
            name, only = one.key.removeprefix(f"{parent}."), f" (with {one.kind})" if one.kind else ""
            print(f"  {name}{only}: {one.allowed}; {_default(one)}. {one.description}")


def _default(one: KeyFacts) -> str:
    return "must be given" if one.is_required else f"default {shown_as_yaml(one.default)}"


def show_values(
    model: type[Experiment] | type[BackendsFile],
    file: Path,
    backends: Path | None,
    overrides: Sequence[str] | None,
    json_: Path | None,
    *,
    overwrite: bool,
) -> None:
    """Print a file with every default in it."""
    values = values_in(model, file, backends, overrides)
    if write_json(values, json_, overwrite=overwrite):
        print(dump_yaml(values), end="")


def values_in(
    model: type[Experiment] | type[BackendsFile], file: Path, backends: Path | None, overrides: Sequence[str] | None
) -> dict[str, Any]:
    """Return the values of a file, defaults included.

    Raises:
        ConfigurationError: It cannot be read, or a key or value is wrong.
    """
    if model is Experiment:
        return load(file, backends, overrides).resolved()
    return validate(BackendsFile, read_backends(file), str(file)).model_dump(mode="json")


def _values_of(one: KeyFacts, values: dict[str, Any] | None) -> dict[str, Any]:
    found = asdict(one)
    return found if values is None else {**found, "value": _value(one, values)}


def _row(one: KeyFacts, values: dict[str, Any] | None) -> dict[str, str]:
    key = f"{one.key} ({one.kind})" if one.kind else one.key
    row = {"Key": key, "Default": "–" if one.is_required else shown_as_yaml(one.default), "May be": one.allowed}
    here = (
        {} if values is None else {"Here": shown_as_yaml(found) if (found := _value(one, values)) is not None else ""}
    )
    return {**row, **here, "What it is": one.description}


def _here(one: KeyFacts, values: dict[str, Any] | None) -> str:
    found = None if values is None else _value(one, values)
    return "" if found is None else f"; here {shown_as_yaml(found)}"


def _value(one: KeyFacts, values: dict[str, Any]) -> Any:
    """Return the value of a key in a file; None where that has not this key or alternative, or several of them."""
    try:
        found = values_at(values, one.key)
    except (KeyError, TypeError, IndexError):
        return None
    return None if isinstance(found, dict) else found
