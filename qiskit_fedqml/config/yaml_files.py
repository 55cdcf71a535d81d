"""YAML without surprises: duplicate keys are refused, and ``1e-4`` is a number."""

import re
from pathlib import Path
from typing import Any

import yaml

from qiskit_fedqml.errors import ConfigurationError


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, with duplicate keys refused and ``1e-4`` read as a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, (str, int, float, bool)):
                raise ConfigurationError(f"A key must be a word or a number, but line {line} has {key!r}.")
            if key in seen:
                raise ConfigurationError(f"Key {key!r} stands twice (line {line}).")
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse_yaml(text: str, source: str) -> Any:
    """Parse YAML text.

    Raises:
        ConfigurationError: It is not YAML, or a key stands twice; ``source`` is named.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except ConfigurationError as error:
        raise ConfigurationError(f"{source}: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{source}: this is not YAML: {' '.join(str(error).split())}") from error


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        ConfigurationError: The file cannot be read, or :func:`parse_yaml` refuses it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigurationError(f"{path}: cannot be read: {reason}.") from error
    return parse_yaml(text, str(path))
