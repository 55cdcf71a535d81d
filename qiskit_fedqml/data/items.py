"""One example of a user's own dataset, as numbers."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from qiskit_fedqml.data.decoding import upright_rgb
from qiskit_fedqml.data.messages import reason, shown

EXPECTED = (
    "an image (PIL's, or uint8 of shape (height, width) or (height, width, 3), or floats from 0 to 1 of shape (1 or 3, "
    "height, width)) or features (numbers of shape (features,))"
)


def as_pair(item: Any) -> tuple[NDArray[Any], int]:
    """Return an example's input and label.

    Args:
        item: A pair (x, y).

    Returns:
        uint8 of shape (height, width) or (height, width, 3), or float32 of shape (features,); and the label.

    Raises:
        ValueError: It is no such example; the text says why.
    """
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        parts = f" of {len(item)}" if isinstance(item, (tuple, list)) else ""
        raise ValueError(f"it must be a pair (x, y), but is a {type(item).__name__}{parts}")
    return as_input(item[0]), as_label(item[1])


def as_input(x: Any) -> NDArray[Any]:
    """Return an image's pixels, or features.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(x, Image.Image):
        return _pixels_of(x)
    is_tensor = isinstance(x, torch.Tensor)
    if is_tensor:
        x = x.detach().cpu()
        x = (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    try:
        values = np.asarray(x)
    except ValueError as error:  # lists of several lengths
        raise ValueError(f"x must be {EXPECTED}, but is a {type(x).__name__}") from error
    if values.size and values.dtype.kind in "fiub":
        if values.ndim == 1:
            return _features(values)
        if values.dtype == np.uint8 and (pixels := _bytes(values, is_channels_first=is_tensor)) is not None:
            return pixels
        if values.dtype.kind == "f" and values.ndim == 3 and len(values) in (1, 3):
            return _from_floats(values)
    kind = (
        f"is of shape {shown(values.shape, 60)} and type {values.dtype}"
        if values.dtype.kind in "fiubc"
        else (f"is a {type(x).__name__}")
    )
    raise ValueError(f"x must be {EXPECTED}, but {kind}")


def as_label(y: Any) -> int:
    """Return a label.

    Raises:
        ValueError: It is no integer.
    """
    if isinstance(y, (torch.Tensor, np.ndarray, np.generic)):
        values = np.asarray(y.detach().cpu() if isinstance(y, torch.Tensor) else y)
        is_integer = values.size == 1 and values.dtype.kind in "iu"
        y = values.item() if is_integer else y
    if isinstance(y, bool) or not isinstance(y, int) or not -(2**63) <= y < 2**63:
        raise ValueError(f"y must be an integer, but is {shown(repr(y), 60)}")
    return y


def _pixels_of(image: Image.Image) -> NDArray[np.uint8]:
    is_grey = image.mode in ("1", "L") and "transparency" not in image.info
    try:
        pixels = np.asarray(upright_rgb(image))
    except Exception as error:  # Pillow reads a file only now, and raises whatever a damaged one makes it stumble over
        raise ValueError(f"the image cannot be read: {reason(error)}") from error
    return np.ascontiguousarray(pixels[..., 0]) if is_grey else pixels


def _features(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        features = values.astype(np.float32)
    if not np.isfinite(features).all():
        place = int(np.flatnonzero(~np.isfinite(features))[0])
        raise ValueError(f"x must be finite as float32, but x[{place}] is {values[place]}")
    return features


def _bytes(values: NDArray[np.uint8], *, is_channels_first: bool) -> NDArray[np.uint8] | None:
    if values.ndim == 3 and is_channels_first and len(values) in (1, 3):  # as torchvision reads images
        values = np.ascontiguousarray(values.transpose(1, 2, 0))
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    return values if values.ndim == 2 or (values.ndim == 3 and values.shape[-1] == 3) else None


def _from_floats(values: NDArray[Any]) -> NDArray[np.uint8]:
    least, most = values.min(), values.max()
    if not (least >= 0 and most <= 1):  # NaN is neither
        raise ValueError(
            f"pixels that are floats must be from 0 (black) to 1 (white), as torchvision's ToTensor gives them before "
            f"any Normalize, but are from {least:.4g} to {most:.4g}"
        )
    pixels = np.rint(values * 255).astype(np.uint8)
    return pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
