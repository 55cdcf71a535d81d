"""What an experiment will spend of its privacy: as its run does."""

import pytest

from qiskit_fedqml import run_federation
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.planning.privacy import PrivacyPlan
from qiskit_fedqml.planning.rounds import drawn_clients
from tests.conftest import make_tiny

CLIENTS = {
    "privacy": {"delta": 1e-5, "randomness": "simulated", "clients": {"noise_multiplier": 1.2, "max_norm": 1.0}},
    "federation__on_client_failure": "skip",
}
EXAMPLES = {
    "privacy": {
        "delta": 1e-5,
        "randomness": "simulated",
        "examples": {"noise_multiplier": 1.2, "max_norm": 1.0, "sampling_rate": 0.5},
    },
    "federation__clients": 5,
}


def private(level, **overrides):
    return make_tiny(**{**level, "aggregation__weights": "uniform", "federation__rounds": 4, **overrides})


@pytest.mark.parametrize("level", [CLIENTS, EXAMPLES])
def test_a_run_spends_what_was_planned(level):
    plan = PrivacyPlan.of(private(level))
    run = run_federation(private(level))
    assert [plan.epsilon(round) for round in range(1, 5)] == [record.epsilon for record in run.rounds]


@pytest.mark.parametrize("level", [CLIENTS, EXAMPLES])
def test_the_ceiling_and_the_noise_are_those_of_the_run(level):
    plan = PrivacyPlan.of(private(level, federation__rounds=40))
    assert plan.last_round == 40
    limit = plan.epsilon(7)
    limited = PrivacyPlan.of(private(level, federation__rounds=40, privacy__epsilon=limit))
    assert plan.epsilon(limited.last_round) <= limit < plan.epsilon(limited.last_round + 1)
    section = "clients" if level is CLIENTS else "examples"
    noise = plan.noise_for(1.0)
    quiet = PrivacyPlan.of(
        private(level, federation__rounds=40, **{f"privacy__{section}__noise_multiplier": noise}, privacy__epsilon=1.0)
    )
    assert 0.99 < quiet.epsilon(40) <= 1.0
    assert quiet.last_round == 40


def test_nothing_is_spent_without_privacy():
    with pytest.raises(ConfigurationError, match="has no section `privacy`, so it protects nobody"):
        PrivacyPlan.of(make_tiny())


def test_a_plan_of_devices_knows_that_private_clients_send_them_nothing():
    assert list(drawn_clients(private(CLIENTS), ("ideal",) * 4, first=3)) == [(3, []), (4, [])]
