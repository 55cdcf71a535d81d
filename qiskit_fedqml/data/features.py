"""Features of images from a frozen, pretrained backbone: computed once, in bounded memory, and cached on disk."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL
import torch
from numpy.typing import NDArray

from qiskit_fedqml.config.data import FeaturesConfig
from qiskit_fedqml.data.backbone import IMAGENET_DEVIATION, IMAGENET_MEAN, Backbone, check_backbone
from qiskit_fedqml.data.datasets import Split
from qiskit_fedqml.data.images import Images
from qiskit_fedqml.data.location import find_data
from qiskit_fedqml.data.messages import reason, shown
from qiskit_fedqml.data.vision import import_torchvision
from qiskit_fedqml.data.weights import State, file_digest, load_weights, torchvision_weights
from qiskit_fedqml.errors import DataError
from qiskit_fedqml.tables import gibibytes

Progress = Callable[[str, int, int], None]
"""Called with what is done, how many images are done, and how many there are."""

_BATCH_PIXELS = 64 * 64 * 64
"""Pixels of one batch: 64 images of 64×64."""


def extract_features(split: Split, config: FeaturesConfig, progress: Progress | None = None) -> NDArray[np.float32]:
    """Return the features of a split.

    Ready features are returned as they are. Images go through the backbone, whose features are kept on disk in
    ``$FEDQML_CACHE`` (``~/.cache/qiskit_fedqml`` by default) under a hash of all that determines them.

    Args:
        split: The examples.
        config: The `features` section.
        progress: Called with how far the computation is.

    Returns:
        float32 of shape (examples, features); images' features are mapped from the file, not held in memory.

    Raises:
        DataError: Images come without a backbone or features with one; the backbone, its layer or its weights are not
            to be had; an image cannot be read; memory or disk do not suffice.
    """
    if isinstance(split.inputs, np.ndarray):
        if config.backbone is not None:
            raise DataError("The data are ready features, so `features.backbone` and its companions must not be given.")
        return split.inputs
    if config.backbone is None:
        raise DataError("The data are images, so `features.backbone`, `layer`, `weights`, … must say how to read them.")
    check_backbone(config.backbone)
    images, file_of_weights = split.inputs, _weights_file(config)
    folder = _cache_folder()
    cached = folder / f"{_key(images, config, file_of_weights)}.npy"
    features = _cached_features(cached, len(images))
    if features is None:
        _compute(images, config, file_of_weights, cached, progress)
        features = _cached_features(cached, len(images))
    if features is None:
        raise DataError(f"Features cannot be read back from {shown(folder)} ($FEDQML_CACHE).")
    return features


def open_backbone(config: FeaturesConfig) -> Backbone:
    """Return the backbone of a configuration that names one, with its weights.

    Raises:
        DataError: The backbone, its layer or its weights are not to be had, or do not fit together.
    """
    check_backbone(str(config.backbone))
    file_of_weights, backbone = _weights_file(config), Backbone(config)
    backbone.num_features(1)
    backbone.load(_weights(config, file_of_weights))
    return backbone


def weights_digest(config: FeaturesConfig) -> str | None:
    """Return the SHA-256 of the file of a backbone's weights; None where no file is named.

    Raises:
        DataError: It is not there, or cannot be read.
    """
    if config.weights is None or (file := _weights_file(config)) is None:
        return None
    return file_digest(file)


def batch_of(config: FeaturesConfig) -> int:
    """Return how many images go through the backbone together."""
    return max(1, _BATCH_PIXELS // (config.image_size or 1) ** 2)


def _weights(config: FeaturesConfig, file: Path | None) -> State:
    return torchvision_weights(str(config.backbone)) if file is None else load_weights(file)


def _cached_features(path: Path, count: int) -> NDArray[np.float32] | None:
    """Return the features in a cache file, or None if there is none or it is damaged."""
    try:
        features = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # NumPy raises many types for a damaged file; it is computed again
        return None
    sound = isinstance(features, np.ndarray) and features.ndim == 2 and features.dtype == np.float32
    return features if sound and len(features) == count else None


def _compute(
    images: Images, config: FeaturesConfig, weights: Path | None, target: Path, progress: Progress | None
) -> None:
    """Compute the features of all images, batch by batch, into a file that appears when it is whole."""
    backbone, size, step = Backbone(config), config.image_size or 0, batch_of(config)
    num_features = backbone.num_features(min(step, len(images)))
    backbone.load(_weights(config, weights))
    part = target.with_suffix(f".{os.getpid()}.part")
    try:
        features = _new_file(part, (len(images), num_features))
        for start in range(0, len(images), step):
            indices = np.arange(start, min(start + step, len(images)))
            features[indices] = backbone(images.read(indices, size))
            if progress:
                progress(f"{config.backbone} features", int(indices[-1]) + 1, len(images))
        features.flush()
        del features
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        raise DataError(
            f"Features cannot be kept in {shown(target.parent)} ($FEDQML_CACHE): {reason(error)}."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()


def _new_file(path: Path, shape: tuple[int, int]) -> np.memmap:
    """Make a file for features, if the disk has room for it: a full disk would end the process, not raise.

    Raises:
        DataError: It has not.
        OSError: The file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    needed, free = 4 * shape[0] * shape[1], shutil.disk_usage(path.parent).free
    if needed > free:
        raise DataError(
            f"{shape[0]} × {shape[1]} features take {gibibytes(needed)}, but {shown(path.parent)} ($FEDQML_CACHE) has "
            f"only {gibibytes(free)} free."
        )
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)


def _weights_file(config: FeaturesConfig) -> Path | None:
    if config.weights == "torchvision":
        return None
    file = find_data(str(config.weights))
    if not file.is_file():
        kind = "a folder" if file.is_dir() else "no regular file"
        raise DataError(f"`features.weights`: {shown(file)} must be a state-dict file, but is {kind}.")
    return file


def _key(images: Images, config: FeaturesConfig, weights: Path | None) -> str:
    torchvision = import_torchvision()
    if weights is None:
        source = str(torchvision.models.get_model_weights(config.backbone).DEFAULT.url)
    else:
        source = file_digest(weights)
    determined_by = {
        **config.model_dump(exclude={"scaling", "weights"}),
        "weights": source,
        "images": images.fingerprint,
        "normalised by": [IMAGENET_MEAN, IMAGENET_DEVIATION],
        "pillow": PIL.__version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }
    return hashlib.sha256(json.dumps(determined_by, sort_keys=True).encode()).hexdigest()


def _cache_folder() -> Path:
    try:
        return Path(os.environ.get("FEDQML_CACHE") or Path.home() / ".cache" / "qiskit_fedqml")
    except RuntimeError as error:
        raise DataError("There is no home folder for the cache; FEDQML_CACHE must name a folder.") from error
