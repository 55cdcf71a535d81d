"""YAML without surprises, and the one place where what goes wrong in it becomes this package's errors.

Duplicate keys are refused, ``1e-4`` is a number, and ``2024-05-01``, ``1:30`` and ``010`` are text. Values are text,
finite numbers, true and false, null, lists and mappings; whatever else YAML has (dates, sets, binary data, merge keys,
objects) is refused by its line.
"""

import math
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from qiskit_fedqml.config.text_files import read_text, why
from qiskit_fedqml.config.yaml_words import shown_as_yaml
from qiskit_fedqml.errors import ConfigurationError, shortened, shown

MOST_BYTES = 1_000_000
"""The largest file that is read: some hundred times an experiment's. Ten times as much would take 15 seconds."""

MOST_VALUES = 100_000
"""Values, keys among them, each as often as aliases repeat it; they take a second or two. An alias bomb has more."""

MOST_LEVELS = 40
"""Lists and mappings inside each other; an experiment has seven."""

MOST_BITS = 128
"""Of a whole number; a seed may be as large."""

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)$")
_FLOAT = re.compile(
    r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_UNREADABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class _Loader(yaml.SafeLoader):
    """YAML's safe loader for plain values, of bounded number and depth."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._num_values = self._num_levels = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._num_values += 1
        self._num_levels += 1
        _check_size(self._num_values, self._num_levels - 1, self.peek_event().start_mark.line)
        try:
            return super().compose_node(parent, index)
        finally:
            self._num_levels -= 1

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag not in _CONSTRUCTED:
            tag = node.tag.replace(_TAG, "!!")
            what = "a merge key (<<)" if tag == "!!merge" else f"the tag {shown(tag)}"
            raise ConfigurationError(f"line {_line(node)}: {what} is not read; write the values themselves.")
        try:
            return super().construct_object(node, deep)
        except ConfigurationError:
            raise
        except Exception as error:  # the constructors raise what int(), float() and indexing raise
            text = shown(node.value) if isinstance(node, yaml.ScalarNode) else "this"
            kind = _CONSTRUCTED[node.tag]
            raise ConfigurationError(f"line {_line(node)}: {text} cannot be read as {kind}.") from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
        return super().construct_mapping(node, deep)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge nothing: merge keys are refused."""

    def _check_keys(self, node: yaml.MappingNode) -> None:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, (str, int, float)):
                raise ConfigurationError(
                    f"line {_line(key_node)}: a key must be a word or a number, but is {shown_as_yaml(key)}."
                )
            if key in seen:
                raise ConfigurationError(f"line {_line(key_node)}: key {shown_as_yaml(key)} is given twice.")
            seen.add(key)

    def construct_plain_int(self, node: yaml.ScalarNode) -> int:
        """Return a whole number of at most 128 bits."""
        number = int(self.construct_yaml_int(node))
        if number.bit_length() > MOST_BITS:
            raise ConfigurationError(
                f"line {_line(node)}: {shown(node.value)} is too large a number: at most {MOST_BITS} bits are read."
            )
        return number

    def construct_plain_float(self, node: yaml.ScalarNode) -> float:
        """Return a finite number."""
        number = float(self.construct_yaml_float(node))
        if not math.isfinite(number):
            raise ConfigurationError(f"line {_line(node)}: a number must be finite, but is {shown(node.value)}.")
        return number

    def construct_plain_str(self, node: yaml.ScalarNode) -> str:
        """Return text of characters that can be written."""
        text = str(self.construct_scalar(node))
        if found := _UNREADABLE.search(text):
            raise ConfigurationError(
                f"line {_line(node)}: a text must be of printable characters, but has U+{ord(found[0]):04X}."
            )
        return text


