"""DP-FedAvg: its formula, how much one client can change, and how its noise and its norm behave."""

import math

import numpy as np
import pytest
import torch

from qiskit_fedqml.backends.job import Usage
from qiskit_fedqml.config.aggregation import FedAvgMConfig
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.federation.algorithms.algorithm import Setting
from qiskit_fedqml.federation.algorithms.setting import with_private_clients
from qiskit_fedqml.federation.algorithms.stepping import stepped
from qiskit_fedqml.federation.messages import ClientUpdate, Status
from qiskit_fedqml.federation.rules.dp_fedavg import DPFedAvg, noise_on_sum
from qiskit_fedqml.federation.rules.fedavg import FedAvg
from qiskit_fedqml.federation.rules.fedavgm import FedAvgM
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.federation.states import difference, squared_norm
from qiskit_fedqml.privacy.randomness import SimulatedRandomness

SEED = 7
MODEL = {"w": torch.tensor([[1.0, -2.0], [0.5, 3.0]]), "angles": torch.tensor([0.25])}


def privacy(randomness="simulated", noise_multiplier=1.5, max_norm=0.75, **adaptive):
    clients = {"noise_multiplier": noise_multiplier, "max_norm": max_norm, "adaptive": adaptive or None}
    return PrivacyConfig(delta=1e-5, randomness=randomness, clients=clients)


def setting(config, optimizer=None, clients_per_round=3):
    made = Setting(
        seed=SEED,
        config=FederationConfig(clients=500, clients_per_round=clients_per_round, rounds=1),
        backends=("ideal",) * 10,
        trains=lambda _: True,
        weight_of=lambda update: float(update.num_examples),
        rule=FedAvg(),
        server_optimizer=optimizer,
    )
    return with_private_clients(made, config)


def update(client, state, num_examples=5, status=Status.OK):
    return ClientUpdate(client, "ideal", "aer", num_examples, 0.5, 0.0, Usage(), status, state=state)


def moved(by, model=None):
    return {name: tensor + torch.tensor(by[name], dtype=tensor.dtype) for name, tensor in (model or MODEL).items()}


LONG = {"w": [[3.0, 0.0], [0.0, -4.0]], "angles": [0.0]}
SHORT = {"w": [[0.1, 0.0], [0.0, 0.2]], "angles": [-0.1]}


def by_formula(changes, config, step, clients_per_round=3, norm=None, noise=None):
    """Return Algorithm 1 in NumPy, with the same draws."""
    norm = config.clients.max_norm if norm is None else norm
    noise = config.clients.noise_multiplier if noise is None else noise
    total = np.zeros(5)
    for change in changes:
        flat = np.concatenate([np.ravel(change["w"]), np.ravel(change["angles"])])
        total += flat / max(1.0, np.linalg.norm(flat) / norm)
    draws = SimulatedRandomness(SEED, "noise on the sum of updates", step)
    total += noise * norm * np.concatenate([draws.normal(4), draws.normal(1)])
    flat = np.concatenate([np.ravel(MODEL["w"]), np.ravel(MODEL["angles"])]) + total / clients_per_round
    return {"w": flat[:4].reshape(2, 2), "angles": flat[4:]}


