import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qiskit_fedqml import resume_federation, run_federation
from qiskit_fedqml.backends.job import Usage
from qiskit_fedqml.config.aggregation import AggregationConfig
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.federation.algorithms.algorithm import Setting
from qiskit_fedqml.federation.algorithms.synchronous import Synchronous
from qiskit_fedqml.federation.messages import ClientUpdate, Status
from qiskit_fedqml.federation.rules.noise_aware import noise_aware_weight
from qiskit_fedqml.federation.rules.opening import open_rule, open_server_optimizer
from qiskit_fedqml.federation.server_state import ServerState
from tests.federation.test_federation import NOISY, same
from tests.stopping import Interrupt, StopAfter

ZERO = {"w": torch.zeros(2), "angles": torch.zeros(1)}


def update(client, examples, w, angle=0.0, status=Status.OK, success=1.0):
    state = None if w is None else {"w": torch.tensor(w), "angles": torch.tensor([angle])}
    return ClientUpdate(
        client, "ideal", "aer", examples, 1.0, 0.0, Usage(), status, state=state, success_probability=success
    )


class Server:
    """A server with an aggregation of some kind, which remembers its own state."""

    def __init__(self, **config):
        aggregation = AggregationConfig(**config)
        self.algorithm = Synchronous(
            Setting(
                seed=0,
                config=FederationConfig(clients=4, clients_per_round=2, rounds=1),
                backends=("ideal",) * 4,
                trains=lambda name: True,
                weight_of=lambda update: noise_aware_weight(update, aggregation.success_exponent),
                rule=open_rule(aggregation, ["angles"]),
                server_optimizer=open_server_optimizer(aggregation),
            )
        )
        self.memory = {}

    def aggregate(self, state, updates):
        """Return the new model and the updates with their shares."""
        server, seen = self.algorithm.apply(ServerState(0, state, self.memory), updates)
        self.memory = server.optimizer
        return server.model, seen


def test_fedavg_by_hand():
    updates = [update(0, 1, [1.0, 2.0]), update(1, 3, [5.0, -2.0], 4.0), update(2, 9, None, status=Status.FAILED)]
    average, seen = Server().aggregate(ZERO, iter(updates))
    torch.testing.assert_close(average["w"], torch.tensor([(1 + 15) / 4, (2 - 6) / 4]))
    torch.testing.assert_close(average["angles"], torch.tensor([3.0]))
    assert [u.client_id for u in seen] == [0, 1, 2]
    assert [u.share for u in seen] == [0.25, 0.75, 0.0]
    assert all(u.state is None for u in seen)
    assert Server().aggregate(ZERO, [update(0, 1, None)])[0] is ZERO  # nothing came back: the model stays
    assert torch.equal(updates[0].state["w"], torch.tensor([1.0, 2.0]))  # the client's own tensors are left alone


def test_fedavg_of_equal_updates_is_the_identity():
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0)).tolist()
    model = ZERO | {"w": torch.zeros(1000)}
    average, _ = Server().aggregate(model, (update(c, n, values) for c, n in enumerate((3, 7, 57, 58, 1))))
    assert torch.equal(average["w"], torch.tensor(values))


def test_weight_is_examples_times_success_probability_to_a_power():
    updates = [update(0, 10, [1.0, 0.0], success=0.9), update(1, 30, [0.0, 1.0], success=0.3)]
    average, seen = Server(success_exponent=2.0).aggregate(ZERO, updates)
    share = 10 * 0.81 / (10 * 0.81 + 30 * 0.09)
    torch.testing.assert_close(average["w"], torch.tensor([share, 1 - share]))
    assert seen[0].share == pytest.approx(share)


def test_machine_that_never_succeeds_counts_for_nothing():
    updates = [update(0, 10, [1.0, 0.0], success=0.5), update(1, 10, [math.nan, 1.0], success=0.0)]
    average, seen = Server(success_exponent=1.0).aggregate(ZERO, updates)
    assert average["w"].tolist() == [1.0, 0.0]
    assert seen[1].share == 0.0
    assert Server(success_exponent=1.0).aggregate(ZERO, updates[1:])[0] is ZERO


angle = st.floats(-10, 10, allow_nan=False)


@given(angles=st.lists(angle, min_size=1, max_size=5), reference=angle, turn=st.integers(-2, 2))
def test_circular_mean_has_the_direction_of_the_formula(angles, reference, turn):
    state = {"w": torch.zeros(1), "angles": torch.tensor([reference], dtype=torch.float64)}
    weights = range(1, len(angles) + 1)
    updates = [
        ClientUpdate(
            c, "", "", n, 1.0, 0.0, Usage(), Status.OK, "", {"w": torch.zeros(1), "angles": torch.tensor([a]).double()}
        )
        for c, (n, a) in enumerate(zip(weights, angles))
    ]
    sines = sum(n * math.sin(a) for n, a in zip(weights, angles))
    cosines = sum(n * math.cos(a) for n, a in zip(weights, angles))
    average, _ = Server(angles="circular").aggregate(state, updates)
    found = average["angles"].item()
    assert abs(found - reference) <= math.pi + 1e-6
    if math.hypot(sines, cosines) > 1e-3:
        expected = math.atan2(sines, cosines)
        assert math.cos(found - expected) == pytest.approx(1, abs=1e-6)


