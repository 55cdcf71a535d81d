"""Fuzzed NPZ files: types, shapes, values, headers and archives."""

import io
import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from parts.fuzz_cases import Case, Kind, assemble_on, damaged, nothing


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


def wrong_arrays(arrays: dict[str, Any], rng: random.Random) -> tuple[bytes, str]:
    """Return an NPZ file with one of its arrays made wrong, and what was done."""
    key = rng.choice(list(arrays))
    members = {f"{name}.npy": _saved(array) for name, array in arrays.items()}
    match rng.randrange(6):
        case 0:
            dtype = rng.choice(_DTYPES)
            with np.errstate(all="ignore"):
                changed = (
                    np.zeros(arrays[key].shape, dtype) if not isinstance(dtype, str) else _cast(arrays[key], dtype)
                )
            change = f"{key} of dtype {dtype}"
        case 1:
            shape = rng.choice(_SHAPES)
            changed, change = np.resize(arrays[key], shape), f"{key} of shape {shape}"
        case 2:
            value = rng.choice(_VALUES)
            changed = arrays[key].astype(float)
            changed.flat[rng.randrange(changed.size)] = value
            change = f"{key} with {value}"
        case 3:
            header, version = rng.choice(_HEADERS), rng.choice((b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x09\x00"))
            members[f"{key}.npy"] = _npy(header, version)
            return _zipped(members), f"{key} with header {header[:60]!r}, version {version!r}"
        case 4:
            members[f"{key}.npy"], change = damaged(members[f"{key}.npy"], rng)
            return _zipped(members), f"{key}: {change}"
        case _:
            labels = rng.choice([name for name in arrays if name.startswith("y")])
            count = len(arrays[labels])
            wrong = {
                "missing": {n: c for n, c in members.items() if n != f"{key}.npy"},
                "named otherwise": {n.upper(): c for n, c in members.items()},
                "empty": {**members, f"{key}.npy": b""},
                "no NumPy": {**members, f"{key}.npy": b"text"},
                "with more": {**members, "x_more.npy": b"text", "../x": b"y"},
                "labels of one class": {**members, f"{labels}.npy": _saved(np.zeros(count, int))},
                "labels that differ": {**members, f"{labels}.npy": _saved(np.arange(count) + 5)},
                "labels far apart": {**members, f"{labels}.npy": _saved(np.resize([-(2**63), 2**63 - 1], count))},
                "many classes": {**members, f"{labels}.npy": _saved(np.arange(count))},
                "one example": {f"{n}.npy": _saved(array[:1]) for n, array in arrays.items()},
            }
            change = rng.choice(list(wrong))
            return _zipped(wrong[change]), f"{key}: {change}"
    members[f"{key}.npy"] = _saved(changed)
    return _zipped(members), change


def _cast(array: Any, dtype: str) -> Any:
    return np.abs(array).astype("i8").astype(dtype) if dtype[0] in "MmV" else array.astype(dtype)


def _npz(rng: random.Random, _: Path, folder: Path) -> Case:
    path = folder / "data.npz"
    if rng.random() < 0.6:
        content, change = wrong_arrays(_arrays(rng), rng)
    else:
        members = {f"{name}.npy": _saved(array) for name, array in _arrays(rng).items()}
        whole = _zipped(members, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
        if rng.random() < 0.8:
            content, change = damaged(whole, rng)
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
            change = rng.choice(list(others))
            content = others[change]
    path.write_bytes(content)
    classes = rng.choice((None, None, None, [0, 1], [1, 0], [0, 7], [0, 10**30], [0, 2**63]))
    data = {"dataset": "npz", "path": "data.npz", **({} if classes is None else {"classes": classes})}
    return Case(f"{change}; classes {str(classes)[:40]}", lambda: assemble_on(folder, data))


KINDS = {"npz": Kind(nothing, _npz)}
