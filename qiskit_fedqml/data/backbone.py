"""A frozen torchvision model up to a layer: what it gives is known before anything is loaded or computed."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qiskit_fedqml.config.data import FeaturesConfig
from qiskit_fedqml.config.strict import nearest
from qiskit_fedqml.data.memory import check_memory
from qiskit_fedqml.data.messages import reason, shown
from qiskit_fedqml.data.vision import import_torchvision
from qiskit_fedqml.data.weights import State, fit_weights
from qiskit_fedqml.errors import DataError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
_PROBES = 5
"""Images of the trial on shapes; a layer whose outputs are not so many does not distinguish images."""


class Backbone:
    """A torchvision model up to a layer, as yet without weights.

    Args:
        config: The `features` section, with a backbone.

    Raises:
        DataError: torchvision has no such model, or the model no such layer.
    """

    def __init__(self, config: FeaturesConfig) -> None:
        self._config = config
        self._name, self._size = str(config.backbone), config.image_size or 0
        check_backbone(self._name)
        self._extractor = _tapped(_model(self._name), self._name, str(config.layer))

    def num_features(self, batch_size: int) -> int:
        """Return the number of features of an image, found without memory or computation.

        Args:
            batch_size: Images that are computed at once.

        Raises:
            DataError: The layer gives anything but one tensor of numbers with an entry for each image, the images do
                not fit the model, or a batch does not fit into memory.
        """
        what = f"Images of size {self._size} in {self._name}"
        check_memory(3 * 4 * self._size**2 * batch_size, what)
        try:
            with torch.inference_mode(), _watched(self._extractor) as most_bytes:
                maps = self._extractor(torch.empty(_PROBES, 3, self._size, self._size, device="meta"))["features"]
        except Exception as error:  # torch and torchvision raise many types for sizes that do not fit
            why = re.sub(r"Proxy\(\w+\)", str(self._size), reason(error))  # torch.fx's stand-in for the size
            raise DataError(
                f"Images of size {self._size} do not fit {self._name} up to {self._config.layer!r}: {why}."
            ) from error
        check_memory(max(most_bytes) // _PROBES * batch_size, what)
        self._check(maps)
        return int(self._pooled(maps).shape[1])

    def load(self, state: State) -> None:
        """Take weights: all that this part of the model has, and nothing else.

        Raises:
            DataError: One is missing or does not fit.
        """
        config = self._config
        what = f"`features.weights`: {shown(config.weights)} does not fit {self._name} up to {config.layer!r}"
        self._extractor.load_state_dict(fit_weights(state, self._extractor.state_dict(), what), assign=True)
        self._extractor.eval().requires_grad_(False)

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features of images.

        Args:
            pixels: RGB, uint8 of shape (images, size, size, 3).

        Returns:
            float32 of shape (images, features).

        Raises:
            DataError: The computation fails, or gives values that are not finite.
        """
        mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_DEVIATION))
        try:
            with torch.inference_mode():
                x = torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2).float() / 255
                features = self._pooled(self._extractor((x - mean) / deviation)["features"])
        except (RuntimeError, MemoryError) as error:  # torch has no type of its own for too little memory
            raise DataError(f"{self._name} failed on images of size {self._size}: {reason(error)}.") from error
        if not torch.isfinite(features).all():
            raise DataError(
                f"{self._name} gives values at {self._config.layer!r} that are not finite; its weights are not sound."
            )
        return features.numpy()

    def _check(self, maps: Any) -> None:
        config = self._config
        if not isinstance(maps, torch.Tensor):
            gives = f"one {type(maps).__name__}"
        else:
            gives = f"{maps.dtype} of shape {tuple(maps.shape)} for {_PROBES} images"
        tells_apart = isinstance(maps, torch.Tensor) and maps.ndim > 1 and len(maps) == _PROBES and maps[0].numel()
        if not tells_apart or not maps.is_floating_point():
            raise DataError(
                f"`features.layer`: {config.layer!r} of {self._name} must give one tensor of floats with an entry for "
                f"each image, but gives {gives}; take another layer."
            )
        if config.pooling == "average" and (maps.ndim != 4 or maps.shape[2] != maps.shape[3]):
            raise DataError(
                f"`features.pooling: average` needs channels × height × width of a square image, but {self._name} "
                f"gives {tuple(maps.shape[1:])} at {config.layer!r}; take `flatten`, or another layer."
            )

    def _pooled(self, maps: torch.Tensor) -> torch.Tensor:
        return (maps.mean(dim=(2, 3)) if self._config.pooling == "average" else maps).flatten(start_dim=1)


def check_backbone(name: str) -> None:
    """Check that torchvision has a model.

    Raises:
        DataError: It has not.
    """
    models = import_torchvision().models
    known = models.list_models(module=models)
    if name not in known:
        raise DataError(f"`features.backbone`: torchvision has no model {shown(repr(name))}{nearest(name, known)}")


def _model(name: str) -> torch.nn.Module:
    """Build a model without its weights' memory; they come from a file, so none are drawn."""
    build = partial(import_torchvision().models.get_model, name, weights=None)
    try:
        with torch.device("meta"):
            model: torch.nn.Module = build()
    except NotImplementedError:  # RegNet computes its widths with tensors, which must have values
        with torch.random.fork_rng(devices=[]):
            model = build().to("meta")
    return model.eval()


def _tapped(model: torch.nn.Module, name: str, layer: str) -> torch.nn.Module:
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    nodes = get_graph_node_names(model)[1]
    try:
        extractor: torch.nn.Module = create_feature_extractor(model, {layer: "features"})
    except ValueError as error:
        raise DataError(f"`features.layer`: {name} has no layer {shown(repr(layer))}{nearest(layer, nodes)}") from error
    return extractor


@contextmanager
def _watched(extractor: torch.nn.Module) -> Iterator[list[int]]:
    """Note the bytes that each module's inputs and output have together, while the context lasts."""
    seen = [0]

    def note(module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        tensors = [value for value in (*inputs, output) if isinstance(value, torch.Tensor)]
        seen.append(sum(tensor.numel() * tensor.element_size() for tensor in tensors))

    hooks = [module.register_forward_hook(note) for module in extractor.modules()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