def test_circular_mean_leaves_other_tensors_to_fedavg_and_knows_no_seam():
    updates = [update(0, 1, [1.0, 0.0], math.pi - 0.1), update(1, 1, [0.0, 1.0], -math.pi + 0.1)]
    state = ZERO | {"angles": torch.tensor([3.0])}
    average, _ = Server(angles="circular").aggregate(state, updates)
    torch.testing.assert_close(average["angles"], torch.tensor([math.pi]))
    torch.testing.assert_close(average["w"], torch.tensor([0.5, 0.5]))
    opposite = [update(0, 1, [0.0, 0.0], 0.0), update(1, 1, [0.0, 0.0], 2 * math.pi)]
    torch.testing.assert_close(Server(angles="circular").aggregate(ZERO, opposite)[0]["angles"], torch.zeros(1))


def test_fedavgm_by_hand():
    of = Server(server_optimizer={"method": "fedavgm", "momentum": 0.5, "learning_rate": 2.0})
    first, _ = of.aggregate(ZERO, [update(0, 1, [1.0, -1.0])])
    torch.testing.assert_close(first["w"], torch.tensor([2.0, -2.0]))
    second, _ = of.aggregate(first, [update(0, 1, [1.0, -1.0])])  # v = −1 + 0.5 · 1
    torch.testing.assert_close(second["w"], torch.tensor([1.0, -1.0]))


def test_fedadam_by_hand():
    of = Server(server_optimizer={"method": "fedadam", "learning_rate": 0.1, "beta_1": 0.9, "beta_2": 0.99, "tau": 0.5})
    new, _ = of.aggregate(ZERO, [update(0, 1, [1.0, -2.0])])
    for value, change in zip(new["w"].tolist(), (1.0, -2.0)):
        second = 0.99 * 0.25 + 0.01 * change**2
        assert value == pytest.approx(0.1 * 0.1 * change / (math.sqrt(second) + 0.5))


@pytest.mark.parametrize("method", ["fedavgm", "fedadam"])
def test_servers_optimiser_continues_after_an_interruption(tiny, tmp_path, method):
    experiment = tiny(aggregation__server_optimizer={"method": method}, federation__rounds=4)
    whole = run_federation(experiment)
    with pytest.raises(Interrupt):
        run_federation(experiment, tmp_path / "run", observer=StopAfter(3, 1))
    same(whole, resume_federation(tmp_path / "run"))
    assert whole.rounds[-1] != run_federation(tiny(federation__rounds=4)).rounds[-1]


def test_noisier_machines_count_less_in_a_run(tiny):
    result = run_federation(
        tiny(backends=NOISY, aggregation={"success_exponent": 3.0}, federation__clients_per_round=4)
    )
    clients = result.rounds[0].clients
    assert sum(c.share for c in clients) == pytest.approx(1)
    by_backend = {c.backend: c.share / c.examples for c in clients}
    success = {c.backend: c.success_probability for c in clients}
    assert success["ideal"] == 1.0
    assert by_backend["shots"] / by_backend["ideal"] == pytest.approx(success["shots"] ** 3)


def test_fedprox_keeps_clients_near_the_global_model(tiny):
    def moved(mu):
        options = {"federation__rounds": 1, "federation__local_epochs": 3, "federation__clients_per_round": 1}
        return run_federation(tiny(federation__optimizer="sgd", federation__proximal_mu=mu, **options)).state

    start = run_federation(tiny(federation__rounds=1, federation__learning_rate=1e-30)).state

    def distance(state):
        return sum(float((state[name] - start[name]).square().sum()) for name in state)

    assert distance(moved(10.0)) < distance(moved(1.0)) < distance(moved(0.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aggregation__success_exponent": 1.0}, "no effect where all clients have the same machine"),
        ({"aggregation__angles": "circular", "model__quantum": "frozen"}, "which trains no angles"),
        ({"aggregation__angles": "circular", "federation__clients_per_round": 1}, "averages nothing"),
        ({"aggregation__server_optimizer": {"method": "fedavgm", "momentum": 0.0}}, "that is FedAvg"),
        ({"aggregation__server_optimizer": {"method": "fedyogi"}}, "fedavgm"),
    ],
)
def test_settings_without_effect_are_refused(tiny, options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)


def test_clients_with_blocks_of_one_machine_weigh_by_their_blocks(tiny):
    """They have the same machine, and yet other success probabilities."""
    chip = {"type": "aer", "noise": "FakeMontrealV2", "blocks": {"separation": 0, "least_success": 0.5}}
    experiment = tiny(
        federation__rounds=1,
        federation__clients_per_round=4,
        aggregation__success_exponent=8.0,
        backends={"backends": {"ideal": {"type": "aer"}, "chip": chip}, "assignment": {"default": "chip"}},
    )
    (record,) = run_federation(experiment).rounds
    promised = [client.success_probability for client in record.clients]
    assert len({client.blocks for client in record.clients}) == len(record.clients) == 4
    assert len(set(promised)) > 1
    weights = [client.examples * client.success_probability**8 for client in record.clients]
    expected = [weight / sum(weights) for weight in weights]
    assert [client.share for client in record.clients] == pytest.approx(expected)
