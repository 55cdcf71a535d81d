"""An experiment file, read and checked, with the values that a command puts in place of the file's."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.strict import validate
from qiskit_fedqml.config.traces import place_traces
from qiskit_fedqml.config.yaml_files import parse_yaml, read_yaml
from qiskit_fedqml.errors import ConfigurationError, shortened, shown

_MOST_PARTS = 20
"""Of a dotted key; the deepest key of an experiment has seven, options of a primitive a few more."""


def load_experiment(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Read an experiment file.

    Args:
        path: The YAML file. Its key ``backends`` holds a backends file's content, or its path from the folder of the
            experiment file; a relative ``model.initial`` and the paths of
            traces start at that folder too.
        overrides: Values to put in place of the file's, by dotted key, such as ``{"federation.rounds": 3}``. Paths
            that are given here start at the current folder.

    Raises:
        ConfigurationError: A file cannot be read, or a key or value is wrong.
    """
    path = Path(path)
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path}: must be a mapping of keys to values, but got {type(data).__name__}.")
    data = deepcopy(data)
    overrides = deepcopy(dict(overrides or {}))  # a key may be put into the value of another one
    folder = path.parent
    _place_initial(data, folder)
    place_traces(data, folder)
    if "backends" in overrides:
        data["backends"], folder = overrides.pop("backends"), Path()
    if isinstance(data.get("backends"), (str, Path)):
        backends_path = folder / data["backends"]
        data["backends"], folder = read_yaml(backends_path), backends_path.parent
    for key, value in overrides.items():
        _put(data, key, value)
    _place_initial(data, Path())
    place_traces(data, Path())
    # With absolute paths the experiment does not depend on where its file is.
    experiment = validate(Experiment, data, str(path))
    return experiment.with_calibrations(lambda _, calibration: str((folder / calibration).absolute()))


def parse_override(text: str) -> tuple[str, Any]:
    """Split ``KEY=VALUE`` into a dotted key and a YAML value.

    Raises:
        ConfigurationError: There is no ``=``, no key, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigurationError(f"--set must be KEY=VALUE, such as federation.rounds=3, but got {shown(text)}.")
    return key.strip(), parse_yaml(value, f"--set {shortened(key)}")


def _place_initial(data: dict[str, Any], folder: Path) -> None:
    """Let a relative ``model.initial`` start at a folder."""
    model = data.get("model")
    if isinstance(model, dict) and isinstance(model.get("initial"), str) and model["initial"]:
        model["initial"] = str((folder / model["initial"]).absolute())


def _put(data: dict[str, Any], key: str, value: Any) -> None:
    parts = key.split(".")
    if len(parts) > _MOST_PARTS:
        raise ConfigurationError(f"--set {shortened(key)}: no key of an experiment has {len(parts)} parts.")
    for depth, part in enumerate(parts[:-1]):
        if data.get(part) is None:
            data[part] = {}
        if not isinstance(data[part], dict):
            within = ".".join(parts[: depth + 1])
            raise ConfigurationError(f"--set {shortened(key)}: {shown(within)} is a value and has no keys.")
        data = data[part]
    data[parts[-1]] = value
