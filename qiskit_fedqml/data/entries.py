"""What a folder of data holds: without hidden and system files, and with links followed."""

import os
from pathlib import Path
from typing import NamedTuple

from qiskit_fedqml.data.messages import reason, shown
from qiskit_fedqml.errors import DataError

_MADE_BY_SYSTEMS = frozenset(
    {
        *("__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
        *("lost+found", "@eadir", "@__thumb", "#recycle", "__pycache__"),
    }
)
"""Names, in lower case, of what macOS, Windows, Linux, storage servers and Python leave in folders."""


class Entry(NamedTuple):
    """A file or folder.

    Args:
        path: Where it was found.
        real: What it is behind links.
        is_folder: Whether that is a folder.
        is_file: Whether that is a regular file.
    """

    path: Path
    real: Path
    is_folder: bool
    is_file: bool


def visible_entries(folder: Path) -> list[Entry]:
    """Return what a folder holds, sorted by name, without hidden entries and those that systems make.

    Raises:
        DataError: It is no folder, cannot be read, or holds a link that leads nowhere.
    """
    try:
        real = folder.resolve()
        with os.scandir(folder) as scan:
            found = sorted(scan, key=lambda entry: entry.name)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise DataError(f"{shown(folder)} cannot be read as a folder: {reason(error)}.") from error
    return [_entry(folder, real, entry) for entry in found if not _is_hidden(entry.name)]


def _entry(folder: Path, real: Path, entry: "os.DirEntry[str]") -> Entry:
    path = folder / entry.name
    try:
        if entry.is_symlink():
            return Entry(path, path.resolve(strict=True), entry.is_dir(), entry.is_file())
        return Entry(path, real / entry.name, entry.is_dir(), entry.is_file())
    except (OSError, RuntimeError) as error:
        raise DataError(f"{shown(path)} is a link that cannot be followed: {reason(error)}.") from error


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _MADE_BY_SYSTEMS
