"""One process at a time works on a result folder."""

import sqlite3
from pathlib import Path

from qiskit_fedqml.errors import ResultError

LOCK = "run.lock"
"""The lock's file in a result folder; it stays there."""


class FolderLock:
    """A lock that the system lets go of when the process ends, however it does.

    It is an exclusive transaction on an empty database in the folder, since these lock files on every system.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: sqlite3.Connection | None = None

    def acquire(self) -> None:
        """Take the lock, if the folder exists and it is not taken already.

        Raises:
            ResultError: Another process has it, or it cannot be written.
        """
        if self._held is not None or not self._folder.is_dir():
            return
        connection = sqlite3.connect(self._folder / LOCK, timeout=0, check_same_thread=False)
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            connection.close()
            reason = "another process works on it" if "locked" in str(error) else str(error)
            raise ResultError(f"{self._folder} cannot be used now: {reason}.") from error
        self._held = connection
        if not (self._folder / LOCK).exists():  # it was removed with its folder, which had stayed empty
            self.release()
            raise ResultError(f"{self._folder} cannot be used now: another process has just left it.")

    def release(self) -> None:
        """Let go of the lock."""
        held, self._held = self._held, None
        if held is not None:
            held.close()
