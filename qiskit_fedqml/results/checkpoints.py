"""The checkpoints of a run, a file for each, of which the last few are kept."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qiskit_fedqml.config.text_files import why
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.files import make_folder, writing

if TYPE_CHECKING:
    from qiskit_fedqml.results.checkpoint import Checkpoint

FOLDER = "checkpoints"
"""Their folder in a result folder."""
SINGLE = "checkpoint.safetensors"
"""The only checkpoint of runs that were begun before several were kept."""
_SUFFIX, _PART = ".safetensors", ".part"


class Checkpoints:
    """The checkpoints in a result folder.

    Args:
        run: The result folder.
    """

    def __init__(self, run: Path) -> None:
        self.run = run

    def newest_first(self) -> list[Path]:
        """Return what has a checkpoint's name, that of the last server step first.

        Raises:
            ResultError: Something else is in the place of the folder, or it cannot be read.
        """
        found = sorted(((step, path) for path in self._files() if (step := _step_of(path)) is not None), reverse=True)
        single = self.run / SINGLE
        return [*(path for _, path in found), *([single] if single.exists() else [])]

    def path_of(self, step: int) -> Path:
        """Return the name of the file of a server step."""
        return self.run / FOLDER / f"step-{step:06d}{_SUFFIX}"

    def save(self, checkpoint: "Checkpoint", keep: int) -> None:
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
        others = [other for other in self.newest_first() if other != path and not other.is_dir()]
        self._drop(others[keep - 1 :])

    def drop_after(self, step: int) -> None:
        """Remove the checkpoints of later server steps, and what is left of one that was being written.

        Raises:
            ResultError: They cannot be removed.
        """
        files = self._files()
        self._drop(path for path in files if (its_step := _step_of(path)) is not None and its_step > step)
        self._drop(path for path in files if path.suffix == _PART and _step_of(path.with_suffix("")) is not None)

    def remove(self) -> None:
        """Remove all of them, and their folder unless it holds something else, or is a link.

        Raises:
            ResultError: They cannot be removed.
        """
        self._drop([*self.newest_first(), self.run / SINGLE])
        self.drop_after(0)
        with suppress(OSError):
            (self.run / FOLDER).rmdir()

    def _drop(self, paths: Iterable[Path]) -> None:
        """Remove files; a folder, which no run has made there, stays."""
        with writing(self.run / FOLDER):
            for path in paths:
                if not path.is_dir():
                    path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        """Return what is in the folder; nothing where there is none."""
        folder = self.run / FOLDER
        if not folder.is_symlink() and not folder.exists():
            return []
        try:
            return [Path(entry.path) for entry in os.scandir(folder)]
        except OSError as error:
            raise ResultError(f"{folder}: cannot be read: {why(error)}.") from error


def _step_of(path: Path) -> int | None:
    """Return the server step in a file's name; None for any other file."""
    digits = path.name.removeprefix("step-").removesuffix(_SUFFIX)
    is_one = path.name == f"step-{digits}{_SUFFIX}" and digits.isascii() and digits.isdecimal() and len(digits) < 12
    return int(digits) if is_one else None
