"""The checkpoints of a run, a file for each, of which the last few are kept."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from qiskit_fedqml.files import make_folder, writing
from qiskit_fedqml.results.checkpoint import Checkpoint

FOLDER = "checkpoints"
"""Their folder in a result folder."""
SINGLE = "checkpoint.safetensors"
"""The only checkpoint of runs that were begun before several were kept."""
_SUFFIX = ".safetensors"


class Checkpoints:
    """The checkpoints in a result folder.

    Args:
        run: The result folder.
    """

    def __init__(self, run: Path) -> None:
        self.run = run

    def newest_first(self) -> list[Path]:
        """Return the files, that of the last server step first."""
        found = sorted(((step, path) for path in self._files() if (step := _step_of(path)) is not None), reverse=True)
        single = self.run / SINGLE
        return [*(path for _, path in found), *([single] if single.exists() else [])]

    def path_of(self, step: int) -> Path:
        """Return the name of the file of a server step."""
        return self.run / FOLDER / f"step-{step:06d}{_SUFFIX}"

    def save(self, checkpoint: Checkpoint, keep: int) -> None:
        """Write a checkpoint, and then remove those that are no longer kept.

        Args:
            checkpoint: The last one, of the server step that its values name.
            keep: How many stay, with this one.

        Raises:
            ResultError: It cannot be written.
        """
        make_folder(self.run / FOLDER)
        path = self.path_of(checkpoint.header.values["step"])
        checkpoint.save(path)
        others = [other for other in self.newest_first() if other != path]
        with writing(self.run / FOLDER):
            for old in others[keep - 1 :]:
                old.unlink(missing_ok=True)

    def drop_after(self, step: int) -> None:
        """Remove the checkpoints of later server steps, and what is left of one that was being written.

        Raises:
            ResultError: They cannot be removed.
        """
        with writing(self.run / FOLDER):
            for path in list(self._files()):
                its_step = _step_of(path)
                if path.suffix == ".part" or (its_step is not None and its_step > step):
                    path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all of them.

        Raises:
            ResultError: They cannot be removed.
        """
        with writing(self.run / FOLDER):
            for path in [*self._files(), self.run / SINGLE]:
                path.unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                (self.run / FOLDER).rmdir()

    def _files(self) -> Iterator[Path]:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.run / FOLDER) as entries:
            yield from (Path(entry.path) for entry in entries)


def _step_of(path: Path) -> int | None:
    """Return the server step in a file's name; None for any other file."""
    digits = path.name.removeprefix("step-").removesuffix(_SUFFIX)
    is_one = path.name == f"step-{digits}{_SUFFIX}" and digits.isascii() and digits.isdecimal() and len(digits) < 12
    return int(digits) if is_one else None
