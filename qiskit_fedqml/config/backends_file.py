"""A backends file, read but not checked yet."""

from pathlib import Path
from typing import Any

from qiskit_fedqml.config.validation import check_mapping
from qiskit_fedqml.config.yaml_files import read_yaml
from qiskit_fedqml.errors import ConfigurationError


def read_backends(path: Path) -> dict[str, Any]:
    """Read what a backends file holds.

    Raises:
        ConfigurationError: The file cannot be read, or is an experiment file.
    """
    data: dict[str, Any] = read_yaml(path)
    check_mapping(data, str(path))
    if found := [key for key in ("data", "federation") if key in data]:  # which each experiment has
        raise ConfigurationError(
            f"{path} is no backends file, but an experiment file with the {'key' if len(found) == 1 else 'keys'} "
            f"{' and '.join(found)}; its section `backends` can be a "
            "file of its own."
        )
    return data
