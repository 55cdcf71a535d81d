"""Parts of a user's own: named in a configuration, found, made, used, and refused with one clear error."""

import pytest
import torch

from qiskit_fedqml import resume_federation, run_federation
from qiskit_fedqml.errors import ConfigurationError
from tests.federation.test_federation import same
from tests.stopping import Interrupt, StopAfter

MEDIAN = {"python": "tests.own_parts:Median"}
PARTS = {
    "aggregation__rule": MEDIAN,
    "federation__client_step": {"python": "tests.own_parts:Clipped", "arguments": {"length": 0.5}},
    "federation__algorithm": {"python": "tests.own_parts:InTurn", "arguments": {"first": 1}},
}


def test_run_with_parts_of_ones_own_is_resumed_to_the_same_bits(tiny, tmp_path):
    experiment = tiny(federation__rounds=3, **PARTS)
    whole = run_federation(experiment)
    assert [[c.id for c in r.clients] for r in whole.rounds] == [[1, 2], [0, 3], [1, 2]]
    with pytest.raises(Interrupt):
        run_federation(experiment, tmp_path / "run", observer=StopAfter(2, 1))
    same(whole, resume_federation(tmp_path / "run"))


def test_rule_composes_with_server_optimisers_and_circular_angles(tiny):
    options = {"federation__clients_per_round": 3, "federation__rounds": 1, "aggregation__angles": "circular"}
    mean, median = run_federation(tiny(**options)), run_federation(tiny(**options, aggregation__rule=MEDIAN))
    assert torch.equal(mean.state["quantum.weight"], median.state["quantum.weight"])
    assert not torch.equal(mean.state["head.0.weight"], median.state["head.0.weight"])
    momentum = {"method": "fedavgm", "learning_rate": 0.5}
    stepped = run_federation(tiny(**options, aggregation__rule=MEDIAN, aggregation__server_optimizer=momentum))
    assert not torch.equal(stepped.state["head.0.weight"], median.state["head.0.weight"])


@pytest.mark.parametrize(
    ("key", "reference", "message"),
    [
        ("aggregation__rule", {"python": "no_such_module:Rule"}, "`aggregation.rule`: .* cannot be imported"),
        ("aggregation__rule", {"python": "tests.own_parts:Nothing"}, "cannot be imported"),
        ("aggregation__rule", {"python": "tests.own_parts:__doc__"}, "must be a class or a function"),
        ("aggregation__rule", {"python": "tests.own_parts:Median", "arguments": {"f": 1}}, "does not take these"),
        ("federation__client_step", {"python": "no_such_module:Step"}, "`federation.client_step`: .* cannot be"),
        ("federation__algorithm", {"python": "no_such_module:Loop"}, "`federation.algorithm`: .* cannot be"),
    ],
)
def test_part_that_is_not_there_is_told_before_anything_is_written(tiny, tmp_path, key, reference, message):
    with pytest.raises(ConfigurationError, match=message):
        run_federation(tiny(**{key: reference}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_rule_without_weights_is_refused_with_weights(tiny):
    array = {"backends": {"ideal": {"type": "aer"}, "b": {"type": "aer", "noise": {"readout": 0.1}}}}
    array["assignment"] = {"default": {"cycle": ["ideal", "b"]}}
    with pytest.raises(ConfigurationError, match="success_exponent` has no effect with the rule"):
        run_federation(tiny(backends=array, aggregation={"rule": MEDIAN, "success_exponent": 1.0}))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("median", r"must be fedavg, coordinate_median, geometric_median"),
        (3, r"must be fedavg, coordinate_median, geometric_median"),
        ({"python": "median"}, "python"),
        ({"python": "a:b", "argument": 1}, "argument"),
    ],
)
def test_what_names_no_part_is_refused(tiny, value, message):
    with pytest.raises(ValueError, match=message):
        tiny(aggregation__rule=value)
