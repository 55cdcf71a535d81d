"""Updates that the server refuses, with the reason."""

import pytest
import torch
from pydantic import ValidationError

from qiskit_fedqml import run_federation
from qiskit_fedqml.backends.job import Usage
from qiskit_fedqml.federation.messages import ClientUpdate, Status
from qiskit_fedqml.federation.steps.minibatch import Minibatch
from qiskit_fedqml.federation.validation import update_norm, validated

MODEL = {"w": torch.zeros(2, 3), "b": torch.zeros(3)}
GOOD = {"w": torch.ones(2, 3), "b": torch.ones(3)}


def update(state, client=0, examples=3):
    return ClientUpdate(
        client, "ideal", "aer", examples, 1.0, 0.0, Usage(), Status.OK, state=state, client_states={"m": {}}
    )


@pytest.mark.parametrize(
    ("state", "examples", "reason"),
    [
        ({"w": GOOD["w"]}, 3, "it lacks 'b'"),
        (GOOD | {"c": torch.ones(1)}, 3, "it has 'c', which the model has not"),
        (GOOD | {"b": torch.ones(4)}, 3, "'b' is torch.float32 of shape (4,), not torch.float32 of shape (3,)"),
        (GOOD | {"b": torch.ones(3).double()}, 3, "'b' is torch.float64 of shape (3,), not torch.float32"),
        (GOOD | {"b": torch.tensor([0.0, float("nan"), 0.0])}, 3, "'b' is not finite"),
        (GOOD | {"b": torch.tensor([0.0, float("-inf"), 0.0])}, 3, "'b' is not finite"),
        (GOOD | {"b": torch.ones(3).to_sparse()}, 3, "'b' is sparse"),
        (GOOD | {"b": torch.ones(3, device="meta")}, 3, "'b' is a shape without numbers"),
        (GOOD, -1, "it states -1 examples"),
    ],
)
def test_what_is_no_update_is_refused(state, examples, reason):
    good = update(GOOD, client=1)
    first, second = validated(iter([update(state, examples=examples), good]), MODEL, None)
    assert first.status is Status.REFUSED
    assert first.reason.startswith(reason)
    assert first.state is None
    assert not first.client_states
    assert second is good


def test_updates_pass_one_by_one_unless_their_norms_are_compared():
    asked = []

    def updates():
        for client in range(3):
            asked.append(client)
            yield update(GOOD, client)

    next(validated(updates(), MODEL, None))
    assert asked == [0]
    asked.clear()
    next(validated(updates(), MODEL, 2.0))
    assert asked == [0, 1, 2]


def test_an_update_that_is_much_longer_than_the_others_is_refused():
    far = {name: 10 * tensor for name, tensor in GOOD.items()}
    failed = ClientUpdate(9, "ideal", "aer", 3, None, 0.0, Usage(), Status.FAILED, "gone")
    found = list(validated([update(GOOD, 0), update(far, 1), failed, update(GOOD, 2)], MODEL, 5.0))
    assert [one.status for one in found] == [Status.OK, Status.REFUSED, Status.FAILED, Status.OK]
    assert found[1].reason == "its norm, 30, is more than 5 times the median, 3"
    assert update_norm(far, MODEL) == pytest.approx(30.0)
    assert list(validated([failed], MODEL, 5.0)) == [failed]


def test_a_ratio_to_the_only_update_is_refused(tiny):
    with pytest.raises(ValidationError, match="aggregation.norm_ratio has no effect with clients_per_round: 1"):
        tiny(federation__clients_per_round=1, aggregation={"norm_ratio": 2.0})


def test_the_record_says_which_update_was_refused(tiny, monkeypatch):
    count = iter(range(1000))

    def far(self, model, start, features, labels, original=Minibatch.add_gradients):
        loss = original(self, model, start, features, labels)
        if next(count) == 0:
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad *= 1e6
        return loss

    monkeypatch.setattr(Minibatch, "add_gradients", far)
    changes = {"federation__clients": 7, "federation__clients_per_round": 7, "federation__optimizer": "sgd"}
    result = run_federation(tiny(**changes, federation__batch_size=100, aggregation={"norm_ratio": 20.0}))
    first, *others = result.rounds[0].clients
    assert first.status is Status.REFUSED
    assert first.reason.startswith("its norm, ")
    assert first.share == 0.0
    assert sum(client.share for client in others) == pytest.approx(1.0)