def assert_close(state, expected, tolerance=3e-7):
    for name, tensor in state.items():
        np.testing.assert_allclose(tensor.numpy(), expected[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("step", [0, 4])
def test_a_step_is_algorithm_1(step):
    config = privacy()
    updates = [update(1, moved(LONG)), update(4, moved(SHORT), num_examples=0), update(7, moved(SHORT), 10**9)]
    after, returned = stepped(setting(config), ServerState(step, MODEL), updates)
    assert_close(after.model, by_formula([LONG, SHORT, SHORT], config, step + 1))
    assert [one.share for one in returned] == [pytest.approx(1 / 3)] * 3
    assert after.step == step + 1
    assert after.rule == {}


@pytest.mark.parametrize("lost", [Status.FAILED, Status.REFUSED, None, "nan"])
def test_who_fails_adds_nothing_and_the_denominator_stays(lost):
    config = privacy()
    if lost is None:
        updates = []
    elif lost == "nan":
        updates = [update(2, moved(LONG | {"angles": [math.nan]}))]
    else:
        updates = [update(2, None, status=lost)]
    after, returned = stepped(setting(config), ServerState(0, MODEL), updates)
    assert_close(after.model, by_formula([], config, 1))
    assert [one.share for one in returned] == [0.0] * len(updates)
    with_one, _ = stepped(setting(config), ServerState(0, MODEL), [*updates, update(3, moved(SHORT))])
    assert_close(with_one.model, by_formula([SHORT], config, 1))


def test_a_round_may_have_more_clients_than_it_has_on_average():
    config = privacy()
    after, returned = stepped(setting(config), ServerState(0, MODEL), [update(c, moved(SHORT)) for c in range(6)])
    assert_close(after.model, by_formula([SHORT] * 6, config, 1))
    assert sum(one.share for one in returned) == pytest.approx(2.0)


def test_a_server_optimizer_steps_by_what_was_released_also_in_an_empty_round():
    config, options = privacy(), FedAvgMConfig(method="fedavgm", momentum=0.5)
    optimizer = FedAvgM(options.momentum, options.learning_rate)
    first, _ = stepped(setting(config, optimizer), ServerState(0, MODEL), [])
    assert_close(first.model, by_formula([], config, 1))
    second, _ = stepped(setting(config, optimizer), first, [])
    step = difference(first.model, MODEL)
    alone, _ = stepped(setting(config), first, [])
    for name, tensor in second.model.items():
        expected = alone.model[name].double() + 0.5 * step[name]
        torch.testing.assert_close(tensor.double(), expected, rtol=1e-5, atol=1e-6)


def test_noise_has_its_standard_deviation_and_is_new_each_time():
    config = privacy("system", noise_multiplier=2.0, max_norm=0.5)
    model = {"a": torch.zeros(30_000), "b": torch.zeros(100, 100, dtype=torch.float64)}
    found = [stepped(setting(config), ServerState(0, model), [])[0].model for _ in range(2)]
    for state in found:
        for tensor in state.values():
            assert float(tensor.double().std()) == pytest.approx(2.0 * 0.5 / 3, rel=0.03)
            assert abs(float(tensor.double().mean())) < 0.02
    assert not torch.equal(found[0]["a"], found[1]["a"])
    assert abs(np.corrcoef(found[0]["a"], found[1]["a"])[0, 1]) < 0.03


def test_ten_thousand_clients_of_the_longest_updates_do_not_hide_one():
    # Sums in floating point would round, each differently, so that one client changes them by more than its update.
    rule = DPFedAvg(privacy(max_norm=0.1), 100, SEED)
    model = {"w": torch.zeros(3, dtype=torch.float64)}
    states = [{"w": 1e3 * torch.tensor([1.0, i % 7, -(i % 3)], dtype=torch.float64)} for i in range(10_000)]
    totals = []
    for some in (states, states[1:]):
        rule.start(model)
        for client, state in enumerate(some):
            rule.add(update(client, state), 1.0)
        totals.append(rule.total())
    change = math.sqrt(squared_norm(difference(*totals)))
    assert 0.1 * (1 - 1e-6) < change <= 0.1


def test_noise_on_the_sum_makes_up_for_the_released_number():
    # Both are one Gaussian mechanism: the squared sensitivities by their variances add up.
    noise = noise_on_sum(1.3, 2.0)
    assert noise**-2 + (0.5 / 2.0) ** 2 == pytest.approx(1.3**-2)
    assert noise > 1.3


def test_a_step_with_an_adaptive_norm_is_algorithm_1():
    config = privacy(quantile=0.6, learning_rate=0.5, count_noise=2.0)
    server = ServerState(0, MODEL)
    norm = 0.75
    for step in (1, 2):
        states = [update(1, moved(LONG, server.model)), update(4, moved(SHORT, server.model))]
        after, _ = stepped(setting(config), server, [*states, update(5, None, status=Status.FAILED)])
        expected = by_formula([LONG, SHORT], config, step, norm=norm, noise=noise_on_sum(1.5, 2.0))
        change = {name: tensor - MODEL[name].double().numpy() for name, tensor in expected.items()}
        assert_close(difference(after.model, server.model), change, 2e-6)
        drawn = SimulatedRandomness(SEED, "noise on the number of updates", step).normal(1)[0]
        fraction = 0.5 + (0.5 - 0.5 + 2.0 * drawn) / 3
        assert float(after.rule["norm"]["used"]) == norm
        norm *= math.exp(-0.5 * (fraction - 0.6))
        assert float(after.rule["norm"]["next"]) == pytest.approx(norm, rel=1e-12)
        norm, server = float(after.rule["norm"]["next"]), after


@pytest.mark.parametrize("quantile", [0.3, 0.5, 0.8])
def test_the_norm_converges_to_the_quantile(quantile):
    config = privacy(max_norm=20.0, quantile=quantile, learning_rate=0.2, count_noise=5.0)
    chosen = setting(config, clients_per_round=100)
    model, rng = {"w": torch.zeros(2, dtype=torch.float64)}, np.random.default_rng(1)
    server, norms = ServerState(0, model), []
    for _ in range(150):
        lengths = rng.lognormal(0.0, 0.5, size=rng.poisson(100))
        states = [{"w": server.model["w"] + torch.tensor([length, 0.0])} for length in lengths]
        server, _ = stepped(chosen, server, [update(client, state) for client, state in enumerate(states)])
        norms.append(float(server.rule["norm"]["next"]))
    expected = float(np.quantile(np.random.default_rng(2).lognormal(0.0, 0.5, 100_000), quantile))
    assert np.mean(norms[-50:]) == pytest.approx(expected, rel=0.06)
