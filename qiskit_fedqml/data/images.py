"""Images that are read a few at a time, so that a large dataset needs little memory."""

import hashlib
import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qiskit_fedqml.data.decoding import READING_RULES, decode, resized
from qiskit_fedqml.data.messages import reason, shown
from qiskit_fedqml.errors import DataError

logger = logging.getLogger(__name__)


class Images(Protocol):
    """Images that are read a few at a time, so that a large dataset needs little memory."""

    def __len__(self) -> int: ...

    def read(self, indices: NDArray[np.intp], size: int) -> NDArray[np.uint8]:
        """Return images as RGB, uint8 of shape (indices, size, size, 3), resized with antialiasing if needed."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of the images' content and order."""
        ...


class ArrayImages:
    """Images in memory.

    Args:
        pixels: uint8 of shape (images, height, width) or (images, height, width, 1 or 3).
    """

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels if pixels.ndim == 4 else pixels[..., None]

    def __len__(self) -> int:
        return len(self._pixels)

    def read(self, indices: NDArray[np.intp], size: int) -> NDArray[np.uint8]:
        """Return images as RGB of shape (indices, size, size, 3)."""
        pixels = self._pixels[indices]
        pixels = np.broadcast_to(pixels, (*pixels.shape[:3], 3))
        if pixels.shape[1:3] == (size, size):
            return pixels
        return np.stack([resized(Image.fromarray(np.ascontiguousarray(image)), size) for image in pixels])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of shape and pixels."""
        digest = hashlib.sha256(str(self._pixels.shape).encode())
        for image in self._pixels:
            digest.update(np.ascontiguousarray(image).data)
        return digest.hexdigest()


class FileImages:
    """Image files, decoded when they are read.

    Args:
        paths: The files, in order.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._frames_reported = False

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, indices: NDArray[np.intp], size: int) -> NDArray[np.uint8]:
        """Return images as RGB of shape (indices, size, size, 3).

        Raises:
            DataError: A file is not an image.
        """
        return np.stack([self._decode(self._paths[i], size) for i in indices])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the files' content, in order, and of the rules by which they are read.

        Raises:
            DataError: A file cannot be read.
        """
        digest = hashlib.sha256(f"reading rules {READING_RULES}".encode())
        for path in self._paths:
            try:
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise DataError(f"{shown(path)} cannot be read: {reason(error)}.") from error
        return digest.hexdigest()

    def _decode(self, path: Path, size: int) -> NDArray[np.uint8]:
        decoded = decode(path, size)
        if decoded.has_more_frames and not self._frames_reported:
            self._frames_reported = True
            logger.warning(
                "%s has several frames; of it, and of any other such file, the first alone is read.", shown(path)
            )
        return decoded.pixels
