"""Which clients train together."""

import pytest
import torch

from qiskit_fedqml import load_experiment, run_federation
from qiskit_fedqml.config.experiment import FederationConfig
from qiskit_fedqml.federation.executors.groups import groups
from qiskit_fedqml.federation.messages import ClientTask
from tests.conftest import ROOT


def config(**changes):
    return FederationConfig(**{"clients": 50, "clients_per_round": 50, "rounds": 1} | changes)


def tasks(backends, num_numbers=10, **changes):
    state = {"head.0.weight": torch.zeros(num_numbers)}
    return [ClientTask(1, client, name, state, **changes) for client, name in enumerate(backends)]


def ids(found):
    return [[task.client_id for task in group] for group in found]


def test_alone_and_in_order_by_default():
    assert ids(groups(tasks("abab"), config())) == [[0], [1], [2], [3]]


def test_clients_of_one_backend_in_groups_of_equal_size():
    assert ids(groups(tasks("abaabaa"), config(lockstep=4))) == [[0, 2], [1, 4], [3, 5, 6]]
    assert ids(groups(tasks("abaabaa"), config(lockstep="auto"))) == [[0, 2, 3, 5, 6], [1, 4]]
    assert groups([], config(lockstep=4)) == []


@pytest.mark.parametrize(
    ("lockstep", "numbers", "most"),
    [
        ("auto", 10, 32),
        ("auto", 1 << 18, 16),
        ("auto", 1 + (1 << 18), 1),
        ("auto", 50_000_000, 1),
        (40, 1 << 20, 40),
        (40, 50_000_000, 1),
    ],
)
def test_large_heads_are_not_stacked(lockstep, numbers, most):
    state = {"head.0.weight": torch.empty(numbers, device="meta")}
    some = [ClientTask(1, client, "a", state) for client in range(most)]
    assert [len(group) for group in groups(some, config(lockstep=lockstep))] == [most]
    extra = ClientTask(1, most, "a", state)
    assert len(groups([*some, extra], config(lockstep=lockstep))) == 2


def test_clients_that_only_test_do_so_alone():
    assert ids(groups(tasks("aa", trains=False), config(lockstep=2))) == [[0], [1]]


def test_clients_whose_optimisers_took_as_many_steps():
    def kept(steps):
        return {"step": {"head.0.weight": torch.tensor(steps)}, "exp_avg": {"head.0.weight": torch.zeros(10)}}

    some = [
        ClientTask(1, client, "a", {"head.0.weight": torch.zeros(10)}, client_states=states)
        for client, states in enumerate([{}, kept(2.0), {}, kept(3.0), kept(2.0)])
    ]
    assert ids(groups(some, config(lockstep=8))) == [[0, 2], [1, 4], [3]]


def test_a_step_of_ones_own_trains_clients_alone():
    own = {"client_step": {"python": "tests.federation.extensions:Step"}}
    assert ids(groups(tasks("aa"), config(lockstep="auto", **own))) == [[0], [1]]
    with pytest.raises(ValueError, match="lockstep has no effect with a client_step of your own"):
        config(lockstep=2, **own)


def test_a_run_in_lockstep_ends_where_it_does_without():
    changes = {"federation.rounds": 2, "data.test_fraction": 0.6, "model.dropout": 0.1}
    losses = []
    for lockstep in (1, "auto", 2):
        experiment = load_experiment(ROOT / "experiments" / "digits.yaml", {**changes, "federation.lockstep": lockstep})
        result = run_federation(experiment)
        losses.append([record.test_loss for record in result.rounds])
        assert sum(record.circuits for record in result.rounds) > 0
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[2] == pytest.approx(losses[0], rel=1e-5)
