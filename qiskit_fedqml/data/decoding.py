"""From an image file to RGB pixels: a rule for each of Pillow's modes, and one place where its errors are mapped."""

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qiskit_fedqml.data.messages import reason, shown
from qiskit_fedqml.data.png import pixel_chunks
from qiskit_fedqml.errors import DataError

READING_RULES = 2
"""Raised by one whenever the same file is read as other pixels than before, so that no cache answers for it."""

_NO_PICTURES = frozenset({"BUFR", "EPS", "FITS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})
"""Formats of Pillow's that it reads through other programs, in part, or without their scale."""

_USUAL = frozenset({"BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"})
"""Formats that are tried first."""

_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 258
_PHOTOMETRIC = 262
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image upright, by its EXIF orientation."""


class Decoded(NamedTuple):
    """An image, and whether its file has further frames, which are not read.

    Args:
        pixels: RGB, uint8 of shape (size, size, 3).
        has_more_frames: Whether the file is an animation or has several pages.
    """

    pixels: NDArray[np.uint8]
    has_more_frames: bool


@cache
def readable_suffixes() -> frozenset[str]:
    """Return the suffixes of the image files that can be read, in lower case, with their dot."""
    Image.init()
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in _formats())


def decode(path: Path, size: int) -> Decoded:
    """Read an image file as RGB, turned upright, and resized with antialiasing if needed.

    Grey values of 16 bits become v·255/65535, rounded; floats are from 0 (black) to 1 (white). What is transparent
    shows white behind it. Of several frames the first is read. A PNG whose comments are broken is read without them.

    Args:
        path: The file.
        size: Height and width of the result.

    Raises:
        DataError: The file is not an image, is damaged, or its pixels have no defined range.
    """
    try:
        return _decoded(path, size)
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them stumble over
        try:
            sound = pixel_chunks(path)
            if sound is not None:
                return _decoded(BytesIO(sound), size)
        except Exception:  # the first error says more
            pass
        raise DataError(f"{shown(path)} cannot be read as an image: {_explained(error)}.") from error


def decode_encoded(content: bytes, what: str, size: int) -> NDArray[np.uint8]:
    """Read an encoded image in memory, as :func:`decode` reads a file.

    Args:
        content: As a file has it.
        what: What errors call it.
        size: Height and width of the result.

    Raises:
        DataError: It is not an image, is damaged, or its pixels have no defined range.
    """
    try:
        return _decoded(BytesIO(content), size).pixels
    except Exception as error:  # as of files
        raise DataError(f"{what} cannot be read as an image: {_explained(error)}.") from error


def resized(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Return an RGB image's pixels, uint8 of shape (size, size, 3), resized with antialiasing if needed."""
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return an image as RGB, turned upright, by the rules of :func:`decode`.

    Raises:
        Exception: It is damaged, or its pixels have no defined range; Pillow's decoders raise many types.
    """
    image.load()
    turn = _turn(image)  # asked after loading: Pillow turns TIFF files by itself
    rgb = _rgb(image)
    return rgb if turn is None else rgb.transpose(turn)


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    with_suffix = set(Image.registered_extensions().values())
    names = [name for name in Image.ID if name in with_suffix - _NO_PICTURES]
    return tuple(sorted(names, key=lambda name: name not in _USUAL))


def _decoded(source: Path | BytesIO, size: int) -> Decoded:
    with Image.open(source, formats=_formats()) as image:
        return Decoded(resized(upright_rgb(image), size), _has_more_frames(image))


def _explained(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; scale it down"
    text = reason(error)
    return "it is damaged, or no image of a known format" if text.startswith("cannot identify image file") else text


def _has_more_frames(image: Image.Image) -> bool:
    if image.format in {"MPO", "PSD"}:  # previews and layers, of which the first is the picture
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # a second frame that is damaged
        return True


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken EXIF data says nothing; the pixels are sound
        return None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in {"I", "F"}:
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return _on_white(image.convert("RGBA"))
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> NDArray[np.uint8]:
    """Return the grey values of more than 8 bits on the scale from 0 to 255."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F":
        if not (values >= 0).all() or not (values <= 1).all():
            raise ValueError(
                f"pixels that are floats must be from 0 (black) to 1 (white), but are from {values.min()} to "
                f"{values.max()}"
            )
        grey = np.rint(255.0 * values).astype(np.uint8)
    elif image.mode == "I" and image.format not in {"PNG", "PPM"}:  # which have 16 bits there
        raise ValueError(
            "pixels that are signed or of 32 bits have no defined range from black to white; save the image with "
            "unsigned pixels of 8 or 16 bits"
        )
    else:
        white = 4095 if tuple(tags.get(_BITS_PER_SAMPLE, ())) == (12,) else 65535
        grey = ((values.astype(np.uint64) * 510 + white) // (2 * white)).astype(np.uint8)
    return 255 - grey if tags.get(_PHOTOMETRIC) == 0 else grey  # TIFF's "white is zero"


def _on_white(image: Image.Image) -> Image.Image:
    lowest, highest = image.getchannel("A").getextrema()
    if lowest == 255 or highest == 0:  # all opaque, or an alpha channel that was never filled
        return image.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
