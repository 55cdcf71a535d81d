"""SQLite's files and errors: what it raises becomes one sentence of the package."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qiskit_fedqml.errors import ResultError

_LOCK_SECONDS = 30.0
"""How long another process may keep a file locked."""
_REASONS = {
    "BUSY": "another process works on it",
    "LOCKED": "another process works on it",
    "READONLY": "it is read-only",
    "FULL": "the disk is full",
    "IOERR": "the disk failed, or is full",
    "NOTADB": "it is not a file of this package",
    "CORRUPT": "it is damaged",
    "ERROR": "its tables are not those of this package",
    "CANTOPEN": "there is no such file that this user may open",
}
"""What SQLite's errors mean here, by the second word of their names."""


def connected(path: Path | None, *, read_only: bool = False, lock_seconds: float | None = None) -> sqlite3.Connection:
    """Return a connection that several threads may share, and that commits nothing by itself.

    Args:
        path: The file; None keeps everything in memory.
        read_only: Whether the file is only looked at.
        lock_seconds: How long another process may keep it locked; None is half a minute.

    Raises:
        ResultError: The path cannot be a file's, or is that of something else than a file.
        sqlite3.Error: It cannot be opened; see :func:`mapped`.
    """
    try:
        if "\0" in str(path):
            raise ValueError("a null character")
        if path is not None and path.exists() and not path.is_file():  # a pipe would be waited for
            raise ResultError(f"{path} is {'a folder' if path.is_dir() else 'a pipe or a device'}, not a file.")
        name = f"{path.absolute().as_uri()}?mode=ro" if path and read_only else str(path or ":memory:")
        seconds = _LOCK_SECONDS if lock_seconds is None else lock_seconds
        db = sqlite3.connect(name, timeout=seconds, check_same_thread=False, isolation_level=None, uri=read_only)
    except (ValueError, OSError) as error:
        raise ResultError(f"{str(path)!a} cannot be the name of a file.") from error
    db.execute("PRAGMA synchronous=FULL")  # a row must be on disk before its job is sent
    return db


@contextmanager
def mapped(what: str) -> Iterator[None]:
    """Let SQLite's errors come out as one sentence.

    Args:
        what: Its beginning, such as "The journal x cannot be read".

    Raises:
        ResultError: With the reason.
    """
    try:
        yield
    except UnicodeDecodeError as error:  # sqlite3 quotes the damaged schema in its own error, and fails at that
        raise ResultError(f"{what}: {_REASONS['CORRUPT']}.") from error
    except sqlite3.Error as error:
        raise ResultError(f"{what}: {_reason(error)}.") from error


def _reason(error: sqlite3.Error) -> str:
    words = str(getattr(error, "sqlite_errorname", "")).split("_")
    if len(words) > 1 and words[1] in _REASONS:
        return _REASONS[words[1]]
    return "it is closed" if isinstance(error, sqlite3.ProgrammingError) else f"SQLite failed ({type(error).__name__})"
