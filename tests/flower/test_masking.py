"""What leaves a node in secure aggregation, and what an honest server never asks of one."""

import base64
from importlib import import_module

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen
from flwr.supercore.task_identity import TaskIdentity

from qiskit_fedqml.flower.masking import PARAMETERS, keystream, masked, use_strong_masks

SHAPES = [(1,), (3, 2), (), (0,), (500,)]


def test_masks_follow_from_the_whole_seed():
    keys = [base64.urlsafe_b64encode(bytes(range(first, first + 32))) for first in (0, 100)]
    keys.append(keys[0][4:8] + keys[0][:4] + keys[0][8:])
    one, other, turned = (np.concatenate([m.ravel() for m in keystream(key, 2**32, SHAPES)]) for key in keys)
    again = np.concatenate([m.ravel() for m in keystream(keys[0], 2**32, SHAPES)])
    assert np.array_equal(one, again)
    assert (one != other).mean() > 0.99
    assert (one != turned).mean() > 0.99
    # Flower's own masks are the same for both: why they are not used.
    assert np.array_equal(pseudo_rand_gen(keys[0], 2**32, [(9,)])[0], pseudo_rand_gen(keys[2], 2**32, [(9,)])[0])


def test_masks_are_spread_over_the_whole_range():
    masks = keystream(b"seed" * 8, 2**32, SHAPES)
    assert [mask.shape for mask in masks] == SHAPES
    assert all(mask.dtype == np.int64 for mask in masks)
    (numbers,) = keystream(b"seed" * 8, 2**32, [(100_000,)])
    assert 0 <= numbers.min() < 2**32 / 1000
    assert 2**32 * 0.999 < numbers.max() < 2**32
    assert abs(numbers.mean() / 2**32 - 0.5) < 0.01
    assert keystream(b"seed" * 8, 16, [(100,)])[0].max() == 15


@pytest.mark.parametrize("num_range", [1000, 2**33])
def test_masks_are_drawn_modulo_powers_of_two(num_range):
    with pytest.raises(ValueError, match="modulo a power of two up to"):
        keystream(b"seed" * 8, num_range, [(1,)])


@pytest.mark.parametrize(
    "module", ["client.mod.secure_aggregation.secaggplus_mod", "server.workflow.secure_aggregation.secaggplus_workflow"]
)
def test_both_sides_draw_the_same_masks(module):
    use_strong_masks()
    assert import_module(f"flwr.{module}").pseudo_rand_gen is keystream


def ask(configs, answer, **node_config):
    """Give a node a message with a stage's values; return what leaves it."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    content = RecordDict({} if configs is None else {RECORD_KEY_CONFIGS: ConfigRecord(configs)})
    message = Message(content, 1, "train")
    message.metadata.__dict__["_message_id"] = "1"
    context = Context(1, 1, node_config, RecordDict(), {})
    return masked(message, context, lambda one, _: Message(answer, reply_to=one)).content


def tensors(name):
    return RecordDict({name: ArrayRecord({"0": Array(np.ones(3))})})


def test_an_update_does_not_leave_unmasked_outside_of_secure_aggregation():
    with pytest.raises(ValueError, match="an update for secure aggregation would leave unmasked"):
        ask(None, tensors(PARAMETERS))
    assert ask(None, tensors("state/model")).array_records.keys() == {"state/model"}


def setup(**changes):
    """Return the values of the first stage."""
    values = {
        **{Key.STAGE: Stage.SETUP, Key.SAMPLE_NUMBER: 4, Key.SHARE_NUMBER: 4, Key.THRESHOLD: 3},
        **{Key.CLIPPING_RANGE: 8.0, Key.TARGET_RANGE: 2**20, Key.MOD_RANGE: 2**32, Key.MAX_WEIGHT: 1.0},
    }
    return values | changes


def test_keys_are_new_in_each_round():
    one, other = (ask(setup(), RecordDict())[RECORD_KEY_CONFIGS] for _ in range(2))
    assert len({one[Key.PUBLIC_KEY_1], one[Key.PUBLIC_KEY_2], other[Key.PUBLIC_KEY_1], other[Key.PUBLIC_KEY_2]}) == 4


@pytest.mark.parametrize(
    ("configs", "config", "reason"),
    [
        (setup(**{Key.THRESHOLD: 2}), {}, "more than half of the clients"),
        (setup(**{Key.THRESHOLD: "3"}), {}, "more than half of the clients"),
        (setup(), {"secure_threshold": 4}, r"is 3, less than this node's `secure_threshold` \(4\)"),
        (
            {Key.STAGE: Stage.UNMASK, Key.ACTIVE_NODE_ID_LIST: [1, 2, 3], Key.DEAD_NODE_ID_LIST: [3]},
            {},
            "cannot both have stayed and have dropped out",
        ),
        ({Key.STAGE: Stage.COLLECT_MASKED_VECTORS}, {}, "expect setup stage"),
        ({Key.STAGE: Stage.UNMASK, Key.ACTIVE_NODE_ID_LIST: [1], Key.DEAD_NODE_ID_LIST: [2]}, {}, "expect setup stage"),
    ],
)
def test_what_an_honest_server_never_asks_is_refused(configs, config, reason):
    with pytest.raises(ValueError, match=reason):
        ask(configs, RecordDict(), **config)
