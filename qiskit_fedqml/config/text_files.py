"""Text and JSON from outside: the one place where what goes wrong in reading them becomes this package's errors."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from qiskit_fedqml.errors import FedQMLError, shortened

_LONGEST_NAME = 1000
"""Characters of a path in an error's text; what is longer is none that a system has."""


@contextmanager
def reading(path: Path, error: type[FedQMLError]) -> Iterator[BufferedReader]:
    """Open a file to be read; a folder, a pipe or a device is none.

    Args:
        path: The file.
        error: What is raised.

    Raises:
        FedQMLError: As ``error``: it is not there, no file, not to be opened, or what is read inside is malformed.
    """
    name = shortened(str(path), _LONGEST_NAME)
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise error(f"{name}: cannot be read: it is {'a folder' if path.is_dir() else 'not a file'}.")
        with path.open("rb") as file:
            yield file
    except (OSError, ValueError) as reason:
        if isinstance(reason, FedQMLError):
            raise
        raise error(f"{name}: cannot be read: {why(reason)}.") from reason


def read_text(path: Path, error: type[FedQMLError], most_bytes: int | None = None) -> str:
    """Read a text file.

    Args:
        path: The file, UTF-8, with or without a byte order mark.
        error: What is raised.
        most_bytes: The largest size that is read; None reads any.

    Raises:
        FedQMLError: As ``error``: it cannot be read, is too large, or not UTF-8.
    """
    with reading(path, error) as file:
        content = file.read() if most_bytes is None else file.read(most_bytes + 1)
        if most_bytes is not None and len(content) > most_bytes:
            raise error(f"{path}: cannot be read: it is larger than {most_bytes:,} bytes.")
        return content.decode("utf-8-sig")


def parse_json(text: str | bytes, source: str, error: type[FedQMLError]) -> Any:
    """Parse JSON; NaN and infinity, which JSON does not have, are refused.

    Args:
        text: The text.
        source: What errors call it.
        error: What is raised.

    Raises:
        FedQMLError: As ``error``: it is not JSON, is nested too deeply, or has a number of thousands of digits.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as reason:
        raise error(f"{source} is not JSON: {why(reason)}.") from reason


def why(reason: Exception) -> str:
    """Return why a file or a text from outside was refused, in a few words of this package or of the system."""
    text = str(reason)
    if isinstance(reason, json.JSONDecodeError):
        return f"{reason.msg} at line {reason.lineno}, column {reason.colno}"
    if isinstance(reason, OSError):
        return reason.strerror or text
    plain = {UnicodeDecodeError: "it is not UTF-8 text", UnicodeEncodeError: "its name is not UTF-8 text"}
    if isinstance(reason, RecursionError):
        return "it is nested too deeply"
    if "null" in text:  # "embedded null byte", "embedded null character in path"
        return "its name holds a NUL character"
    return plain.get(type(reason), "a number has too many digits" if "digits" in text else text)


def unusable(path: Path) -> str | None:
    """Return why the system takes no such path, whether there is a file or not; None if it does."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as reason:
        return why(reason)
    return None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")
