"""Rules that bad updates cannot break, against Flower's, SciPy's, and formulas by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import minimize
from scipy.stats import trim_mean

from qiskit_fedqml import resume_federation, run_federation
from qiskit_fedqml.backends.job import Usage
from qiskit_fedqml.config.aggregation import AggregationConfig
from qiskit_fedqml.errors import TrainingError
from qiskit_fedqml.federation.messages import ClientUpdate, Status
from qiskit_fedqml.federation.rules.foolsgold import learning_rates
from qiskit_fedqml.federation.rules.opening import open_rule
from qiskit_fedqml.report.citations import citations
from tests.conftest import make_tiny
from tests.federation.test_federation import same
from tests.stopping import Interrupt, StopAfter

SHAPES = {"head.weight": (3, 4), "head.bias": (3,), "quantum.weight": (5,)}
RULES = (
    "coordinate_median",
    "geometric_median",
    "foolsgold",
    {"trimmed_mean": {"fraction": 0.3}},
    {"krum": {"byzantine": 1}},
    {"multi_krum": {"byzantine": 1}},
    {"multi_krum": {"byzantine": 1, "keep": 2}},
    {"bulyan": {"byzantine": 1}},
)


def random_states(num_updates, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    return [
        {name: torch.from_numpy(scale * rng.standard_normal(shape)).float() for name, shape in SHAPES.items()}
        for _ in range(num_updates)
    ]


def equal(state, other):
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


ZERO = {name: torch.zeros(shape) for name, shape in SHAPES.items()}


def aggregated(config, states, weights=None, model=ZERO, rule=None, clients=None):
    """Return what a rule makes of states, and the rule."""
    rule = rule or open_rule(AggregationConfig(**config if "rule" in config else {"rule": config}), ["quantum.weight"])
    rule.start(model)
    for number, state in enumerate(states):
        client = clients[number] if clients else number
        update = ClientUpdate(client, "ideal", "aer", 1, 1.0, 0.0, Usage(), Status.OK, state=state)
        rule.add(update, weights[number] if weights else 1.0)
    return rule.finish(), rule


def as_lists(states):
    return [([tensor.double().numpy() for tensor in state.values()], 1) for state in states]


def check_equal(state, arrays):
    for name, array in zip(SHAPES, arrays, strict=True):
        np.testing.assert_allclose(state[name].numpy(), array, rtol=1e-6, atol=1e-7)


counts = st.integers(7, 15)
seeds = st.integers(0, 10_000)


@given(counts, seeds)
@settings(max_examples=15, deadline=None)
def test_rules_equal_flowers(num_updates, seed):
    flower = pytest.importorskip("flwr.server.strategy.aggregate")
    states = random_states(num_updates, seed)
    lists = as_lists(states)
    byzantine = (num_updates - 3) // 4
    check_equal(aggregated({"rule": "coordinate_median"}, states)[0], flower.aggregate_median(lists))
    trimmed = aggregated({"rule": {"trimmed_mean": {"fraction": 0.2}}}, states)[0]
    check_equal(trimmed, flower.aggregate_trimmed_avg(lists, 0.2))
    krum = aggregated({"rule": {"krum": {"byzantine": byzantine}}}, states)[0]
    check_equal(krum, flower.aggregate_krum(lists, byzantine, 0))
    several = aggregated({"rule": {"multi_krum": {"byzantine": byzantine, "keep": 3}}}, states)[0]
    check_equal(several, flower.aggregate_krum(lists, byzantine, 3))
    bulyan = aggregated({"rule": {"bulyan": {"byzantine": byzantine}}}, states)[0]
    check_equal(bulyan, flower.aggregate_bulyan(lists, byzantine, flower.aggregate_krum, to_keep=0))


@pytest.mark.parametrize("num_updates", [5, 6])
def test_coordinate_rules_equal_numpys_and_scipys(num_updates):
    states = random_states(num_updates)
    arrays = [np.array([state[name].double().numpy() for state in states]) for name in SHAPES]
    check_equal(aggregated({"rule": "coordinate_median"}, states)[0], [np.median(a, axis=0) for a in arrays])
    trimmed = aggregated({"rule": {"trimmed_mean": {"fraction": 0.4}}}, states)[0]
    check_equal(trimmed, [trim_mean(array, 0.4) for array in arrays])


def test_geometric_median_has_the_least_sum_of_distances():
    states, weights = random_states(6, seed=3), [1.0, 2.0, 0.5, 4.0, 1.0, 1.0]
    points = np.array([np.concatenate([t.numpy().ravel() for t in state.values()]) for state in states], dtype=float)

    def total(point):
        return float(np.dot(weights, np.linalg.norm(points - point, axis=1)))

    found, rule = aggregated({"rule": "geometric_median"}, states, weights)
    point = np.concatenate([tensor.numpy().ravel() for tensor in found.values()])
    best = minimize(total, points.mean(axis=0), method="BFGS", options={"gtol": 1e-8})
    assert total(point) == pytest.approx(best.fun, rel=1e-7)
    np.testing.assert_allclose(point, best.x, atol=2e-4)
    assert sum(rule.parts()) == pytest.approx(1.0)


def test_geometric_median_of_a_majority_at_one_point_is_that_point():
    same_state = random_states(1)[0]
    states = [same_state] * 4 + random_states(3, seed=9, scale=1e3)
    found, _ = aggregated({"rule": "geometric_median"}, states)
    for name in SHAPES:
        torch.testing.assert_close(found[name], same_state[name], rtol=0, atol=1e-4)


def test_norm_bounding_by_hand():
    model = random_states(1, seed=5)[0]
    near = {name: tensor + 0.01 for name, tensor in model.items()}
    far = {name: tensor + 10.0 for name, tensor in model.items()}
    size = 10.0 * 20**0.5  # all 20 numbers are 10 away
    found, _ = aggregated({"rule": "fedavg", "norm_bound": 2.0}, [near, far], [1.0, 3.0], model)
    for name in SHAPES:
        expected = model[name] + (0.01 + 3 * 10.0 * 2.0 / size) / 4
        torch.testing.assert_close(found[name], expected)


def test_norm_bound_comes_before_other_rules_and_passes_on_their_parts():
    states = [*random_states(4, scale=0.1), *random_states(2, seed=8, scale=100.0)]
    found, rule = aggregated({"rule": {"krum": {"byzantine": 1}}, "norm_bound": 1e6}, states)
    expected, plain = aggregated({"rule": {"krum": {"byzantine": 1}}}, states)
    assert equal(found, expected)
    assert rule.parts() == plain.parts()
    assert sorted(rule.parts()) == [0.0] * 5 + [1.0]


def paper_rates(cosines):
    """Algorithm 1 of FoolsGold, line by line."""
    count = len(cosines)
    similarity = [[cosines[i][j] if i != j else 0.0 for j in range(count)] for i in range(count)]
    highest = [max(0.0, *(similarity[i][j] for j in range(count) if j != i)) for i in range(count)]
    for i in range(count):
        for j in range(count):
            if i != j and highest[j] > highest[i]:
                similarity[i][j] *= highest[i] / highest[j]
    rates = [min(1.0, max(0.0, 1 - max(0.0, *similarity[i]))) for i in range(count)]
    rates = [rate / max(rates) for rate in rates]
    found = []
    for rate in rates:
        value = 1.0 if rate == 1 else 0.0 if rate == 0 else np.log(rate / (1 - rate)) + 0.5
        found.append(min(1.0, max(0.0, value)))
    return found


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_foolsgolds_rates_are_the_papers(seed):
    histories = np.random.default_rng(seed).standard_normal((5, 3))
    histories /= np.linalg.norm(histories, axis=1, keepdims=True)
    cosines = histories @ histories.T
    np.testing.assert_allclose(learning_rates(cosines), paper_rates(cosines), atol=1e-9)


def test_sybils_do_not_count_and_the_rule_remembers():
    honest = random_states(3, seed=2)
    bad = random_states(1, seed=7, scale=50.0)[0]
    states, clients = [*honest, bad, bad], [0, 4, 5, 7, 9]
    found, rule = aggregated({"rule": "foolsgold"}, states, clients=clients)
    assert rule.parts()[3:] == [0.0, 0.0]
    assert sum(rule.parts()) == pytest.approx(1.0)
    assert max(float(tensor.abs().max()) for tensor in found.values()) < 5
    memory = rule.remembered()
    assert sorted(memory) == [f"client/{client}" for client in clients]
    again = open_rule(AggregationConfig(rule="foolsgold"), [])
    again.recall(memory)
    # Each of the two now sends something else, but they have moved the same way before.
    states = [*random_states(3, seed=3), *random_states(2, seed=11, scale=0.01)]
    _, again = aggregated({}, states, clients=clients, rule=again)
    assert again.parts()[3:] == [0.0, 0.0]
    assert equal(memory["client/0"], honest[0])  # what was remembered before is left alone


def test_all_sybils_leave_the_model():
    model, bad = random_states(1, seed=5)[0], random_states(1, seed=7)[0]
    found, rule = aggregated({"rule": "foolsgold"}, [bad, bad, bad], model=model)
    assert equal(found, model)
    assert rule.parts() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_equal_updates_give_themselves_and_updates_are_left_alone(rule):
    state = random_states(1, seed=4)[0]
    states = [{name: tensor.clone() for name, tensor in state.items()} for _ in range(7)]
    found, _ = aggregated({"rule": rule}, states, weights=[float(n) for n in range(3, 10)])
    if rule != "foolsgold":  # to which clients that do the same are sybils
        for name in SHAPES:
            torch.testing.assert_close(found[name], state[name], rtol=1e-6, atol=1e-7)
    assert all(equal(one, state) for one in states)
    assert all(found[name].dtype == state[name].dtype for name in SHAPES)


@pytest.mark.parametrize("rule", [r for r in RULES if r != "foolsgold"], ids=str)
def test_one_bad_update_of_seven_moves_no_rule_far(rule):
    states = [*random_states(6, scale=0.1), *random_states(1, seed=8, scale=1e6)]
    found, _ = aggregated({"rule": rule}, states)
    assert max(float(tensor.abs().max()) for tensor in found.values()) < 1.0
    mean, _ = aggregated({"rule": "fedavg"}, states)
    assert max(float(tensor.abs().max()) for tensor in mean.values()) > 1e4


@pytest.mark.parametrize(
    ("rule", "clients_per_round", "least"),
    [
        ({"krum": {"byzantine": 1}}, 4, 5),
        ({"multi_krum": {"byzantine": 2}}, 6, 7),
        ({"multi_krum": {"byzantine": 1, "keep": 6}}, 6, 7),
        ({"bulyan": {"byzantine": 1}}, 6, 7),
        ({"trimmed_mean": {"fraction": 0.1}}, 9, 10),
    ],
    ids=str,
)
def test_too_few_clients_for_a_rule_are_refused(rule, clients_per_round, least):
    changes = {"federation__clients": 12, "aggregation": {"rule": rule}}
    with pytest.raises(ValidationError, match=f"needs at least {least} updates .* is {clients_per_round}"):
        make_tiny(**changes, federation__clients_per_round=clients_per_round)
    make_tiny(**changes, federation__clients_per_round=least)


@pytest.mark.parametrize(
    ("aggregation", "message"),
    [
        ({"rule": "coordinate_median", "success_exponent": 1.0}, "success_exponent has no effect"),
        ({"rule": {"krum": {"byzantine": 1}}, "weights": "uniform"}, "weights: uniform has no effect"),
        ({"rule": {"multi_krum": {"byzantine": 1}}, "angles": "circular"}, "bad ones too"),
        ({"rule": "geometric_median", "angles": "circular"}, "bad ones too"),
        ({"rule": "median"}, "must be fedavg, coordinate_median"),
        ({"rule": {"krum": {"byzantine": 1}, "bulyan": {"byzantine": 1}}}, "must be fedavg, coordinate_median"),
        ({"rule": {"krum": {"byzantine": 0}}}, "greater than"),
        ({"rule": {"trimmed_mean": {"fraction": 0.5}}}, "less than 0.5"),
        ({"norm_bound": 0}, "greater than 0"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(aggregation, message):
    with pytest.raises(ValidationError, match=message):
        AggregationConfig(**aggregation)


def test_uniform_weights_ignore_what_clients_state(tiny):
    changes = {"federation__clients_per_round": 4, "data__partition": {"scheme": "quantity_skew", "alpha": 0.5}}
    records = run_federation(tiny(**changes, aggregation={"weights": "uniform"})).rounds
    assert [client.share for client in records[0].clients] == [0.25] * 4
    weighted = run_federation(tiny(**changes)).rounds
    assert len({client.share for client in weighted[0].clients}) > 1


def test_record_says_whose_update_krum_took(tiny):
    changes = {"federation__clients": 6, "federation__clients_per_round": 5}
    result = run_federation(tiny(**changes, aggregation={"rule": {"krum": {"byzantine": 1}}}))
    for record in result.rounds:
        assert sorted(client.share for client in record.clients) == [0.0] * 4 + [1.0]


def test_foolsgold_is_resumed_with_what_it_remembers(tiny, tmp_path):
    experiment = tiny(aggregation={"rule": "foolsgold"}, federation__rounds=4)
    with pytest.raises(Interrupt):
        run_federation(experiment, tmp_path / "run", observer=StopAfter(2, -1))
    same(resume_federation(tmp_path / "run"), run_federation(experiment))


def test_round_with_too_few_updates_for_the_rule_ends_the_run(tiny, monkeypatch):
    from qiskit_fedqml.federation.steps.minibatch import Minibatch

    experiment = tiny(
        federation__clients=5,
        federation__clients_per_round=5,
        federation__on_client_failure="skip",
        aggregation={"rule": {"krum": {"byzantine": 1}}},
    )
    count = iter(range(1000))

    def failing(self, model, start, features, labels, original=Minibatch.add_gradients):
        if next(count) == 0:
            raise RuntimeError("broken")
        return original(self, model, start, features, labels)

    monkeypatch.setattr(Minibatch, "add_gradients", failing)
    with pytest.raises(TrainingError, match=r"4 of 5 clients returned an update, fewer than the rule krum needs \(5\)"):
        run_federation(experiment)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_rules_are_cited(rule):
    changes = {"federation__clients": 7, "federation__clients_per_round": 7}
    experiment = make_tiny(**changes, aggregation={"rule": rule})
    assert set(citations([experiment])) - set(citations([make_tiny(**changes)]))
