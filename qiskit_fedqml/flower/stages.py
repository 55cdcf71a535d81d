"""What a node answers in a stage of SecAgg+, checked before Flower's workflow works with it."""

from collections.abc import Callable, Sequence
from typing import Any

import flwr.compat.common.recorddict_compat as compat
import numpy as np
from flwr.app import ConfigRecord, RecordDict
from flwr.common import bytes_to_ndarray
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.supercore.primitives.asymmetric import bytes_to_public_key

from qiskit_fedqml.config.secure import MODULUS
from qiskit_fedqml.flower.records import UnfitError

_LONGEST = 10_000
"""Of a key, a share or an encrypted share, in bytes."""


def check_stage(records: RecordDict, sent: ConfigRecord, shapes: Sequence[tuple[int, ...]], weight: int) -> None:
    """Check a node's answer.

    Args:
        records: The answer.
        sent: What the stage's message said.
        shapes: Of the masked vectors.
        weight: The client's weight, as its node must state it.

    Raises:
        UnfitError: It is not what the stage needs.
    """
    answer = records.config_records.get(RECORD_KEY_CONFIGS)
    if answer is None:
        raise UnfitError("it is none of secure aggregation")
    stage = str(sent[Key.STAGE])
    if stage == Stage.COLLECT_MASKED_VECTORS:
        _check_vectors(records, answer, shapes, weight)
    else:
        _CHECKS[stage](answer, sent)


def _check_keys(answer: ConfigRecord, _: ConfigRecord) -> None:
    for name in (Key.PUBLIC_KEY_1, Key.PUBLIC_KEY_2):
        key = _byte_strings([answer.get(name)], "a public key")[0]
        try:
            bytes_to_public_key(key)
        except ValueError:
            raise UnfitError("a public key is none") from None


def _check_shares(answer: ConfigRecord, sent: ConfigRecord) -> None:
    known = {int(name) for name in sent if name != Key.STAGE}
    nodes = _nodes(answer.get(Key.DESTINATION_LIST))
    shares = _byte_strings(answer.get(Key.CIPHERTEXT_LIST), "an encrypted share")
    if len(set(nodes)) != len(nodes) or not set(nodes) < known or len(nodes) + 1 != len(known):
        raise UnfitError("its shares are not for those that it was to share with")
    if len(shares) != len(nodes):
        raise UnfitError("it has not one share for each node")


def _check_unmasking(answer: ConfigRecord, sent: ConfigRecord) -> None:
    asked = [*_nodes(sent[Key.ACTIVE_NODE_ID_LIST]), *_nodes(sent[Key.DEAD_NODE_ID_LIST])]
    shares = _byte_strings(answer.get(Key.SHARE_LIST), "a share")
    if _nodes(answer.get(Key.NODE_ID_LIST)) != asked or len(shares) != len(asked):
        raise UnfitError("its shares are not those that it was asked for")
    if any(len(share) < 20 or len(share) % 16 != 4 for share in shares):
        raise UnfitError("a share has not the length of one")


def _check_vectors(records: RecordDict, answer: ConfigRecord, shapes: Sequence[tuple[int, ...]], weight: int) -> None:
    vectors = _byte_strings(answer.get(Key.MASKED_PARAMETERS), "a masked vector", longest=None)
    expected = [(1,), *shapes]
    if len(vectors) != len(expected):
        raise UnfitError(f"it has {len(vectors)} masked vectors, not {len(expected)}")
    for data, shape in zip(vectors, expected, strict=True):
        try:
            vector = bytes_to_ndarray(data)
        except (ValueError, EOFError, OSError):
            raise UnfitError("a masked vector cannot be read") from None
        if vector.dtype != np.int64 or vector.shape != shape:
            raise UnfitError(f"a masked vector is {vector.dtype} of shape {vector.shape}, not int64 of shape {shape}")
        if vector.size and not 0 <= vector.min() <= vector.max() < MODULUS:
            raise UnfitError("a masked vector has numbers that are none of masked ones")
    try:
        stated = compat.recorddict_to_fitres(records, keep_input=True).num_examples
    except (KeyError, TypeError, ValueError):
        raise UnfitError("it states no weight") from None
    if stated != weight:
        raise UnfitError(f"it states the weight {stated}, not {weight}")


def _nodes(values: Any) -> list[int]:
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise UnfitError("a list of nodes is missing")
    return list(values)


def _byte_strings(values: Any, what: str, longest: int | None = _LONGEST) -> list[bytes]:
    if not isinstance(values, list) or not all(isinstance(value, bytes) for value in values):
        raise UnfitError(f"{what} is missing")
    if longest is not None and any(len(value) > longest for value in values):
        raise UnfitError(f"{what} is too long")
    return list(values)


_CHECKS: dict[str, Callable[[ConfigRecord, ConfigRecord], None]] = {
    Stage.SETUP: _check_keys,
    Stage.SHARE_KEYS: _check_shares,
    Stage.UNMASK: _check_unmasking,
}
