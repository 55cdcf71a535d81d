from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from qiskit_fedqml.backends.job import Usage
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.federation.messages import ClientUpdate, Status
from qiskit_fedqml.federation.rules.fedavg import FedAvg
from qiskit_fedqml.federation.server_state import ServerState

MODEL = {"w": torch.tensor([1.0, 2.0])}


class Seen(FedAvg):
    def start(self, model):
        self.states = {}
        super().start(model)

    def add(self, update, weight):
        self.states[update.client_id] = update.state["w"]
        super().add(update, weight)


def sent(script, changes, attackers, **arguments):
    """Return what a rule gets where clients have trained these changes, and what is recorded of them."""
    rule = Seen()
    config = SimpleNamespace(clients_per_round=len(changes))
    setting = SimpleNamespace(
        config=config,
        rule=rule,
        weight_of=lambda update: float(update.num_examples),
        server_optimizer=None,
        scheduler=None,
        norm_ratio=None,
    )
    updates = [
        ClientUpdate(k, "ideal", "sweep", 10, 0.5, 0.1, Usage(), Status.OK, state={"w": MODEL["w"] + torch.tensor(c)})
        for k, c in enumerate(changes)
    ]
    forged = script.Forged(setting, list(range(attackers)), **arguments)
    _, records = forged.apply(ServerState(0, MODEL), iter(updates))
    return {client: (state - MODEL["w"]).tolist() for client, state in rule.states.items()}, records


CHANGES = [[1.0, -1.0], [3.0, 1.0], [0.5, 0.5], [0.25, 0.5], [0.5, 0.25]]


def test_an_update_times_a_factor_is_the_change_times_it(script):
    found, _ = sent(script, CHANGES, 1, kind="times", factor=-4.0)
    assert found[0] == [-4.0, 4.0]
    assert [found[k] for k in range(1, 5)] == CHANGES[1:]


def test_nan_is_refused_by_the_server_and_others_count(script):
    found, records = sent(script, CHANGES, 2, kind="times", factor="nan")
    assert sorted(found) == [2, 3, 4]
    assert [record.status for record in records[:3]] == [Status.REFUSED, Status.REFUSED, Status.OK]
    assert "not finite" in records[0].reason


def test_inner_product_is_the_same_multiple_of_the_colluders_mean(script):
    found, _ = sent(script, CHANGES, 2, kind="mean", factor=-0.5)
    assert found[0] == found[1] == [-1.0, 0.0]
    assert found[2] == CHANGES[2]


def test_a_little_is_z_deviations_below_the_colluders_mean(script):
    z = script.little_enough(5, 2)
    found, _ = sent(script, CHANGES, 2, kind="little")
    assert found[0] == found[1] == pytest.approx([2.0 - z, 0.0 - z], abs=1e-6)


def test_z_of_the_papers_setting(script):
    """With 50 workers of which 24 are corrupt, two supporters are needed: P(Z < z) = 24/26 (arXiv:1902.06156)."""
    assert script.little_enough(50, 24) == pytest.approx(1.4260769)
    assert script.little_enough(20, 6) == pytest.approx(0.3661064)


def test_a_client_that_failed_sends_nothing(script):
    forged = script.Forged(SimpleNamespace(config=SimpleNamespace(clients_per_round=5)), [0], kind="mean", factor=-1.0)
    update = ClientUpdate(0, "ideal", "none", 10, None, 0.1, Usage(), Status.FAILED, "offline")
    assert forged._forged(MODEL, [update]) == [replace(update)]


def test_an_unknown_kind_is_refused(script):
    with pytest.raises(ConfigurationError, match="`kind` must be one of"):
        script.Forged(SimpleNamespace(config=SimpleNamespace(clients_per_round=5)), [0], kind="other")
