"""Values and tensors as Flower's records, and back. Nothing is unpickled, and nothing is taken unchecked."""

import math
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from qiskit_fedqml.config.strict import StrictModel
from qiskit_fedqml.config.text_files import parse_json
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.federation.messages import State

_VALUES = "values"
_STATE = "state/"
_RAW = "raw, little-endian"
"""How tensors are written: their bytes alone, so that there is no header to be trusted."""
_DTYPES = {"float32": torch.float32, "float64": torch.float64, "int64": torch.int64}
_MOST_CHARACTERS = 32_000_000
"""Of the plain values of one message."""

Values = TypeVar("Values", bound=StrictModel)


class UnfitError(Exception):
    """A message is not what it should be; the text says why."""


def packed(values: StrictModel, states: Mapping[str, State] | None = None) -> RecordDict:
    """Return values, and named states next to them, as a message's content."""
    records = RecordDict({_VALUES: ConfigRecord({"kind": type(values).__name__, "json": values.model_dump_json()})})
    for name, state in (states or {}).items():
        records[_STATE + name] = ArrayRecord({key: _array(tensor) for key, tensor in state.items()})
    return records


def kind_of(records: RecordDict) -> str:
    """Return the kind of a message's values; empty where it has none."""
    found = records.config_records.get(_VALUES)
    kind = found.get("kind") if found is not None else None
    return kind if isinstance(kind, str) else ""


def values_in(records: RecordDict, kind: type[Values]) -> Values:
    """Return a message's values.

    Raises:
        UnfitError: They are not there, or not what they should be.
    """
    found = records.config_records.get(_VALUES)
    text = found.get("json") if found is not None else None
    if kind_of(records) != kind.__name__ or not isinstance(text, str) or len(text) > _MOST_CHARACTERS:
        raise UnfitError(f"it is not a message of the kind {kind.__name__}")
    try:
        return validate(kind, parse_json(text, kind.__name__, ConfigurationError), kind.__name__)
    except ConfigurationError as error:
        raise UnfitError(str(error)) from None


def state_in(records: RecordDict, name: str) -> State:
    """Return a message's state.

    Raises:
        UnfitError: It is not there, or a tensor's bytes do not fit its type and shape.
    """
    found = records.array_records.get(_STATE + name)
    if found is None:
        raise UnfitError(f"it has no tensors {name!r}")
    return {str(key)[:200]: _tensor(str(key)[:200], array) for key, array in found.items()}


def check_fits(state: State, expected: State, what: str) -> State:
    """Return a state in the order of another one, if its tensors are alike and finite.

    Args:
        state: The state.
        expected: A state with the same names, types and shapes.
        what: What the error calls it.

    Raises:
        UnfitError: They are not.
    """
    if state.keys() != expected.keys():
        odd = sorted(state.keys() ^ expected.keys())
        raise UnfitError(f"{what}: its tensors are not those of the model; {odd[0]!r} is missing or too much")
    for name, tensor in expected.items():
        got = state[name]
        if got.shape != tensor.shape or got.dtype != tensor.dtype:
            raise UnfitError(
                f"{what}: {name} must be {tensor.dtype} of shape {tuple(tensor.shape)}, but is {got.dtype} of shape "
                f"{tuple(got.shape)}"
            )
        if not bool(got.isfinite().all()):
            raise UnfitError(f"{what}: {name} is not finite")
    return {name: state[name] for name in expected}


def _array(tensor: torch.Tensor) -> Array:
    values = np.ascontiguousarray(tensor.detach().cpu().numpy())
    data = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    return Array(dtype=str(values.dtype), shape=tuple(tensor.shape), stype=_RAW, data=data)


def _tensor(name: str, array: Array) -> torch.Tensor:
    if array.stype != _RAW or array.dtype not in _DTYPES:
        raise UnfitError(f"the tensor {name!r} is of a kind that is not taken")
    shape = tuple(array.shape)
    dtype = np.dtype(array.dtype).newbyteorder("<")
    if min(shape, default=1) < 0 or len(shape) > 32 or math.prod(shape) * dtype.itemsize != len(array.data):
        raise UnfitError(f"the tensor {name!r} has {len(array.data)} bytes, which do not fit its type and shape")
    values = np.frombuffer(array.data, dtype).astype(array.dtype).reshape(shape)
    return torch.from_numpy(values)
