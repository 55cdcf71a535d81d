"""One process at a time works on a result folder."""

from pathlib import Path
from sqlite3 import Connection

from qiskit_fedqml.backends.devices.database import connected, mapped
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
        self._held: Connection | None = None

    def acquire(self) -> None:
        """Take the lock, if the folder exists and it is not taken already.

        Raises:
            ResultError: Another process has it, it cannot be written, or something else is in its place.
        """
        if self._held is not None or not self._folder.is_dir():
            return
        try:
            with mapped(f"{self._folder} cannot be used now"):
                connection = connected(self._folder / LOCK, lock_seconds=0)
                try:
                    connection.execute("BEGIN EXCLUSIVE")
                except BaseException:
                    connection.close()
                    raise
        except ResultError as error:
            if getattr(error.__cause__, "sqlite_errorname", "") == "SQLITE_NOTADB":
                raise ResultError(f"{self._folder / LOCK} is not the lock of a run; it must be removed.") from error
            raise
        self._held = connection
        if not (self._folder / LOCK).exists():  # it was removed with its folder, which had stayed empty
            self.release()
            raise ResultError(f"{self._folder} cannot be used now: another process has just left it.")

    def release(self) -> None:
        """Let go of the lock."""
        held, self._held = self._held, None
        if held is not None:
            held.close()
