"""Fuzzed files of data: NPZ archives, trees of images, weights of backbones, and calibrations."""

import io
import json
import os
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torchvision
import yaml
from PIL import Image

from parts.fuzz_cases import TINY, Case, DifferentError, Kind, assemble, damaged, with_wrong_json
from qiskit_fedqml import load_experiment, run_federation
from qiskit_fedqml.backends.calibration import fake_calibration

_FEATURES = {"backbone": "squeezenet1_1", "layer": "features.2", "image_size": 16, "pooling": "average"}


def _run(folder: Path, data: dict[str, Any], features: dict[str, Any] | None = None) -> None:
    """Assemble the tiny experiment on other data, with a cache of its own."""
    path = folder / "experiment.yaml"
    two = {**TINY["federation"], "clients": 2}
    path.write_text(yaml.safe_dump({**TINY, "data": data, "features": features or {}, "federation": two}))
    with mock.patch.dict(os.environ, {"FEDQML_DATA": str(folder), "FEDQML_CACHE": str(folder / "cache")}):
        assemble(load_experiment(path))


# NPZ


def _arrays(rng: random.Random) -> dict[str, Any]:
    draw = np.random.default_rng(rng.randrange(2**32))
    labels = {"y_train": np.arange(12) % 2, "y_test": np.arange(6) % 2}
    return {"x_train": draw.normal(size=(12, 3)), "x_test": draw.normal(size=(6, 3)), **labels}


_DTYPES = (
    *("?", "i1", "u1", "u8", "f2", "f4", ">f8", "c16", "U3", "S2", "M8[D]", "m8[s]", "V4", "O", "f8", ">i8", "g"),
    *([("a", "f8"), ("b", "i4")],),
)
_SHAPES: tuple[tuple[int, ...], ...] = (
    (0,),
    (12,),
    (12, 0),
    (0, 3),
    (12, 1, 1),
    (12, 2, 2, 3),
    (1, 3),
    (),
    (12, 3, 1, 1, 1),
)
_VALUES = (np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-320, -1.0, 0.0, 2.5, 2.0**63)
_HEADERS = (
    *("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",),
    *(
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 3), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (12, 3), }",
    ),
    *(
        "{'descr': '<f8', 'fortran_order': False, 'shape': (12, " + "9" * 5000 + "), }",
        "(" * 300,
        "{'descr': '<f8', 'shape': ",
    ),
    *(
        "__import__('os').system('id')",
        "",
        "{}",
        "{'descr': 'x', 'fortran_order': 1, 'shape': 'abc'}",
        "[1, 2]",
        "{'descr': '<f8',",
    ),
    *(
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1.5, 3), }",
        "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (3,)}",
    ),
    *(
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296, 0), }",
        "\0" * 40,
        "{'descr': '<M8[', 'fortran_order': False, 'shape': (3,)}",
    ),
)


