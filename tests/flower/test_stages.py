"""What a node may answer in a stage of secure aggregation."""

import numpy as np
import pytest
from flwr.app import ConfigRecord, MetricRecord, RecordDict
from flwr.common import Code, FitRes, Status, ndarray_to_bytes, ndarrays_to_parameters
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.compat.common.recorddict_compat import fitres_to_recorddict
from flwr.supercore.primitives.asymmetric import generate_key_pairs, public_key_to_bytes

from qiskit_fedqml.flower.records import UnfitError
from qiskit_fedqml.flower.stages import check_stage

KEY = public_key_to_bytes(generate_key_pairs()[1])
SHARE = bytes(4 + 48)
SHAPES = [(2, 3), (2,)]
ROUND = {"1": [KEY, KEY], "2": [KEY, KEY], "3": [KEY, KEY], Key.STAGE: Stage.SHARE_KEYS}
SENT = {
    Stage.SETUP: {Key.STAGE: Stage.SETUP},
    Stage.SHARE_KEYS: ROUND,
    Stage.COLLECT_MASKED_VECTORS: {Key.STAGE: Stage.COLLECT_MASKED_VECTORS},
    Stage.UNMASK: {Key.STAGE: Stage.UNMASK, Key.ACTIVE_NODE_ID_LIST: [1, 2], Key.DEAD_NODE_ID_LIST: [3]},
}


def vectors(*shapes, dtype=np.int64, number=7):
    return [ndarray_to_bytes(np.full(shape, number, dtype)) for shape in shapes]


ANSWERS = {
    Stage.SETUP: {Key.PUBLIC_KEY_1: KEY, Key.PUBLIC_KEY_2: KEY},
    Stage.SHARE_KEYS: {Key.DESTINATION_LIST: [2, 3], Key.CIPHERTEXT_LIST: [b"x", b"y"]},
    Stage.COLLECT_MASKED_VECTORS: {Key.MASKED_PARAMETERS: vectors((1,), *SHAPES)},
    Stage.UNMASK: {Key.NODE_ID_LIST: [1, 2, 3], Key.SHARE_LIST: [SHARE] * 3},
}


def check(stage, changes=None, weight=5, stated=5):
    """Check a stage's answer, with some of it changed."""
    values = {key: value for key, value in (ANSWERS[stage] | (changes or {})).items() if value is not None}
    records = RecordDict({RECORD_KEY_CONFIGS: ConfigRecord(values)})
    if stage == Stage.COLLECT_MASKED_VECTORS and stated is not None:
        fit = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([]), stated, {})
        for name, record in fitres_to_recorddict(fit, False).items():
            records[name] = record
    check_stage(records, ConfigRecord(SENT[stage]), SHAPES, weight)


@pytest.mark.parametrize("stage", Stage.all())
def test_an_answer_that_fits_is_taken(stage):
    check(stage)


@pytest.mark.parametrize(
    ("stage", "changes", "reason"),
    [
        (Stage.SETUP, {Key.PUBLIC_KEY_1: None}, "a public key is missing"),
        (Stage.SETUP, {Key.PUBLIC_KEY_2: "text"}, "a public key is missing"),
        (Stage.SETUP, {Key.PUBLIC_KEY_2: b"no key"}, "a public key is none"),
        (Stage.SETUP, {Key.PUBLIC_KEY_2: bytes(10_001)}, "a public key is too long"),
        (Stage.SHARE_KEYS, {Key.DESTINATION_LIST: [2]}, "not for those that it was to share with"),
        (Stage.SHARE_KEYS, {Key.DESTINATION_LIST: [2, 4]}, "not for those that it was to share with"),
        (Stage.SHARE_KEYS, {Key.DESTINATION_LIST: [2, 2]}, "not for those that it was to share with"),
        (Stage.SHARE_KEYS, {Key.DESTINATION_LIST: ["2", "3"]}, "a list of nodes is missing"),
        (Stage.SHARE_KEYS, {Key.CIPHERTEXT_LIST: [b"x"]}, "not one share for each node"),
        (Stage.SHARE_KEYS, {Key.CIPHERTEXT_LIST: None}, "an encrypted share is missing"),
        (Stage.COLLECT_MASKED_VECTORS, {Key.MASKED_PARAMETERS: vectors((1,))}, "it has 1 masked vectors, not 3"),
        (Stage.COLLECT_MASKED_VECTORS, {Key.MASKED_PARAMETERS: vectors((1,), (2, 3), (3,))}, r"int64 of shape \(3,\)"),
        (Stage.COLLECT_MASKED_VECTORS, {Key.MASKED_PARAMETERS: vectors((1,), *SHAPES, dtype=float)}, "is float64"),
        (Stage.COLLECT_MASKED_VECTORS, {Key.MASKED_PARAMETERS: vectors((1,), *SHAPES, number=2**32)}, "none of masked"),
        (Stage.COLLECT_MASKED_VECTORS, {Key.MASKED_PARAMETERS: vectors((1,), *SHAPES, number=-1)}, "none of masked"),
        (Stage.COLLECT_MASKED_VECTORS, {Key.MASKED_PARAMETERS: [b"", b"", b""]}, "cannot be read"),
        (Stage.COLLECT_MASKED_VECTORS, {Key.MASKED_PARAMETERS: None}, "a masked vector is missing"),
        (Stage.UNMASK, {Key.NODE_ID_LIST: [1, 2]}, "not those that it was asked for"),
        (Stage.UNMASK, {Key.NODE_ID_LIST: [3, 2, 1]}, "not those that it was asked for"),
        (Stage.UNMASK, {Key.SHARE_LIST: [SHARE] * 2}, "not those that it was asked for"),
        (Stage.UNMASK, {Key.SHARE_LIST: [SHARE, SHARE, b"short"]}, "not the length of one"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(stage, changes, reason):
    with pytest.raises(UnfitError, match=reason):
        check(stage, changes)


@pytest.mark.parametrize(("stated", "reason"), [(4, "the weight 4, not 5"), (None, "it states no weight")])
def test_a_node_cannot_state_another_weight(stated, reason):
    with pytest.raises(UnfitError, match=reason):
        check(Stage.COLLECT_MASKED_VECTORS, stated=stated)


def test_an_answer_of_another_kind_is_refused():
    with pytest.raises(UnfitError, match="none of secure aggregation"):
        check_stage(RecordDict({"m": MetricRecord({"x": 1.0})}), ConfigRecord(SENT[Stage.SETUP]), SHAPES, 1)
