"""What cannot come with privacy for each client, since it would let one count in another way than was counted."""

import re

import pytest
from pydantic import ValidationError

from qiskit_fedqml.config.privacy import ClientPrivacy
from tests.conftest import make_tiny

CLIENTS = {"noise_multiplier": 1.0, "max_norm": 0.5}
PRIVATE = {
    "privacy": {"delta": 1e-5, "clients": CLIENTS},
    "federation__on_client_failure": "skip",
    "aggregation__weights": "uniform",
}
NOISY = {
    "backends": {"ideal": {"type": "aer"}, "noisy": {"type": "aer", "noise": {"readout": 0.1}}},
    "assignment": {"default": {"cycle": ["ideal", "noisy"]}},
}
DEVICE = {"rehearsed": {"type": "ibm", "device": "FakeManilaV2"}, "ideal": {"type": "aer"}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"federation__on_client_failure": "stop"}, "federation.on_client_failure: stop cannot come with"),
        ({"federation__client_seconds": 9.0}, "federation.client_seconds cannot come with privacy.clients"),
        ({"federation__lockstep": 2}, "federation.lockstep: 2 cannot come with"),
        ({"federation__min_clients": 1}, "federation.min_clients cannot come with"),
        ({"federation__algorithm": {"python": "tests.own_parts:Gossip"}}, "federation.algorithm cannot come with"),
        ({"aggregation__weights": "examples"}, "aggregation.weights: examples cannot come with"),
        ({"aggregation": {"rule": "coordinate_median"}}, "aggregation.rule: coordinate_median cannot come with"),
        ({"aggregation__success_exponent": 1.0, "backends": NOISY}, "aggregation.success_exponent cannot come with"),
        ({"aggregation__norm_bound": 1.0}, "aggregation.norm_bound cannot come with"),
        ({"aggregation__norm_ratio": 2.0}, "aggregation.norm_ratio cannot come with"),
        ({"aggregation__angles": "circular"}, "aggregation.angles: circular cannot come with"),
        ({"features": {"scaling": {"method": "client_sums"}}}, "features.scaling.method: client_sums cannot come with"),
        ({"checkpoints": {"every": 2}}, "checkpoints.every: 2 cannot come with"),
        ({"aggregation__secure": {"threshold": 2}}, "aggregation.secure cannot come with privacy.clients"),
        ({"ledger": True}, "ledger cannot come with privacy.clients"),
        ({"ledger": "digests"}, "ledger cannot come with privacy.clients"),
        (
            {"backends": {"backends": DEVICE, "assignment": {"clients": {"1": "rehearsed"}}}},
            "a client's device cannot come with privacy.clients: .*, as on rehearsed",
        ),
        (
            {"privacy": {"delta": 1e-5, "clients": CLIENTS | {"adaptive": {}}}},
            "adaptive.count_noise: 0.1 cannot come with privacy.clients: it must be above half of noise_multiplier",
        ),
        ({"privacy": {"delta": 1e-5}}, "must name one of examples and clients"),
        ({"privacy": {"delta": 1e-5, "clients": CLIENTS | {"noise_multiplier": 0.0}}}, "noise_multiplier"),
    ],
)
def test_what_would_break_the_guarantee_is_refused(changes, message):
    with pytest.raises(ValidationError) as error:
        make_tiny(**PRIVATE | changes)
    assert re.search(message, str(error.value))


@pytest.mark.parametrize(
    "changes",
    [
        {"federation__proximal_mu": 0.1},
        {"federation__client_optimizer_state": "keep"},
        {"federation__stop": {"patience": 1}, "federation__rounds": 5, "federation__keep_best": True},
        {"federation__lockstep": "auto", "federation__workers": 2},
        {"aggregation__server_optimizer": {"method": "fedadam"}},
        {"federation__clients_per_round": 4},
        {"checkpoints": {"every": 2}, "privacy__randomness": "simulated"},
        {"backends": {"backends": DEVICE, "assignment": {"server": "rehearsed", "default": "ideal"}}},
    ],
)
def test_what_a_client_does_alone_and_what_the_server_does_afterwards_may_come(changes):
    assert make_tiny(**PRIVATE | changes).privacy.protects_clients


def test_the_noise_on_the_count_follows_the_size_of_a_round():
    options = ClientPrivacy.model_validate(CLIENTS | {"adaptive": {}})
    assert options.adaptive.noise_on_count(100) == 5.0
    assert ClientPrivacy.model_validate(CLIENTS | {"adaptive": {"count_noise": 3}}).adaptive.noise_on_count(100) == 3.0