def _npy(header: str, version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin-1")
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + b"\0" * 288


def _zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _saved(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def _wrong_arrays(rng: random.Random) -> tuple[bytes, str]:
    arrays = _arrays(rng)
    key = rng.choice(list(arrays))
    members = {f"{name}.npy": _saved(array) for name, array in arrays.items()}
    match rng.randrange(6):
        case 0:
            dtype = rng.choice(_DTYPES)
            with np.errstate(all="ignore"):
                changed = (
                    np.zeros(arrays[key].shape, dtype) if not isinstance(dtype, str) else _cast(arrays[key], dtype)
                )
            told = f"{key} of dtype {dtype}"
        case 1:
            shape = rng.choice(_SHAPES)
            changed, told = np.resize(arrays[key], shape), f"{key} of shape {shape}"
        case 2:
            value = rng.choice(_VALUES)
            changed = arrays[key].astype(float)
            changed.flat[rng.randrange(changed.size)] = value
            told = f"{key} with {value}"
        case 3:
            header, version = rng.choice(_HEADERS), rng.choice((b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x09\x00"))
            members[f"{key}.npy"] = _npy(header, version)
            return _zipped(members), f"{key} with header {header[:60]!r}, version {version!r}"
        case 4:
            members[f"{key}.npy"], told = damaged(members[f"{key}.npy"], rng)
            return _zipped(members), f"{key}: {told}"
        case _:
            wrong = {
                "missing": {n: c for n, c in members.items() if n != f"{key}.npy"},
                "named otherwise": {n.upper(): c for n, c in members.items()},
                "empty": {**members, f"{key}.npy": b""},
                "no NumPy": {**members, f"{key}.npy": b"text"},
                "with more": {**members, "x_more.npy": b"text", "../x": b"y"},
                "labels of one class": {**members, "y_train.npy": _saved(np.zeros(12, int))},
                "labels that differ": {**members, "y_test.npy": _saved(np.arange(6) + 5)},
                "labels far apart": {**members, "y_train.npy": _saved(np.array([-(2**63), 2**63 - 1] * 6))},
                "many classes": {**members, "y_train.npy": _saved(np.arange(12))},
            }
            told = rng.choice(list(wrong))
            return _zipped(wrong[told]), f"{key}: {told}"
    members[f"{key}.npy"] = _saved(changed)
    return _zipped(members), told


def _cast(array: Any, dtype: str) -> Any:
    return np.abs(array).astype("i8").astype(dtype) if dtype[0] in "MmV" else array.astype(dtype)


def _npz(rng: random.Random, _: Path, folder: Path) -> Case:
    path = folder / "data.npz"
    if rng.random() < 0.6:
        content, told = _wrong_arrays(rng)
    else:
        members = {f"{name}.npy": _saved(array) for name, array in _arrays(rng).items()}
        whole = _zipped(members, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
        if rng.random() < 0.8:
            content, told = damaged(whole, rng)
        else:
            others = {
                "empty file": b"",
                "an array, no archive": members["x_train.npy"],
                "a pickle": pickle.dumps({"x_train": [1]}),
                "another compression": whole.replace(struct.pack("<H", 0), struct.pack("<H", 99), 3),
                "encrypted": whole[:6] + b"\x01" + whole[7:],
                "text": b"x_train = 1",
                "a bomb": _zipped({**members, "x_train.npy": _npy(_HEADERS[0]) + b"\0" * 10**8}, zipfile.ZIP_DEFLATED),
            }
            told = rng.choice(list(others))
            content = others[told]
    path.write_bytes(content)
    classes = rng.choice((None, None, None, [0, 1], [1, 0], [0, 7], [0, 10**30], [0, 2**63]))
    data = {"dataset": "npz", "path": "data.npz", **({} if classes is None else {"classes": classes})}
    return Case(f"{told}; classes {str(classes)[:40]}", lambda: _run(folder, data))


# Images


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
        content, told = damaged(_encoded(_picture(rng), suffix), rng)
        return content, suffix, f"{suffix}: {told}"
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
    told = rng.choice(list(odd))
    return odd[told], "png", told


def _images(rng: random.Random, base: Path, folder: Path) -> Case:
    tree = folder / "tree"
    for name in ("cat", "dog"):
        (tree / name).mkdir(parents=True)
        for number in range(4):
            (tree / name / f"{number}.png").write_bytes(_encoded(_picture(rng), "png"))
    if rng.random() < 0.65:
        content, suffix, told = _odd_picture(rng)
        (tree / "cat" / f"odd.{suffix}").write_bytes(content)
    else:
        changes = _changes_of_trees(tree)
        told = rng.choice(list(changes))
        changes[told]()
    data = {"dataset": "image_folder", "path": "tree", "test_fraction": 0.5}
    return Case(told, lambda: _run(folder, data, {**_FEATURES, "weights": str(base / "weights.pth")}))


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


# Weights


class _Marks:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def _prepare_weights(base: Path) -> None:
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
        content, told = damaged(whole, rng)
        path.write_bytes(content)
    else:
        odd = _odd_weights(state, name, mark)
        told = rng.choice(list(odd))
        value = odd[told]()
        if isinstance(value, bytes):
            path.write_bytes(value)
        told = f"{name} {told}"
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)
    labels = {"y_train": np.arange(12) % 2, "y_test": np.arange(6) % 2}
    np.savez(folder / "images.npz", x_train=pixels, x_test=pixels[:6], **labels)
    data = {"dataset": "npz", "path": "images.npz"}

    def run() -> None:
        try:
            _run(folder, data, {**_FEATURES, "weights": "weights.pth"})
        finally:
            if mark.exists():
                raise DifferentError("a pickle was loaded")

    return Case(told, run)


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


# Calibrations


def _prepare_calibration(base: Path) -> None:
    fake_calibration("FakeManilaV2").save(base / "manila.json")


def _calibration(rng: random.Random, base: Path, folder: Path) -> Case:
    content = (base / "manila.json").read_bytes()
    path = folder / "calibration.json"
    action = rng.random()
    if action < 0.6:
        text, told = with_wrong_json(json.loads(content), rng)
        changed: bytes | None = text.encode("utf-8", "surrogatepass")
    elif action < 0.85:
        changed, told = damaged(content, rng)
    else:
        odd = {
            "empty": b"",
            "a list": b"[]",
            "null": b"null",
            "nothing in it": b"{}",
            "BOM": b"\xef\xbb\xbf" + content,
            "UTF-16": content.decode().encode("utf-16"),
            "deep": b"[" * 100_000,
            "deep and whole": b'{"configuration": ' + b"[" * 5000 + b"]" * 5000 + b"}",
            "a huge number": b'{"configuration": ' + b"9" * 5000 + b"}",
            "10 MB": content[:-2] + b" " * 10_000_000 + b"}",
        }
        told = rng.choice([*odd, "a folder", "a pipe", "a link to itself", "missing"])
        changed = odd.get(told)
    match changed, told:
        case None, "a folder":
            path.mkdir()
        case None, "a pipe":
            os.mkfifo(path)
        case None, "a link to itself":
            path.symlink_to(path)
        case None, _:
            pass
        case _:
            path.write_bytes(changed)
    entry = {"type": "aer", "noise": {"calibration": "calibration.json"}, "noise_factor": rng.choice((1.0, 2.0, 1e6))}
    array = {"backends": {"ideal": {"type": "aer"}, "saved": entry}, "assignment": {"default": "saved"}}
    one = {**TINY["federation"], "clients": 50, "clients_per_round": 1, "rounds": 1}
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump({**TINY, "federation": one, "backends": array}))
    return Case(f"{told}; noise factor {entry['noise_factor']:g}", lambda: _train(file))


def _train(file: Path) -> None:
    result = run_federation(load_experiment(file))
    if not np.isfinite(result.rounds[-1].test_loss):
        raise DifferentError("the loss is not finite")


KINDS = {
    "npz": Kind(lambda _: None, _npz),
    "images": Kind(_prepare_weights, _images),
    "weights": Kind(_prepare_weights, _weights),
    "calibration": Kind(_prepare_calibration, _calibration),
}
