"""The confusion matrix of a run's final model, as a file of its folder."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.config.text_files import parse_json, read_text
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.files import write_text
from qiskit_fedqml.results.manifest import load_manifest

CONFUSION = "confusion.json"
"""A list for each class: how many of its examples are taken for which class."""


def save_confusion(folder: Path, matrix: NDArray[np.int64]) -> None:
    """Write a matrix of shape (classes, classes predicted).

    Raises:
        OSError: It cannot be written.
    """
    write_text(folder / CONFUSION, f"{json.dumps(matrix.tolist())}\n")


def load_confusion(folder: Path) -> NDArray[np.int64] | None:
    """Read a matrix; None of runs that are not finished, or of versions that did not write it.

    Raises:
        ResultError: It is damaged, or of another run.
    """
    manifest = load_manifest(folder)
    if manifest is None or CONFUSION not in manifest.files:
        return None
    manifest.check_file(folder, CONFUSION)
    path = folder / CONFUSION
    return np.array(parse_json(read_text(path, ResultError), str(path), ResultError), dtype=np.int64)
