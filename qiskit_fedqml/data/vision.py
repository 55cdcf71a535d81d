"""The one door to torchvision: opened late, because it takes seconds, and with a clear error where it fails."""

from typing import Any

import torch

from qiskit_fedqml.errors import DataError


def import_torchvision() -> Any:
    """Import torchvision.

    Raises:
        DataError: It cannot be imported, as with a CPU-only torch and PyPI's torchvision.
    """
    try:
        import torchvision
    except (ImportError, RuntimeError, AttributeError) as error:
        raise DataError(
            f"torchvision cannot be imported with torch {torch.__version__} ({error}). The two must come from one "
            "build: `pip install --force-reinstall torch torchvision` from PyPI, or both from PyTorch's CPU index."
        ) from error
    return torchvision
