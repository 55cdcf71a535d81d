"""Machines of any provider: right numbers, honest costs, budgets, and one clear error for what cannot be."""

import time
from math import ceil
from types import SimpleNamespace

import numpy as np
import pytest
import requests
from qiskit_aer.noise import NoiseModel

from qiskit_fedqml import quantum_layer
from qiskit_fedqml.backends.devices.cost import circuit_seconds, price
from qiskit_fedqml.backends.devices.machine import RateLimitedError, UnreachableError
from qiskit_fedqml.backends.figures import success_probability
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.providers.errors import asked
from qiskit_fedqml.backends.providers.primitive import OwnPrimitive
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.config.devices import ProviderEntry
from qiskit_fedqml.errors import BackendError, BudgetError, ConfigurationError, FedQMLError, JobError
from qiskit_fedqml.simulation.noise import noise_from_model
from tests.backends.providers.conftest import SHOP, Customer

SHOTS = 2048


@pytest.mark.parametrize("most", [None, 7])
def test_values_are_those_of_the_same_noise_in_aer(customer, most):
    """Qiskit simulates the machine with its own noise model: ours, with the density matrix, must agree."""
    bought = customer("Shop", shots=SHOTS, arguments={"max_circuits": most})
    noise = noise_from_model(NoiseModel.from_backend(bought.vendor), target=bought.vendor.target)
    network = bought.network
    angles = network.angles.values(np.hstack([bought.inputs, np.tile(bought.weights, (2, 1))]))
    expected = AerBackend("aer", noise).evaluate(network.program, angles, jacobian=True)
    got = bought.backend.evaluate(network.program, angles, jacobian=True)
    assert np.abs(got.values - expected.values).max() < 5 / np.sqrt(SHOTS)
    assert np.abs(got.jacobian - expected.jacobian).max() < 5 / np.sqrt(SHOTS)
    assert got.circuits == expected.circuits == sum(len(order["counts"]) for order in bought.vendor.written())
    assert got.simulator == "provider"


def test_own_estimator_of_a_provider(customer):
    exact = Customer(f"{SHOP}:with_estimator", shots=4096).ask(jacobian=False)
    ideal = quantum_layer(Customer.spec, AerBackend("ideal", None, None), initial_weights=Customer.weights)
    values, _ = ideal.neural_network.evaluate(Customer.inputs, Customer.weights, jacobian=False)
    assert np.abs(exact - values.ravel()).max() < 5 / np.sqrt(4096)
    whole = Customer(f"{SHOP}:with_generic_estimator").ask()
    assert whole.shape == customer().ask().shape


def test_cost_of_a_device_that_states_durations(customer):
    bought = customer(rep_delay_seconds=0.001, price_per_minute=60.0, budget_seconds=1e6)
    bought.ask()
    (submission,) = bought.submissions
    program = bought.network.program
    length = circuit_seconds(program.circuit, program.measured, bought.vendor.target)
    assert submission.executions == 64 * submission.circuits
    assert submission.planned_seconds == pytest.approx(submission.executions * (length + 0.001))
    assert price(bought.backend.entry, 1, 1, 30.0) == pytest.approx(30.0)
    assert bought.dispatcher.journal.unsettled("mine") == [submission], "nobody reports a charge"
    bought.backend.settle()  # returns at once


def test_shots_of_tests_are_their_own(customer):
    bought = customer(shots=8, test_shots=32)
    for kind, shots in (("train", 8), ("test", 32)):
        bought.network.reseed(7, JobKey(1, 4, 0, kind))
        bought.network.evaluate(bought.inputs, bought.weights, jacobian=kind == "train")
        submission, order = bought.submissions[-1], bought.vendor.written()[-1]
        assert {sum(counts.values()) for counts in order["counts"]} == {shots}
        assert submission.executions == shots * len(order["counts"])
        (cost,) = bought.backend.cost(bought.network.program, [(4, 2)], jacobian=kind == "train")
        assert cost.executions == submission.executions


def test_own_estimator_is_asked_for_the_precision_of_the_shots():
    seen = []
    estimator = SimpleNamespace(run=lambda pubs, precision: seen.append(precision))
    primitive = OwnPrimitive(SimpleNamespace(shots=8), estimator)
    for shots in (None, 32):
        primitive.send("pub", lambda _: None, shots)
    assert [ceil(1 / precision**2) for precision in seen] == [8, 32]


@pytest.mark.filterwarnings("ignore:Qiskit backend .* has no QubitProperties")
def test_cost_of_a_device_that_states_none(customer):
    bought = customer("Silent", price_per_shot=0.001, price_per_task=0.5, circuits_per_task=10)
    bought.ask()
    (submission,) = bought.submissions
    assert submission.planned_seconds is None
    assert bought.network.usage.receipts[0].planned_seconds is None
    assert price(bought.backend.entry, 42, 2688, None) == pytest.approx(2.688 + 5 * 0.5)


