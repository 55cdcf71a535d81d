"""The clients' updates as files: one for each server step, in which one update follows another."""

import os
import re
from pathlib import Path

from qiskit_fedqml.config.text_files import reading
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.files import make_folder, sync_folder, writing
from qiskit_fedqml.ledger.digests import state_of

Place = tuple[int, int]
"""Where an update begins in its step's file, and its length, in bytes."""


class UpdateFiles:
    """The updates of a run; each is a whole safetensors file in the file of its step.

    Args:
        ledger: The ledger's folder.
    """

    def __init__(self, ledger: Path) -> None:
        self._folder = ledger / "updates"
        self._open: tuple[int, int] = (0, 0)

    def path_of(self, step: int) -> Path:
        """Return the name of the file of a server step."""
        return self._folder / f"step-{step:06d}.bin"

    def add(self, step: int, content: bytes) -> Place:
        """Write an update behind those of the same step, in place of what a stopped process has left there.

        Args:
            step: The server step.
            content: The update as a safetensors file.

        Raises:
            ResultError: It cannot be written.
        """
        is_first = self._open[0] != step
        start = 0 if is_first else self._open[1]
        if is_first:
            make_folder(self._folder)
        with writing(self.path_of(step)), self.path_of(step).open("wb" if is_first else "ab") as file:
            file.write(content)
        self._open = (step, start + len(content))
        return start, len(content)

    def sync(self, step: int) -> None:
        """Wait until the updates of a step are on disk.

        Raises:
            ResultError: They cannot be written.
        """
        if self._open[0] == step:
            with writing(self.path_of(step)), self.path_of(step).open("rb+") as file:
                os.fsync(file.fileno())
            sync_folder(self._folder)

    def drop_after(self, step: int) -> None:
        """Remove the files of later steps, which are run again.

        Raises:
            ResultError: They cannot be removed.
        """
        with writing(self._folder):
            for path in self._folder.glob("step-*.bin"):
                if (found := re.fullmatch(r"step-(\d{6,12})\.bin", path.name)) and int(found[1]) > step:
                    path.unlink(missing_ok=True)

    def read(self, step: int, place: Place) -> State:
        """Read an update.

        Raises:
            ResultError: The file cannot be read.
            ValueError: There is no update.
        """
        start, length = place
        if min(start, length) < 0:
            raise ValueError("it has no place in the step's file")
        with reading(self.path_of(step), ResultError) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(min(start, size))
            content = file.read(min(length, size))
        return state_of(content)
