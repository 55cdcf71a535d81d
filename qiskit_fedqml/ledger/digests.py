"""Digests of states, by which links name models and updates; and states as files that keep the order of tensors.

The order counts: sums over all tensors are rounded in it.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save

from qiskit_fedqml.config.text_files import reading
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.federation.messages import State, States
from qiskit_fedqml.files import save_tensors
from qiskit_fedqml.ledger.links import digest_of_value
from qiskit_fedqml.results.checkpoint import digest_of

_ORDER = "order"


def digest_of_state(state: State) -> str:
    """Return the SHA-256 of a state: names, types, shapes and bytes of its tensors, in their order."""
    return digest_of_value([[name, digest_of(tensor)] for name, tensor in state.items()])


def digest_of_states(states: States) -> str:
    """Return the SHA-256 of several states, whatever their order."""
    return digest_of_value({name: digest_of_state(state) for name, state in states.items()})


def bytes_of(state: State) -> bytes:
    """Return a state as a safetensors file.

    Raises:
        ValueError: It holds what such a file cannot, such as a sparse tensor.
    """
    try:
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
        return bytes(save(plain, {_ORDER: json.dumps(list(state))}))
    except (SafetensorError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no state of plain tensors: {error}") from error


def state_of(content: bytes) -> State:
    """Return the state that a safetensors file holds, in its order.

    Raises:
        ValueError: It is no such file.
    """
    try:
        length = int.from_bytes(content[:8], "little")
        order = json.loads(content[8 : 8 + length])["__metadata__"][_ORDER]
        return _ordered(load(content), json.loads(order))
    except (SafetensorError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"it is no file of tensors: {error}") from error


def save_start(path: Path, state: State) -> None:
    """Write the model with which a run begins, whole or not at all.

    Raises:
        ResultError: It cannot be written.
    """
    save_tensors(path, state, {_ORDER: json.dumps(list(state))})


def load_start(path: Path) -> State:
    """Read the model with which a run begins.

    Raises:
        ResultError: It cannot be read, or is damaged.
    """
    with reading(path, ResultError) as file:
        content = file.read()
    try:
        return state_of(content)
    except ValueError as error:
        raise ResultError(f"{path} is damaged: {error}.") from error


def _ordered(tensors: Mapping[str, object], order: object) -> State:
    if not isinstance(order, list) or sorted(order) != sorted(tensors):
        raise ValueError("its order is not that of its tensors")
    return {name: tensors[name] for name in order}  # type: ignore[misc]
