"""Secure aggregation at a node: Flower's SecAgg+ masks an update before it leaves, and its masks are strong.

Flower (1.42) draws masks from NumPy's Mersenne twister, with a seed that it folds to 32 bits; of one between two nodes
28 bits vary, so whoever keeps the messages can try them all (flwrlabs/flower#7522). Here both sides draw them from
ChaCha20 (RFC 8439) instead, with the whole seed. Everything else of the protocol is Flower's own.
"""

import importlib
import math
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from flwr.app import ConfigRecord, Context, Message
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, RECORD_KEY_STATE, Key, Stage
from numpy.typing import NDArray

PARAMETERS = "fitres.parameters"
"""What Flower's modifier masks in a node's answer."""
_MODULES = (
    "flwr.client.mod.secure_aggregation.secaggplus_mod",
    "flwr.server.workflow.secure_aggregation.secaggplus_workflow",
)


def keystream(seed: bytes, num_range: int, dimensions_list: Sequence[tuple[int, ...]]) -> list[NDArray[np.int64]]:
    """Return masks; it takes the place of Flower's ``pseudo_rand_gen``, and has its arguments.

    Args:
        seed: A secret that is used for these masks alone.
        num_range: A power of two, at most 2³²; numbers are from 0 up to it.
        dimensions_list: The masks' shapes.
    """
    if num_range.bit_count() != 1 or num_range > 2**32:
        raise ValueError(f"masks are drawn modulo a power of two up to 2**32, not {num_range}")
    stream = Cipher(ChaCha20(sha256(seed).digest(), bytes(16)), mode=None).encryptor()
    masks = []
    for shape in dimensions_list:
        numbers = np.frombuffer(stream.update(bytes(4 * math.prod(shape))), "<u4").astype(np.int64)
        masks.append((numbers & (num_range - 1)).reshape(shape))
    return masks


def use_strong_masks() -> None:
    """Let Flower's SecAgg+ draw its masks from :func:`keystream`, in this process.

    Raises:
        RuntimeError: This is a version of Flower that draws them in another way.
    """
    for name in _MODULES:
        module = importlib.import_module(name)
        if not hasattr(module, "pseudo_rand_gen"):
            raise RuntimeError(f"{name} draws its masks in another way than that of Flower 1.42")
        module.__dict__["pseudo_rand_gen"] = keystream


class _NothingToMaskError(Exception):
    """A node has no update; its answer says why."""

    def __init__(self, reply: Message) -> None:
        super().__init__()
        self.reply = reply


def masked(message: Message, context: Context, answer: Callable[[Message, Context], Message]) -> Message:
    """Answer a message; an update for secure aggregation leaves masked, or not at all.

    Args:
        message: A stage of Flower's SecAgg+, or any other message.
        context: Flower's, which keeps the node's secrets between two stages of a round.
        answer: Answers a message that is about work.

    Raises:
        ValueError: An update would leave unmasked or too easy to uncover; or the stage does not follow the one before.
    """
    if RECORD_KEY_CONFIGS not in message.content.config_records:
        return _without_update(answer(message, context))

    def trained(message: Message, context: Context) -> Message:
        reply = answer(message, context)
        if PARAMETERS not in reply.content.array_records:
            raise _NothingToMaskError(reply)
        if len(reply.content.array_records) > 1:
            raise ValueError("tensors next to an update for secure aggregation would leave unmasked")
        return reply

    stage = message.content.config_records[RECORD_KEY_CONFIGS]
    _check(stage, context.node_config.get("secure_threshold"))
    is_last = stage.get(Key.STAGE) == Stage.UNMASK
    use_strong_masks()
    modifier: Any = importlib.import_module(_MODULES[0])
    try:
        masked_reply: Message = modifier.secaggplus_mod(message, context, trained)
    except _NothingToMaskError as nothing:
        if nothing.reply.content.array_records:
            raise ValueError("tensors would leave unmasked in secure aggregation") from None
        masked_reply, is_last = nothing.reply, True
    if is_last:  # nothing is asked after that, so secrets need not lie about until the next round
        context.state.config_records.pop(RECORD_KEY_STATE, None)
    return masked_reply


def _check(stage: ConfigRecord, least: Any) -> None:
    """Refuse what an honest server never asks.

    Raises:
        ValueError: Half of the clients could uncover an update, or fewer than the node wants; or one client's secrets
            are asked for that must not come together.
    """
    if stage.get(Key.STAGE) == Stage.SETUP:
        threshold, clients = stage.get(Key.THRESHOLD), stage.get(Key.SAMPLE_NUMBER)
        if not isinstance(threshold, int) or not isinstance(clients, int) or threshold * 2 <= clients:
            raise ValueError("the threshold must be more than half of the clients")
        if isinstance(least, int) and threshold < least:
            raise ValueError(f"the threshold is {threshold}, less than this node's `secure_threshold` ({least})")
    elif stage.get(Key.STAGE) == Stage.UNMASK:
        stayed, dropped = stage.get(Key.ACTIVE_NODE_ID_LIST), stage.get(Key.DEAD_NODE_ID_LIST)
        if not isinstance(stayed, list) or not isinstance(dropped, list) or {*stayed} & {*dropped}:
            raise ValueError("a client cannot both have stayed and have dropped out")


def _without_update(reply: Message) -> Message:
    """Return a reply that nobody has masked.

    Raises:
        ValueError: It holds what must be masked.
    """
    if PARAMETERS in reply.content.array_records:
        raise ValueError("an update for secure aggregation would leave unmasked")
    return reply
