"""What a node may answer, and what is refused whoever sends it."""

import json

import pytest
import torch

from qiskit_fedqml.backends.job import JobReceipt, Usage
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, Status
from qiskit_fedqml.flower import texts
from qiskit_fedqml.flower.answers import update_of
from qiskit_fedqml.flower.protocol import MODEL, Answer, Failure
from qiskit_fedqml.flower.records import UnfitError, packed, values_in

MODEL_STATE = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}
TASK = ClientTask(3, 1, "ours", MODEL_STATE)
FIGURES = {
    "device": "fake_fez",
    "date": "2026-01-01",
    "blocks": {"1-2": 0.9},
    "success_probability": 0.9,
    "spread": "clients",
}
UPDATE = ClientUpdate(
    client_id=1,
    backend="theirs",
    simulator="rehearsal",
    num_examples=12,
    train_loss=0.5,
    seconds=2.0,
    usage=Usage(1, 40, 40_960, (JobReceipt("job-1", 1.5, None),)),
    status=Status.OK,
    state={"weight": torch.ones(2, 3), "bias": torch.ones(2)},
    client_states={"exp_avg": {"weight": torch.ones(2, 3)}, "step": {"weight": torch.tensor(4.0)}},
    calibration=FIGURES,
    success_probability=0.9,
)


def taken(changes=None, state=None, kept=None):
    """Return what the server makes of the update's answer, with some of it changed."""
    states = {MODEL: UPDATE.state if state is None else state}
    states |= {f"kept/{slot}": tensors for slot, tensors in (kept or UPDATE.client_states).items()}
    records = packed(Answer.of(UPDATE, 3), states)
    values = records["values"]
    values["json"] = json.dumps({**json.loads(values["json"]), **(changes or {})})
    return update_of(TASK, values_in(records, Answer), records, MODEL_STATE, 12, 5.0)


def test_an_answer_becomes_the_update_that_it_was():
    update = taken()
    assert update.backend == "ours"  # what the server calls it
    assert update.waited_seconds == 3.0
    same = (
        "client_id",
        "simulator",
        "num_examples",
        "train_loss",
        "seconds",
        "usage",
        "status",
        "reason",
        "calibration",
    )
    assert all(getattr(update, name) == getattr(UPDATE, name) for name in same)
    assert all(torch.equal(update.state[name], tensor) for name, tensor in UPDATE.state.items())
    assert torch.equal(update.client_states["step"]["weight"], torch.tensor(4.0))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"weight": torch.full((2, 3), float("nan")), "bias": torch.ones(2)}, "weight is not finite"),
        ({"weight": torch.full((2, 3), float("inf")), "bias": torch.ones(2)}, "weight is not finite"),
        ({"weight": torch.ones(3, 2), "bias": torch.ones(2)}, r"weight must be torch.float32 of shape \(2, 3\)"),
        ({"weight": torch.ones(2, 3).double(), "bias": torch.ones(2)}, "but is torch.float64"),
        ({"weight": torch.ones(2, 3)}, "'bias' is missing or too much"),
        ({"weight": torch.ones(2, 3), "bias": torch.ones(2), "more": torch.ones(1)}, "'more' is missing or too much"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(state, reason):
    with pytest.raises(UnfitError, match=reason):
        taken(state=state)


@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        ({"exp_avg": {"weight": torch.ones(6)}}, "what it keeps as 'exp_avg': weight must be"),
        ({"exp_avg": {"other": torch.ones(6)}}, "'other' is missing or too much"),
        ({"exp_avg": {"weight": torch.full((2, 3), float("nan"))}}, "not finite"),
    ],
)
def test_what_a_client_keeps_must_fit_the_model(kept, reason):
    with pytest.raises(UnfitError, match=reason):
        taken({"kept": list(kept)}, kept=kept)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"examples": 10**6}, "it claims 1000000 examples, where there were 12"),
        ({"server_step": 2}, "it is for round 2"),
        ({"client": 0}, "it is for round 3 and client 0"),
        ({"status": "tested"}, "does not fit its tensors"),
        ({"status": "failed"}, "does not fit its tensors"),
        ({"has_state": False}, "does not fit its tensors"),
        ({"train_loss": None}, "has no loss"),
        ({"kept": ["../x"]}, "kept"),
        ({"kept": ["never sent"]}, "kept"),
        ({"kept": ["exp_avg_sq"]}, "no tensors 'kept/exp_avg_sq'"),
        ({"seconds": -1.0}, "seconds"),
        ({"seconds": "long"}, "seconds"),
        ({"success_probability": 2.0}, "success_probability"),
        ({"status": "splendid"}, "status"),
        ({"calibration": FIGURES | {"blocks": 3}}, "'blocks': must be a mapping"),
        ({"calibration": FIGURES | {"blocks": {"1-2": "good"}}}, "must be a number, but got 'good'"),
        ({"calibration": FIGURES | {"blocks": {"a-b": 0.9}}}, "blocks"),
        ({"calibration": FIGURES | {"blocks": {}}}, "blocks"),
        ({"calibration": FIGURES | {"qubits": {"0": {"sx_error": "low"}}}}, "must be a number, but got 'low'"),
        ({"calibration": FIGURES | {"couplings": {"0": 0.1}}}, "couplings"),
        ({"calibration": FIGURES | {"couplings": None}}, "a key without a value"),
        ({"calibration": {"device": "fez", "date": None, "spread": "clients"}}, "a spread without blocks"),
        ({"calibration": {"date": "2026-01-01"}}, "'device' is missing"),
        ({"calibration": {"text": "x" * 1_000_001}}, "figures of its device take"),
        ({"unknown": 1}, "unknown key"),
        ({"usage": {"jobs": 1}}, "circuits"),
        ({"reason": "x" * 2001}, "reason"),
    ],
)
def test_values_that_cannot_be_are_refused(changes, reason):
    with pytest.raises(UnfitError, match=reason):
        taken(changes)


def test_words_are_shown_on_one_line_without_control_characters():
    assert texts.plain("\x1b[2Jgone\n\tnow\x00") == "[2Jgone now"
    assert len(texts.plain("x" * 5000)) == 500


@pytest.mark.parametrize(("kind", "name"), [("BackendError", "BackendError"), ("os.system", "TrainingError")])
def test_an_error_of_a_node_is_one_of_this_package(kind, name):
    error = texts.error_of(Failure(kind=kind, text="gone\n"), "Node 3")
    assert type(error).__name__ == name
    assert str(error) == "Node 3: gone"
