"""Examples that were given from Python, kept in an NPZ file."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from qiskit_fedqml.config.partition import DividedData, Iid, OwnData, SharedOutData
from qiskit_fedqml.data.collecting import Collected, collect
from qiskit_fedqml.data.datasets import Dataset
from qiskit_fedqml.data.messages import shown
from qiskit_fedqml.data.npz import check_inputs, labels_in, read_npz
from qiskit_fedqml.errors import DataError
from qiskit_fedqml.files import replacing, writing

_ARRAYS = ("classes", "x_train", "y_train", "x_test", "y_test", "client_train")


def write_given(data: Any, folder: Path) -> tuple[Path, Collected]:
    """Write examples to a file in a folder, named by what it holds, unless it is there.

    Args:
        data: As :func:`~qiskit_fedqml.data.collecting.collect` takes it.
        folder: The folder.

    Raises:
        DataError: As :func:`~qiskit_fedqml.data.collecting.collect`.
        ResultError: The file cannot be written.
    """
    collected = collect(data)
    owners = np.empty(0, np.int64) if collected.owners is None else collected.owners
    values = (
        np.array(collected.classes, dtype=np.str_),
        *(array for pair in zip(collected.inputs, collected.labels, strict=True) for array in pair),
        owners,
    )
    arrays = dict(zip(_ARRAYS, map(np.ascontiguousarray, values), strict=True))
    path = folder / f"data-{_digest(arrays)}.npz"
    if not path.exists():
        with writing(path), replacing(path) as part, part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # of NumPy's stub, which takes them for its options
    return path, collected


def given(path: str | None) -> Dataset:
    """Read what :func:`write_given` wrote.

    Raises:
        DataError: It is no such file, or is damaged; or there is none, because examples are still to be given.
    """
    if path is None:
        raise DataError("`data` names no examples; give them from Python: run_federation(…, data=(clients, test)).")
    file = Path(path)
    arrays = read_npz(file, _ARRAYS)
    names, owners = arrays["classes"], arrays["client_train"]
    if names.dtype.kind != "U" or names.ndim != 1 or len(names) < 2:
        raise DataError(f"{shown(file)}: classes must be two names or more, but has dtype {names.dtype}.")
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        check_inputs(file, f"x_{part}", x)
        labels = labels_in(file, f"y_{part}", y, len(x))
        if not 0 <= labels[0] <= labels[-1] < len(names):
            raise DataError(f"{shown(file)}: y_{part} must be from 0 to {len(names) - 1}.")
    if owners.size:
        labels_in(file, "client_train", owners, len(arrays["x_train"]))
    kinds = [(arrays[name].dtype, arrays[name].shape[1:]) for name in ("x_train", "x_test")]
    if kinds[0] != kinds[1] or kinds[0][0] not in (np.float32, np.uint8):
        raise DataError(f"{shown(file)}: x_train and x_test must be of one kind and shape, but they differ.")
    if kinds[0][0] == np.float32 and not all(np.isfinite(arrays[f"x_{part}"]).all() for part in ("train", "test")):
        raise DataError(f"{shown(file)}: features must be finite, but there are NaN or infinite ones.")
    return Collected(
        classes=tuple(map(str, names)),
        inputs=(arrays["x_train"], arrays["x_test"]),
        labels=(arrays["y_train"].astype(np.int64), arrays["y_test"].astype(np.int64)),
        owners=owners.astype(np.int64) if owners.size else None,
    ).dataset()


def given_section(data: Any, instead_of: DividedData, num_clients: int, folder: Path) -> dict[str, Any]:
    """Write examples to a file in a folder, and return the `data` section that names them.

    Args:
        data: As :func:`~qiskit_fedqml.data.collecting.collect` takes it.
        instead_of: The section in whose place it comes; what it says about the partition stays.
        num_clients: The number of clients.
        folder: The folder.

    Raises:
        DataError: As :func:`~qiskit_fedqml.data.collecting.collect`; or the number of clients is another one.
        ResultError: The file cannot be written.
    """
    check_number(data, num_clients)
    path, collected = write_given(data, folder)
    return {"dataset": "given", "path": str(path), **divided(instead_of, is_divided=collected.owners is not None)}


def divided(section: DividedData, *, is_divided: bool | None) -> Mapping[str, Any]:
    """Return what a `data` section says about how any dataset is divided.

    Args:
        section: The section.
        is_divided: Whether the dataset divides itself, so that the default of other sections does not count.
    """
    keys = {key: getattr(section, key) for key in DividedData.model_fields}
    partition = section.partition if isinstance(section, (SharedOutData, OwnData)) else None
    if partition is not None and not (is_divided is not False and isinstance(partition, Iid)):
        keys["partition"] = partition.model_dump(mode="json")
    return keys


def check_number(data: Any, num_clients: int) -> None:
    """Check that there are as many datasets as clients, before any of them is read.

    Raises:
        DataError: There are not.
    """
    clients = data[0] if isinstance(data, tuple) and len(data) == 2 else None
    if isinstance(clients, (list, tuple)) and clients and len(clients) != num_clients:
        raise DataError(
            f"`data` has {len(clients)} clients, but `federation.clients` is {num_clients}; they must be as many."
        )


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = sha256()
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data if array.size and array.dtype.kind != "U" else array.tobytes())
    return digest.hexdigest()[:32]
