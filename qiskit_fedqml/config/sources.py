"""Where the values of a configuration come from, for errors: a file, another file that it names, an option."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from qiskit_fedqml.errors import listed

Key = tuple[str, ...]
"""A key of a configuration, in its parts."""


@dataclass(frozen=True)
class Place:
    """Where an error is.

    Args:
        source: What errors call the source of the value.
        key: The key as it is in this source; empty for the whole of it.
        is_option: Whether the source is an option, whose name says which value is meant.
    """

    source: str
    key: Key
    is_option: bool = False

    def sentence(self, words: str) -> str:
        """Return a sentence about the value, without its full stop."""
        if self.key:
            return f"{self.source}: key {'.'.join(self.key)!r}: {words}"
        return f"{self.source}{' ' if self.is_option and words.startswith('must ') else ': '}{words}"


@dataclass(frozen=True)
class Sources:
    """Where the values of a configuration come from.

    Args:
        whole: What errors call the source of all values but the following ones, such as the path of a file.
        files: For some keys, the file that has their values; keys in it start at its own top.
        options: For some keys, the option or argument that has given their values.
    """

    whole: str
    files: Mapping[Key, str] = field(default_factory=dict)
    options: Mapping[Key, str] = field(default_factory=dict)

    def place(self, key: Key, *, compares: bool = False) -> Place:
        """Return where the value of a key comes from.

        Args:
            key: The key in the whole configuration.
            compares: Whether the error is about several values below the key, which do not fit together.
        """
        names = {**self.options, **self.files}
        owner = max((of for of in names if key[: len(of)] == of), key=len, default=())
        source = names.get(owner, self.whole)
        if compares and (others := [name for of, name in names.items() if of != owner and of[: len(key)] == key]):
            source = f"{source} with {listed(others, 5)}"
        if owner in self.files:
            return Place(source, key[len(owner) :])
        is_option = bool(owner)
        return Place(source, () if is_option and key == owner else key, is_option)