@pytest.mark.parametrize(
    ("entry", "file", "key"),
    [
        ({"budget_seconds": 3.0}, {}, "budget_seconds"),
        ({"price_per_minute": 3.0}, {}, "price_per_minute"),
        ({"max_execution_seconds": 3}, {}, "max_execution_seconds"),
        ({"rep_delay_seconds": 0.1}, {}, "rep_delay_seconds"),
        ({}, {"budget_seconds": 10.0}, "the run's budget_seconds"),
    ],
)
def test_qpu_seconds_that_are_not_known_are_refused(entry, file, key):
    with pytest.raises(BackendError, match=f"'mine': its target states no durations of .*measure.*, and {key} cannot"):
        Customer("Silent", budget=file, **entry)


def test_budget_of_executions(customer):
    bought = customer(budget_executions=3000)
    bought.ask()
    (submission,) = bought.submissions
    assert 1500 < submission.executions < 3000
    with pytest.raises(BudgetError, match=r"of the budget of backend 'mine', 3,000, .* are missing. Nothing was sent"):
        bought.ask(round=2)
    assert len(bought.vendor.orders()) == 1
    bought.ask()  # what was paid for is still answered


def test_executions_of_a_refused_job_are_not_spent(customer):
    bought = customer()
    bought.vendor.refusals = [ValueError("shots must be at most 2")]
    with pytest.raises(JobError, match=r"cannot run a job \(ValueError: shots must be at most 2\)"):
        bought.ask()
    assert bought.dispatcher.journal.spent_executions("mine") == 0
    bought.ask()
    assert bought.dispatcher.journal.spent_executions("mine") == bought.submissions[-1].executions


def test_success_probability_is_never_invented(customer):
    stated, silent = customer(), Customer("Silent")
    program = stated.network.program
    expected = success_probability(program.circuit, stated.vendor.target, program.measured)
    assert stated.network.success_probability() == expected
    assert 0.9 < expected < 1
    assert stated.network.calibration()["date"] is None
    assert silent.network.success_probability() is None
    assert silent.network.calibration() is None


@pytest.mark.parametrize(
    ("factory", "arguments", "kind", "message"),
    [
        ("no_such_module:machine", {}, ConfigurationError, "`backends.mine.factory`: .* cannot be imported"),
        (f"{SHOP}:no_such_name", {}, ConfigurationError, "cannot be imported"),
        (f"{SHOP}:nothing", {}, BackendError, "'mine': the factory '.*:nothing' must return a BackendV2 .* type int"),
        (
            f"{SHOP}:half",
            {},
            BackendError,
            "returns a pair of an object of type Silent and an object of type NoneType",
        ),
        (f"{SHOP}:nothing", {"x": 1}, BackendError, r"fails \(TypeError: .*unexpected keyword argument 'x'\)"),
        (f"{SHOP}:broken", {}, BackendError, r"fails \(PermissionError: 401: the key … is not known\)"),
        ("qiskit.providers.basic_provider:BasicSimulator", {}, BackendError, "does not state its number of qubits"),
    ],
)
def test_factory_that_gives_no_machine(factory, arguments, kind, message, monkeypatch):
    monkeypatch.setenv("VENDOR_API_KEY", "sk-very-secret-0123")
    with pytest.raises(kind, match=message):
        Customer(factory, arguments=arguments)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"arguments": {"api_key": "x"}}, "must not hold 'api_key'.*written into result folders"),
        ({"arguments": {"login": [{"user_token": "x"}]}}, "must not hold 'user_token'"),
        ({"factory": "somewhere"}, "factory"),
        ({"circuits_per_task": 3}, "circuits_per_task has no effect without a price_per_task"),
        ({"initial_layout": [0, 1], "layout_trials": 3}, "layout_trials has no effect with an initial_layout"),
        ({"budget_executions": 0}, "budget_executions"),
        ({"resilience_level": 1}, "resilience_level"),
    ],
)
def test_entry_that_is_wrong(entry, message):
    with pytest.raises(ValueError, match=message):
        ProviderEntry(type="backend", **{"factory": "a:b", **entry})


def test_entry_is_read_back_as_a_result_folder_has_it():
    entry = ProviderEntry(type="backend", factory="a:b", initial_layout=(0, 1))
    assert ProviderEntry.model_validate(entry.model_dump(mode="json")) == entry


class HTTPError(Exception):
    def __init__(self, status):
        super().__init__(f"status {status}")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (HTTPError(429), RateLimitedError),
        (HTTPError(503), UnreachableError),
        (HTTPError(400), BackendError),
        (ConnectionResetError("gone"), UnreachableError),
        (requests.ConnectionError("gone"), UnreachableError),
        (TimeoutError(), UnreachableError),
        (FileNotFoundError("credentials"), BackendError),
        (ValueError("shots"), BackendError),
        (BudgetError("ours"), BudgetError),
    ],
)
def test_what_libraries_raise(error, kind):
    def fail():
        try:
            raise error
        except (ConnectionResetError, TimeoutError) as cause:
            raise RuntimeError("wrapped") from cause

    with pytest.raises((FedQMLError, UnreachableError, RateLimitedError)) as raised:
        asked("mine", "run a job", fail)
    assert type(raised.value) is kind


def test_no_answer_in_time():

    with pytest.raises(
        UnreachableError, match="the provider of mine gives no answer within 0.05 s when it is asked to"
    ):
        asked("mine", "give a job's results", lambda: time.sleep(1), seconds=0.05)
