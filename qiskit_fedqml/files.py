"""Files that are written whole or not at all; the one place where what goes wrong in it becomes a ResultError."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qiskit_fedqml.errors import FedQMLError, ResultError, shown

if TYPE_CHECKING:
    import torch


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Let what the system refuses inside become one error.

    Args:
        path: What is written, as the error calls it.

    Raises:
        ResultError: It cannot be written: no folder, no room, not allowed, or a name that the file system doesn't take.
    """
    try:
        yield
    except FedQMLError:  # some are ValueErrors too
        raise
    except OSError as error:
        raise ResultError(f"{path} cannot be written: {error.strerror or error}.") from error
    except UnicodeError as error:
        raise ResultError(f"{path} cannot be written: its name is not UTF-8 text.") from error
    except ValueError as error:  # pathlib's and the system's, for names
        raise ResultError(f"{path} cannot be written: it is no name of a file: {error}.") from error


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless it is there.

    Raises:
        ResultError: It cannot be made.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, as UTF-8.

    Raises:
        ResultError: It cannot be written.
    """
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise ResultError(f"{path} cannot be written: its text holds {shown(error.object[error.start])}.") from error
    write_bytes(path, content)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; to a pipe or a device it is written as it is.

    Raises:
        ResultError: It cannot be written.
    """
    with writing(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(content)
            return
        with replacing(path) as part, part.open("wb") as file:
            file.write(content)


def check_replaceable(path: Path, content: bytes | None = None, *, instead: str = "choose another name") -> None:
    """Check that nothing is lost where a file is written: there is none, or it has the same content.

    Args:
        path: The file. A pipe or a device keeps nothing, and a folder is in the way of whoever writes; both pass.
        content: What is to be written; None accepts no file, whatever it holds.
        instead: What else can be done, for the error.

    Raises:
        ResultError: There is a file, with other content.
    """
    with writing(path):
        is_kept = os.path.lexists(path) and (path.is_file() or not path.exists())
        if is_kept and (content is None or not _holds(path, content)):
            raise ResultError(f"{path} exists already; {instead}, or replace it (--overwrite).")


def write_new(contents: Mapping[Path, bytes], *, overwrite: bool, instead: str = "choose another name") -> None:
    """Write files, all or none where others are in their place.

    Args:
        contents: What is to be written, by its path.
        overwrite: Whether files with other content may be replaced.
        instead: As :func:`check_replaceable`.

    Raises:
        ResultError: One exists already with other content, or cannot be written.
    """
    for path, content in contents.items():
        if not overwrite:
            check_replaceable(path, content, instead=instead)
    for path, content in contents.items():
        write_bytes(path, content)


def _holds(path: Path, content: bytes) -> bool:
    """Return whether a file has this content; not where it cannot be read."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False


def save_tensors(path: Path, tensors: "Mapping[str, torch.Tensor]", metadata: dict[str, str]) -> None:
    """Write tensors as a safetensors file, whole or not at all, with the permissions that any other file has.

    Tensors that share memory, such as a model that a step has left as it was and an earlier one, are written each.

    Raises:
        ResultError: It cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    plain, seen = {}, set[int]()
    for name, tensor in tensors.items():
        one = tensor.detach().cpu().contiguous()
        memory = one.untyped_storage().data_ptr()
        plain[name] = one.clone() if memory in seen else one  # safetensors takes no two that share memory
        seen.add(memory)
    with writing(path), replacing(path) as part:
        part.touch()
        mode = part.stat().st_mode
        try:
            save_file(plain, part, metadata)
        except SafetensorError as error:
            raise ResultError(f"{path} cannot be written: {error}.") from error
        part.chmod(mode)  # safetensors makes files that only their owner may read


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the name of a file that takes the place of another once it is on disk, and is removed if it is not.

    Raises:
        OSError: It cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on disk, where the system has a way to ask for that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some file systems of networks refuse it
            os.fsync(folder)
    finally:
        os.close(folder)
