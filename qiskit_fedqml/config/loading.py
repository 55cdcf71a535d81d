"""An experiment file, read and checked, with the values that a command puts in place of the file's."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from qiskit_fedqml.config.backends import BackendsFile
from qiskit_fedqml.config.backends_file import read_backends
from qiskit_fedqml.config.edge_files import place_edges
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.sources import Key, Sources
from qiskit_fedqml.config.traces import place_traces
from qiskit_fedqml.config.validation import check_mapping, validate
from qiskit_fedqml.config.yaml_files import parse_yaml, read_yaml
from qiskit_fedqml.errors import ConfigurationError, shortened, shown

_MOST_PARTS = 20
"""Of a dotted key; the deepest key of an experiment has seven, options of a primitive a few more."""

_MAPPING = "the experiment"
"""What errors call an experiment that is given as a mapping."""

_KEYS_OF_BACKENDS = set(BackendsFile.model_fields)


def load_experiment(
    path: str | Path | Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    options: Mapping[str, str] | None = None,
    *,
    folder: Path = Path(),
) -> Experiment:
    """Read an experiment file.

    Args:
        path: The YAML file, or its content as a mapping, whose paths start at the current folder. Its key ``backends``
            holds a backends file's content, or its path from the folder of the experiment file; a relative
            ``model.initial``, ``model.circuit.qpy``, ``data.path`` of given data and the paths of traces and edges
            start at that folder too.
        overrides: Values to put in place of the file's, by dotted key, such as ``{"federation.rounds": 3}``. Paths
            that are given here start at ``folder``.
        options: What errors call overrides, by their keys, such as ``{"federation.workers": "--workers"}``.
        folder: Where the paths of overrides start; the current folder.

    Raises:
        ConfigurationError: A file cannot be read, or a key or value is wrong.
    """
    folder_of_overrides = folder
    if isinstance(path, Mapping):
        source, folder, data = _MAPPING, Path(), dict(path)
    else:
        source, folder, data = str(path), Path(path).parent, read_yaml(Path(path))
    _check_is_experiment(data, source)
    data = deepcopy(data)
    overrides = deepcopy(dict(overrides or {}))  # a key may be put into the value of another one
    names = {key: (options or {}).get(key, f"override {shortened(key)!r}") for key in overrides}
    files: dict[Key, str] = {}
    given: dict[Key, str] = {}
    _place_files(data, folder)
    files |= place_traces(data, folder) | place_edges(data, folder)
    if "backends" in overrides:
        name, data["backends"], folder = names["backends"], overrides.pop("backends"), folder_of_overrides
        given["backends",] = name
    if isinstance(data.get("backends"), (str, Path)):
        backends_path = folder / data["backends"]
        data["backends"], folder = read_backends(backends_path), backends_path.parent
        files["backends",] = str(backends_path)
    for key, value in overrides.items():
        parts = _put(data, key, value, names[key])
        files, given = _without(files, parts), _without(given, parts) | {parts: names[key]}
    _place_files(data, folder_of_overrides)
    files |= place_traces(data, folder_of_overrides) | place_edges(data, folder_of_overrides)
    # With absolute paths the experiment does not depend on where its file is.
    experiment = validate(Experiment, data, Sources(source, files, given))
    return experiment.with_files(
        lambda name, file: str((folder / file).absolute()) if name.startswith("calibrations/") else file
    )


def parse_override(text: str) -> tuple[str, Any]:
    """Split ``KEY=VALUE`` into a dotted key and a YAML value.

    Raises:
        ConfigurationError: There is no ``=``, no key, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigurationError(f"--set must be KEY=VALUE, such as federation.rounds=3, but got {shown(text)}.")
    return key.strip(), parse_yaml(value, f"--set {shortened(key)}")


def _place_files(data: dict[str, Any], folder: Path) -> None:
    """Let a relative ``model.initial``, ``model.circuit.qpy`` and path of given data start at a folder."""
    model, examples = data.get("model"), data.get("data")
    circuit = model.get("circuit") if isinstance(model, dict) else None
    given = examples if isinstance(examples, dict) and examples.get("dataset") == "given" else None
    for section, key in ((model, "initial"), (circuit, "qpy"), (given, "path")):
        if isinstance(section, dict) and isinstance(section.get(key), str) and section[key]:
            section[key] = str((folder / section[key]).absolute())


def _check_is_experiment(data: Any, source: str) -> None:
    check_mapping(data, source)
    if {"experiment", "seeds"} <= data.keys() and not {"data", "federation"} & data.keys():
        raise ConfigurationError(f"{source} is no experiment file, but a study; `fedqml study {source}` runs it.")
    inner = data.get("backends")
    if isinstance(inner, dict) and "backends" not in inner and data.keys() <= _KEYS_OF_BACKENDS:
        if source == _MAPPING:
            raise ConfigurationError(
                "The mapping is no experiment, but the content of a backends file; it goes into `backends`."
            )
        raise ConfigurationError(
            f"{source} is no experiment file, but a backends file; `--backends {source}` gives it to an experiment."
        )


def _without(names: Mapping[Key, str], replaced: Key) -> dict[Key, str]:
    """Return the names of the sources whose values are still there after a key was given another value."""
    return {key: name for key, name in names.items() if key[: len(replaced)] != replaced}


def _put(data: dict[str, Any], key: str, value: Any, name: str) -> Key:
    """Put a value in the place of a dotted key's, and return the key in its parts."""
    parts = tuple(key.split("."))
    if len(parts) > _MOST_PARTS:
        raise ConfigurationError(f"{name}: no key of an experiment has {len(parts)} parts.")
    for depth, part in enumerate(parts[:-1]):
        if data.get(part) is None:
            data[part] = {}
        if not isinstance(data[part], dict):
            within = ".".join(parts[: depth + 1])
            raise ConfigurationError(f"{name}: {shown(within)} is a value and has no keys.")
        data = data[part]
    data[parts[-1]] = value
    return parts
