"""Fuzzed weights of a backbone: damaged files, foreign pickles, and tensors of other kinds."""

import io
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from parts.fuzz_cases import Case, DifferentError, Kind, assemble_on, damaged

FEATURES = {"backbone": "squeezenet1_1", "layer": "features.2", "image_size": 16, "pooling": "average"}
"""Features that take milliseconds."""


class _Marks:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def prepare_weights(base: Path) -> None:
    """Write the weights of the first layers of a backbone."""
    torch.manual_seed(0)
    state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    small = {name: tensor for name, tensor in state.items() if name.startswith("features.0.")}
    torch.save(small, base / "weights.pth")


def _torch_saved(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def _weights(rng: random.Random, base: Path, folder: Path) -> Case:
    whole = (base / "weights.pth").read_bytes()
    state = torch.load(base / "weights.pth", weights_only=True)
    name, path, mark = rng.choice(list(state)), folder / "weights.pth", folder / "unpickled"
    if rng.random() < 0.55:
        content, change = damaged(whole, rng)
        path.write_bytes(content)
    else:
        odd = _odd_weights(state, name, mark)
        change = rng.choice(list(odd))
        value = odd[change]()
        if isinstance(value, bytes):
            path.write_bytes(value)
        change = f"{name} {change}"
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)
    labels = {"y_train": np.arange(12) % 2, "y_test": np.arange(6) % 2}
    np.savez(folder / "images.npz", x_train=pixels, x_test=pixels[:6], **labels)
    data = {"dataset": "npz", "path": "images.npz"}

    def run() -> None:
        try:
            assemble_on(folder, data, {**FEATURES, "weights": "weights.pth"})
        finally:
            if mark.exists():
                raise DifferentError("a pickle was loaded")

    return Case(change, run)


def _odd_weights(state: dict[str, torch.Tensor], name: str, mark: Path) -> dict[str, Callable[[], Any]]:
    from safetensors.torch import save

    def other(tensor: Any) -> Callable[[], bytes]:
        return lambda: _torch_saved({**state, name: tensor()})

    of = state[name]
    return {
        "in an empty file": lambda: b"",
        "in a text file": lambda: b"weights",
        "as a pickle": lambda: pickle.dumps({k: v.numpy() for k, v in state.items()}),
        "with a pickle that acts": lambda: _torch_saved({**state, "x": _Marks(str(mark))}),
        "in a pickle that acts": lambda: pickle.dumps(_Marks(str(mark))),
        "in the old format": lambda: _torch_saved(state, _use_new_zipfile_serialization=False),
        "as safetensors": lambda: save(state),
        "of type half": other(of.half),
        "of type double": other(of.double),
        "of type int": other(of.int),
        "of type bool": other(of.bool),
        "complex": other(lambda: of.to(torch.complex64)),
        "with NaN": other(lambda: of * float("nan")),
        "with infinity": other(lambda: of / 0),
        "sparse": other(of.to_sparse),
        "on meta": other(lambda: of.to("meta")),
        "of another shape": other(of.flatten),
        "without dimensions": other(lambda: torch.tensor(1.0)),
        "empty": other(lambda: torch.zeros(0)),
        "not contiguous": other(lambda: of.expand(2, *of.shape)[0] if of.ndim == 1 else of.transpose(0, 1)),
        "as a number": lambda: _torch_saved({**state, name: 1.0}),
        "as None": lambda: _torch_saved({**state, name: None}),
        "as a list": lambda: _torch_saved({**state, name: of.tolist()}),
        "missing": lambda: _torch_saved({k: v for k, v in state.items() if k != name}),
        "below another key": lambda: _torch_saved({"state_dict": state}),
        "beside a number as key": lambda: _torch_saved({**state, 5: of}),
        "with others": lambda: _torch_saved({**state, "more": of}),
        "in a list": lambda: _torch_saved(list(state.values())),
        "alone": lambda: _torch_saved(of),
        "as a parameter": lambda: _torch_saved({**state, name: torch.nn.Parameter(of)}),
        "in a folder": (mark.parent / "weights.pth").mkdir,
        "in no file": lambda: None,
        "behind a dead link": lambda: (mark.parent / "weights.pth").symlink_to("/nonexistent"),
        "in a pipe": lambda: os.mkfifo(mark.parent / "weights.pth"),
    }


KINDS = {"weights": Kind(prepare_weights, _weights)}
