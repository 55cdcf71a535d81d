"""What secure aggregation asks of an experiment, and how finely it counts."""

import pytest

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.secure import MODULUS, SecureConfig
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.errors import ConfigurationError
from tests.config.test_experiment import put
from tests.conftest import TINY

FOUR = {"federation.clients_per_round": 4, "aggregation.secure.threshold": 3}
DEVICE = {"type": "ibm", "device": "FakeManilaV2", "task": "evaluate"}


def made(**changes):
    data = {key: dict(value) for key, value in TINY.items() if isinstance(value, dict)}
    for key, value in (FOUR | {key.replace("__", "."): value for key, value in changes.items()}).items():
        put(data, key, value)
    return validate(Experiment, data, "tiny")


def test_a_threshold_is_all_that_is_needed():
    secure = made().aggregation.secure
    assert (secure.threshold, secure.clipping_range) == (3, 8.0)
    assert made().aggregation.least_updates == 3
    assert made(aggregation__weights="uniform", aggregation__server_optimizer={"method": "fedadam"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"aggregation__rule": "coordinate_median"}, "the rule coordinate_median needs the single updates"),
        ({"aggregation__rule": {"python": "tests.own_parts:Median"}}, "the rule python needs the single updates"),
        ({"aggregation__rule": {"multi_krum": {"byzantine": 1}}}, "the rule multi_krum needs the single updates"),
        ({"aggregation__angles": "circular"}, "angles: circular needs the single updates"),
        ({"aggregation__success_exponent": 1.0}, "success_exponent needs the single updates"),
        ({"aggregation__norm_bound": 1.0}, "norm_bound needs the single updates"),
        ({"aggregation__norm_ratio": 2.0}, "norm_ratio needs the single updates"),
        ({"aggregation__secure__threshold": 1}, "'aggregation.secure.threshold': must be greater than or equal to 2"),
        ({"aggregation__secure__threshold": 2}, r"more than half of federation.clients_per_round \(4\), and at most"),
        ({"aggregation__secure__threshold": 5}, "and at most as many, but is 5"),
        ({"aggregation__secure": {}}, "key 'aggregation.secure.threshold' is missing"),
        ({"aggregation__secure__clipping_range": 0.0}, "'aggregation.secure.clipping_range': must be greater than 0"),
        (
            {"federation__client_optimizer_state": "keep"},
            "must be reset with aggregation.secure",
        ),
        ({"federation__algorithm": {"python": "tests.own_parts:RoundRobin"}}, "algorithm must be synchronous"),
        ({"backends__backends": {"ideal": DEVICE}}, "clients on 'ideal' only test the global model"),
    ],
)
def test_what_would_show_updates_is_refused(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        made(**changes)


@pytest.mark.parametrize("clients", [2, 3, 4, 5, 100, 1000, 4096, 10_000])
def test_the_range_has_as_many_steps_as_the_sum_has_room_for(clients):
    steps = SecureConfig(threshold=2).quantization_range(clients)
    assert steps.bit_count() == 1
    assert clients * steps < MODULUS <= 2 * clients * steps
