"""Files that are written whole or not at all."""

import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from qiskit_fedqml.errors import ResultError


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write tensors as a safetensors file.

    Raises:
        ResultError: It cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, part, metadata)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except (SafetensorError, OSError) as error:
        raise ResultError(f"{path} cannot be written: {error}.") from error


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
