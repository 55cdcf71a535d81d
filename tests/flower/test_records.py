import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto

from qiskit_fedqml.flower.protocol import Failure, Question
from qiskit_fedqml.flower.records import UnfitError, check_fits, packed, state_in, values_in

STATE = {
    "weight": torch.tensor([[1.5, -0.0], [torch.finfo(torch.float32).tiny, 3e38]]),
    "step": torch.tensor(7.0),
    "count": torch.tensor([2**62, -1]),
    "exact": torch.tensor([0.1], dtype=torch.float64),
}


def test_states_arrive_to_the_bit_and_in_order():
    sent = packed(Failure(kind="DataError", text="é"), {"model": STATE})
    arrived = recorddict_from_proto(recorddict_to_proto(sent))
    state = state_in(arrived, "model")
    assert list(state) == list(STATE)
    for name, tensor in STATE.items():
        assert state[name].dtype == tensor.dtype
        assert state[name].shape == tensor.shape
        assert state[name].numpy().tobytes() == tensor.numpy().tobytes()
    assert values_in(arrived, Failure) == Failure(kind="DataError", text="é")
    state["weight"] += 1  # it is the receiver's own


@pytest.mark.parametrize(
    ("dtype", "shape", "stype", "data"),
    [
        ("float32", (2,), "raw, little-endian", b"\0" * 7),
        ("float32", (10**12,), "raw, little-endian", b"\0" * 8),
        ("float32", (-1, -2), "raw, little-endian", b"\0" * 8),
        ("float32", (2**40, 2**40), "raw, little-endian", b""),
        ("object", (1,), "raw, little-endian", b"\0" * 8),
        ("float32", (2,), "numpy.ndarray", b"\0" * 8),
        ("float32", (2,), "pickle", b"\0" * 8),
        ("float32", (1,) * 33, "raw, little-endian", b"\0" * 4),
    ],
)
def test_tensors_that_are_none_are_refused(dtype, shape, stype, data):
    record = ArrayRecord({"weight": Array(dtype=dtype, shape=shape, stype=stype, data=data)})
    with pytest.raises(UnfitError, match="'weight'"):
        state_in(RecordDict({"state/model": record}), "model")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"kind": "Failure"},
        {"kind": "Failure", "json": "{"},
        {"kind": "Failure", "json": "[]"},
        {"kind": "Failure", "json": b"{}"},
        {"kind": "Question", "json": "{}"},
        {"kind": "Failure", "json": '{"kind": "a", "text": NaN}'},
        {"kind": "Failure", "json": '{"kind": "a", "text": "b", "more": 1}'},
    ],
)
def test_values_that_are_none_are_refused(values):
    with pytest.raises(UnfitError):
        values_in(RecordDict({"values": ConfigRecord(values)}), Failure)


def test_another_protocol_is_refused():
    records = RecordDict({"values": ConfigRecord({"kind": "Question", "json": '{"protocol": 2, "features": {}}'})})
    with pytest.raises(UnfitError, match="protocol"):
        values_in(records, Question)


def test_a_missing_state_is_named():
    with pytest.raises(UnfitError, match="no tensors 'model'"):
        state_in(RecordDict(), "model")


def test_states_are_put_into_the_models_order():
    state = dict(reversed(STATE.items()))
    assert list(check_fits(state, STATE, "it")) == list(STATE)
