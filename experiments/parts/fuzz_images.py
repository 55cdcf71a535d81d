"""Fuzzed trees of images: files that are no pictures, odd pictures, and folders that are no classes."""

import io
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from parts.fuzz_cases import Case, Kind, assemble_on, damaged
from parts.fuzz_weights import FEATURES, prepare_weights


def _picture(rng: random.Random, mode: str = "RGB") -> Any:
    draw = np.random.default_rng(rng.randrange(2**32))
    image = Image.fromarray(draw.integers(0, 256, (20, 16, 3), np.uint8))
    if mode == "I;16":
        return Image.fromarray(draw.integers(0, 65536, (20, 16), np.uint16))
    if mode == "F":
        return Image.fromarray(draw.normal(size=(20, 16)).astype(np.float32))
    return image.convert(mode)


def _png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png(width: int, height: int, *, extra: bytes = b"", pixels: bytes | None = None) -> bytes:
    head = _png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = _png_chunk(b"IDAT", zlib.compress(pixels if pixels is not None else b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + head + extra + data + _png_chunk(b"IEND", b"")


def _encoded(image: Any, suffix: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()))
    return buffer.getvalue()


def _odd_picture(rng: random.Random) -> tuple[bytes, str, str]:
    """Return a picture's bytes, its suffix, and what it is."""
    suffix = rng.choice(("png", "png", "jpg", "bmp", "webp", "gif", "tif"))
    if rng.random() < 0.6:
        content, change = damaged(_encoded(_picture(rng), suffix), rng)
        return content, suffix, f"{suffix}: {change}"
    if rng.random() < 0.5:
        mode = rng.choice(("1", "L", "LA", "P", "RGBA", "I;16", "F", "CMYK"))
        fits = {
            "I;16": ("png", "tif"),
            "F": ("tif",),
            "CMYK": ("jpg", "tif"),
            "LA": ("png", "tif"),
            "P": ("png", "gif"),
        }
        suffix = rng.choice(fits.get(mode, ("png", "tif")))
        return _encoded(_picture(rng, mode), suffix), suffix, f"{suffix} of mode {mode}"
    odd = {
        "enormous": _png(100_000, 100_000),
        "large enough for a warning": _png(10_000, 10_000),
        "no pixels": _png(0, 0),
        "one row": _png(1, 1, pixels=b"\0\0\0\0"),
        "text bomb": _png(16, 16, extra=_png_chunk(b"zTXt", b"k\0\0" + zlib.compress(b"x" * 80_000_000))),
        "wrong profile": _png(16, 16, extra=_png_chunk(b"iCCP", b"x")),
        "empty file": b"",
        "text": b"no picture",
        "a script": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "broken BMP": b"BM" + b"\xff" * 60,
        "broken GIF": b"GIF89a" + b"\xff" * 20,
        "broken TIFF": b"II*\0\x08\0\0\0" + b"\xff" * 40,
        "broken WEBP": b"RIFF\x20\0\0\0WEBPVP8 " + b"\xff" * 20,
    }
    change = rng.choice(list(odd))
    return odd[change], "png", change


def _images(rng: random.Random, base: Path, folder: Path) -> Case:
    tree = folder / "tree"
    for name in ("cat", "dog"):
        (tree / name).mkdir(parents=True)
        for number in range(4):
            (tree / name / f"{number}.png").write_bytes(_encoded(_picture(rng), "png"))
    if rng.random() < 0.65:
        content, suffix, change = _odd_picture(rng)
        (tree / "cat" / f"odd.{suffix}").write_bytes(content)
    else:
        changes = _changes_of_trees(tree)
        change = rng.choice(list(changes))
        changes[change]()
    data = {"dataset": "image_folder", "path": "tree", "test_fraction": 0.5}
    return Case(change, lambda: assemble_on(folder, data, {**FEATURES, "weights": str(base / "weights.pth")}))


def _changes_of_trees(tree: Path) -> dict[str, Callable[[], Any]]:
    cat = tree / "cat"
    return {
        "a folder named as a picture": (cat / "x.png").mkdir,
        "a link to nothing": lambda: (cat / "x.png").symlink_to("/nonexistent"),
        "a link to itself": lambda: (cat / "x.png").symlink_to(cat / "x.png"),
        "a link to a folder above": lambda: (cat / "up").symlink_to(tree),
        "a pipe named as a picture": lambda: os.mkfifo(cat / "x.png"),
        "a name that is no UTF-8": lambda: (cat / "0.png").rename(cat / os.fsdecode(b"\xff.png")),
        "a class that is no UTF-8": lambda: cat.rename(tree / os.fsdecode(b"\xff")),
        "a class with dollars": lambda: cat.rename(tree / "$c_{a}t$"),
        "a class with a new line": lambda: cat.rename(tree / "c\nat"),
        "an empty class": (tree / "empty").mkdir,
        "a hidden class": (tree / ".hidden").mkdir,
        "a class that is a file": lambda: (tree / "file").write_text("x"),
        "a dead link as class": lambda: (tree / "dead").symlink_to("/nonexistent"),
        "a looping link as class": lambda: (tree / "loop").symlink_to(tree / "loop"),
        "one class": lambda: cat.rename(tree.parent / "cat"),
        "train without test": (tree / "train").mkdir,
        "train and test": lambda: [(tree / name).mkdir() for name in ("train", "test")],
        "a file in place of the tree": lambda: [tree.rename(tree.with_name("other")), tree.write_text("x")],
        "nothing": lambda: tree.rename(tree.with_name("other")),
    }


KINDS = {"images": Kind(prepare_weights, _images)}
