"""Features of images from a frozen, pretrained backbone: computed once, in bounded memory, and cached on disk."""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

import numpy as np
import PIL
import torch
from numpy.typing import NDArray

from qiskit_fedqml.config.data import FeaturesConfig
from qiskit_fedqml.config.strict import nearest
from qiskit_fedqml.data.datasets import Split, find_data
from qiskit_fedqml.data.images import Images
from qiskit_fedqml.data.vision import import_torchvision
from qiskit_fedqml.errors import DataError

Progress = Callable[[str, int, int], None]
"""Called with what is done, how many images are done, and how many there are."""

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
_BATCH_PIXELS = 64 * 64 * 64
"""Pixels of one batch: 64 images of 64×64."""


def extract_features(split: Split, config: FeaturesConfig, progress: Progress | None = None) -> NDArray[np.float32]:
    """Return the features of a split.

    Ready features are returned as they are. Images go through the backbone, whose features are kept on disk in
    ``$FEDQML_CACHE`` (``~/.cache/qiskit_fedqml`` by default) under a hash of all that determines them.

    Args:
        split: The examples.
        config: The `features` section.
        progress: Told how far the computation is.

    Returns:
        float32 of shape (examples, features); images' features are mapped from the file, not held in memory.

    Raises:
        DataError: Images come without a backbone or features with one, or the backbone, its layer or its weights are
            not to be had.
    """
    if isinstance(split.inputs, np.ndarray):
        if config.backbone is not None:
            raise DataError("The data are ready features, so `features.backbone` and its companions must not be given.")
        return split.inputs
    if config.backbone is None:
        raise DataError("The data are images, so `features.backbone`, `layer`, `weights`, … must say how to read them.")
    _check_backbone(str(config.backbone))
    images, file_of_weights = split.inputs, _weights_file(config)
    cached = _cache_folder() / f"{_key(images, config, file_of_weights)}.npy"
    features = _cached_features(cached, len(images))
    if features is not None:
        return features
    try:
        _compute(images, config, file_of_weights, cached, progress)
    except OSError as error:
        raise DataError(f"Features cannot be kept in {cached.parent} ($FEDQML_CACHE): {error}.") from error
    return cast(NDArray[np.float32], np.load(cached, mmap_mode="r", allow_pickle=False))


def _cached_features(path: Path, count: int) -> NDArray[np.float32] | None:
    """Return the features in a cache file, or None if there is none or it is damaged."""
    try:
        features: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return features if len(features) == count else None


def _compute(
    images: Images, config: FeaturesConfig, weights: Path | None, target: Path, progress: Progress | None
) -> None:
    size = config.image_size or 0
    extractor = _extractor(config, weights)
    mean = torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1)
    deviation = torch.tensor(_IMAGENET_DEVIATION).view(1, 3, 1, 1)
    step = max(1, _BATCH_PIXELS // size**2)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}.part")
    features: np.memmap | None = None
    try:
        for start in range(0, len(images), step):
            indices = np.arange(start, min(start + step, len(images)))
            pixels = torch.from_numpy(images.read(indices, size).copy()).permute(0, 3, 1, 2).float() / 255
            with torch.inference_mode():
                maps = _run(extractor, (pixels - mean) / deviation, config)
            if features is None:
                shape = (len(images), maps.shape[1])
                features = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape)
            features[indices] = maps.numpy()
            if progress:
                progress(f"{config.backbone} features", int(indices[-1]) + 1, len(images))
        if features is not None:
            features.flush()
        del features
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _check_backbone(name: str) -> None:
    models = import_torchvision().models
    known = models.list_models(module=models)
    if name not in known:
        raise DataError(f"`features.backbone`: torchvision has no model {name!r}{nearest(name, known)}")


def _run(extractor: torch.nn.Module, pixels: torch.Tensor, config: FeaturesConfig) -> torch.Tensor:
    try:
        maps: torch.Tensor = extractor(pixels)["features"]
    except RuntimeError as error:
        raise DataError(f"Images of size {config.image_size} do not fit {config.backbone}: {error}") from error
    if config.pooling == "average":
        if maps.ndim != 4 or maps.shape[2] != maps.shape[3]:
            raise DataError(
                f"`features.pooling: average` needs channels × height × width of a square image, but {config.backbone} "
                f"gives {tuple(maps.shape[1:])} at {config.layer!r}; take `flatten`, or another layer."
            )
        maps = maps.mean(dim=(2, 3))
    return maps.flatten(start_dim=1)


def _extractor(config: FeaturesConfig, weights: Path | None) -> torch.nn.Module:
    """Build the backbone up to its tapped layer, with all weights that this part has, and nothing else."""
    torchvision = import_torchvision()
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    with torch.device("meta"):  # the weights come from the file, so none are drawn
        model = torchvision.models.get_model(config.backbone, weights=None).eval()
    nodes = get_graph_node_names(model)[1]
    if not any(node == config.layer or node.startswith(f"{config.layer}.") for node in nodes):
        raise DataError(
            f"`features.layer`: {config.backbone} has no layer {config.layer!r}{nearest(str(config.layer), nodes)}"
        )
    extractor = create_feature_extractor(model, {config.layer: "features"})
    state = _state_dict(config, weights)
    used = extractor.state_dict()
    wrong = [
        f"{key} {'is missing' if key not in state else f'has shape {tuple(state[key].shape)}'}"
        for key, tensor in used.items()
        if key not in state or state[key].shape != tensor.shape
    ]
    if wrong:
        raise DataError(
            f"`features.weights`: {config.weights} does not fit {config.backbone} up to {config.layer!r}: {wrong[0]}."
        )
    extractor.load_state_dict({key: state[key] for key in used}, assign=True)
    return extractor.eval().requires_grad_(False)


def _state_dict(config: FeaturesConfig, weights: Path | None) -> dict[str, torch.Tensor]:
    if weights is None:
        default = import_torchvision().models.get_model_weights(config.backbone).DEFAULT
        try:
            state = default.get_state_dict(progress=False, check_hash=True, weights_only=True)
        except OSError as error:
            raise DataError(
                f"torchvision's weights of {config.backbone} could not be downloaded ({error}); `features.weights` can "
                "name a local state-dict file instead."
            ) from error
    else:
        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many types for a file that is not a state dict
            raise DataError(f"{weights} is not a state dict of tensors: {str(error).splitlines()[0]}") from error
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise DataError(f"{config.weights} must be a state dict of tensors.")
    return state


def _weights_file(config: FeaturesConfig) -> Path | None:
    if config.weights == "torchvision":
        return None
    file = find_data(str(config.weights))
    if not file.is_file():
        raise DataError(f"`features.weights`: {file} must be a state-dict file, but is a folder.")
    return file


def _key(images: Images, config: FeaturesConfig, weights: Path | None) -> str:
    torchvision = import_torchvision()
    if weights is None:
        source = str(torchvision.models.get_model_weights(config.backbone).DEFAULT.url)
    else:
        source = hashlib.sha256(weights.read_bytes()).hexdigest()
    determined_by = {
        **config.model_dump(exclude={"scaling", "weights"}),
        "weights": source,
        "images": images.fingerprint,
        "normalised by": [_IMAGENET_MEAN, _IMAGENET_DEVIATION],
        "pillow": PIL.__version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }
    return hashlib.sha256(json.dumps(determined_by, sort_keys=True).encode()).hexdigest()


def _cache_folder() -> Path:
    return Path(os.environ.get("FEDQML_CACHE") or Path.home() / ".cache" / "qiskit_fedqml")