_CONSTRUCTED = {
    f"{_TAG}null": "null",
    f"{_TAG}bool": "true or false",
    f"{_TAG}int": "a whole number",
    f"{_TAG}float": "a number",
    f"{_TAG}str": "text",
    f"{_TAG}seq": "a list",
    f"{_TAG}map": "a mapping",
}
_REPLACED = {f"{_TAG}{name}" for name in ("timestamp", "value", "int", "float")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{_TAG}int", _INTEGER, list("-+0123456789"))
_Loader.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-+.0123456789"))
_Loader.add_constructor(f"{_TAG}int", _Loader.construct_plain_int)
_Loader.add_constructor(f"{_TAG}float", _Loader.construct_plain_float)
_Loader.add_constructor(f"{_TAG}str", _Loader.construct_plain_str)


class _Dumper(yaml.SafeDumper):
    """YAML's safe dumper, which puts into quotation marks whatever the loader would take for a number."""


_Dumper.add_implicit_resolver(f"{_TAG}int", _INTEGER, list("-+0123456789"))
_Dumper.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-+.0123456789"))


def dump_yaml(values: Any) -> str:
    """Write plain values as YAML that :func:`parse_yaml` reads back as the same values.

    Raises:
        ConfigurationError: It would not: they are too many, or no plain values.
    """
    what = "The configuration with all its defaults"
    text = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    if parse_yaml(text, what) != values:
        raise ConfigurationError(f"{what} cannot be written as YAML.")
    return text


def parse_yaml(text: str, source: str) -> Any:
    """Parse YAML text.

    Args:
        text: The text, of at most ``MOST_BYTES`` characters.
        source: What errors call it.

    Returns:
        Text, numbers, booleans, None, lists and dictionaries of these.

    Raises:
        ConfigurationError: It is not YAML, has other values than these, a key twice, too many values or levels, a
            number of more than ``MOST_BITS`` bits, or characters that cannot be written.
    """
    if len(text) > MOST_BYTES:
        raise ConfigurationError(f"{source}: is longer than {MOST_BYTES:,} characters.")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_aliases(node)
        return loader.construct_document(node)
    except ConfigurationError as error:
        raise ConfigurationError(f"{source}: {error}") from None
    except Exception as error:  # the scanner, too, raises what chr() and int() raise
        raise ConfigurationError(f"{source}: this is not YAML: {_reason(error)}.") from error


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        ConfigurationError: The file cannot be read, is larger than ``MOST_BYTES``, or :func:`parse_yaml` refuses it.
    """
    return parse_yaml(read_text(path, ConfigurationError, MOST_BYTES), str(path))


def _check_size(num_values: int, num_levels: int, line: int) -> None:
    if num_levels > MOST_LEVELS:
        raise ConfigurationError(f"line {line + 1}: lists and mappings are nested more than {MOST_LEVELS} levels deep.")
    if num_values > MOST_VALUES:
        raise ConfigurationError(f"line {line + 1}: there are more than {MOST_VALUES:,} values, with repeated ones.")


def _check_aliases(root: yaml.Node) -> None:
    """Count values and levels, what aliases repeat as often as they do, without making any of it.

    Raises:
        ConfigurationError: There are too many, or a value contains itself.
    """
    sizes: dict[int, tuple[int, int]] = {}  # of a finished node: its values, and the levels below it
    opened: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting[-1]
        inner = _inner(node)
        unknown = [child for child in inner if id(child) not in sizes]
        if unknown and id(node) in opened:  # its inner values have been waited for, so one of them waits for it
            raise ConfigurationError(f"line {_line(node)}: a value contains itself through an alias.")
        if unknown:
            opened.add(id(node))
            waiting += unknown
            continue
        waiting.pop()
        levels = max((1 + sizes[id(child)][1] for child in inner), default=0)
        sizes[id(node)] = 1 + sum(sizes[id(child)][0] for child in inner), levels
        _check_size(*sizes[id(node)], node.start_mark.line)


def _inner(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [one for pair in node.value for one in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _reason(error: Exception) -> str:
    """Return what YAML says is wrong, in one line and without the text around it."""
    if isinstance(error, yaml.MarkedYAMLError):
        parts = [str(part) for part in (error.context, error.problem) if part]
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        return where + shortened(", ".join(" ".join(part.split()) for part in parts), 200)
    if isinstance(error, yaml.reader.ReaderError):
        return f"character {error.position + 1}, {shown(error.character)}: {error.reason}"
    return why(error)
