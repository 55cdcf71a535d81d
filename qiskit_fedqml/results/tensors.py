"""A file of tensors, read back."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from qiskit_fedqml.config.text_files import reading
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.federation.messages import State


def load_tensors(path: Path) -> State:
    """Read the tensors of a safetensors file.

    Raises:
        ResultError: It cannot be read, or is damaged.
    """
    try:
        with reading(path, ResultError):
            return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ResultError(f"{path} is damaged: {error}.") from error
