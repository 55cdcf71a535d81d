"""Weights from outside: state dicts of tensors, never unpickled, and fitted to the model that takes them."""

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch

from qiskit_fedqml.data.location import find_data
from qiskit_fedqml.data.messages import listed, reason, shown
from qiskit_fedqml.data.vision import import_torchvision
from qiskit_fedqml.errors import DataError

State = dict[str, torch.Tensor]

_FOLDER = "weights"
"""Where files of weights are that somebody has downloaded, in the folder of data."""


def load_weights(file: Path) -> State:
    """Load a state dict that ``torch.save`` wrote.

    Raises:
        DataError: The file holds anything else.
    """
    try:
        if not file.stat().st_size:
            raise EOFError("the file is empty")
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for a file that is not a state dict
        raise DataError(f"{shown(file)} is not a state dict of tensors: {_explained(error)}.") from error
    return _checked(state, str(file))


def torchvision_weights(backbone: str) -> State:
    """Load torchvision's best weights of a model.

    They are looked for in the folder ``weights`` of ``$FEDQML_DATA`` or the current folder, under torchvision's name of
    the file. If they are not there, torchvision downloads and keeps them.

    Raises:
        DataError: They could not be downloaded, or are damaged.
    """
    default = import_torchvision().models.get_model_weights(backbone).DEFAULT
    if (file := _downloaded_by_hand(default.url)) is not None:
        return load_weights(file)
    try:
        with redirect_stdout(sys.stderr):  # torch prints what it downloads
            state = default.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # of the network, of the disk, or of torch for a damaged file
        raise DataError(
            f"torchvision's weights of {backbone} could not be downloaded ({_explained(error)}). Put the file "
            f"{default.url} into {_where()}, or name another state-dict file in `features.weights`."
        ) from error
    return _checked(state, f"torchvision's weights of {backbone}")


def _downloaded_by_hand(url: str) -> Path | None:
    """Return the file that somebody has downloaded already; None if there is none.

    Raises:
        DataError: It is not that file: the start of its SHA-256 is not the one in its name.
    """
    name = url.rpartition("/")[2]
    try:
        file = find_data(f"{_FOLDER}/{name}")
    except DataError:
        return None
    wanted = re.search(r"-([a-f0-9]{8,})\.", name)
    if wanted is not None and not file_digest(file).startswith(wanted[1]):
        raise DataError(
            f"{shown(file)} is damaged, or another file: its SHA-256 must begin with {wanted[1]}. Put the file {url} "
            "there again, or remove it."
        )
    return file


def _where() -> str:
    """Return where a file can be put that somebody downloads."""
    if folder := os.environ.get("FEDQML_DATA"):
        return f"the folder {shown(Path(folder) / _FOLDER)}"
    return f"a folder `{_FOLDER}`, here or in the folder that the environment variable FEDQML_DATA names"


def file_digest(file: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{shown(file)} cannot be read: {reason(error)}.") from error


def fit_weights(state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], what: str) -> State:
    """Return those of a state dict's tensors that a model wants, cast to the model's dtypes.

    Files of older PyTorch versions do not have batch normalisation's ``num_batches_tracked``, which counts batches in
    training alone; it is then 0.

    Args:
        state: The state dict.
        wanted: The model's own state dict; its values do not matter.
        what: What is fitted to what, as the subject of the message.

    Raises:
        DataError: A tensor is missing, or does not fit.
    """
    fitted = {}
    for key, tensor in wanted.items():
        given = state.get(key)
        if given is None and key.endswith(".num_batches_tracked"):
            given = torch.zeros(tensor.shape, dtype=tensor.dtype)
        if given is None:
            similar = next((name for name in state if str(name).endswith(f".{key}")), None)
            raise DataError(f"{what}: {key} is missing{f', but {shown(similar)} is there' if similar else ''}.")
        if misfit := _misfit(given, tensor):
            raise DataError(f"{what}: {key} {misfit}.")
        fitted[key] = given.to(tensor.dtype)
    return fitted


def _misfit(given: torch.Tensor, wanted: torch.Tensor) -> str | None:
    if given.shape != wanted.shape:
        return f"has shape {tuple(given.shape)} instead of {tuple(wanted.shape)}"
    if given.is_meta or given.is_quantized or given.is_complex() or given.layout != torch.strided:
        return f"is no plain tensor of real numbers but of {given.dtype}, {given.layout}, {given.device}"
    if not torch.isfinite(given.to(wanted.dtype)).all():
        return f"has NaN or infinite values as {wanted.dtype}"
    return None


def _checked(state: Any, source: str) -> State:
    if isinstance(state, dict) and _all_tensors(state):
        return state
    if not isinstance(state, dict):
        raise DataError(f"{shown(source)} must be a state dict of tensors, but holds one {type(state).__name__}.")
    inner = [key for key, value in state.items() if isinstance(value, dict) and _all_tensors(value)]
    hint = f"; save what {shown(repr(inner[0]))} holds alone" if inner else ""
    raise DataError(f"{shown(source)} must be a state dict of tensors, but has the keys {listed(list(state))}{hint}.")


def _all_tensors(state: dict[Any, Any]) -> bool:
    return bool(state) and all(isinstance(value, torch.Tensor) for value in state.values())


def _explained(error: Exception) -> str:
    """Return the cause in our own words where torch's would advise to run the code in a file."""
    text = str(error)
    if named := re.search(r"Unsupported (?:global: GLOBAL|class) ([\w.]+)", text):
        return f"it needs the code {named[1]}, which is not run; save `model.state_dict()` alone"
    return "it holds code or is damaged; save `model.state_dict()`" if "weights_only" in text else reason(error)
