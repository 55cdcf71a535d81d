"""Mitigation on devices: what it adds to jobs, by the server's count, and what it does to their values."""

import numpy as np
import pytest
from qiskit.primitives import DataBin, PrimitiveResult, PubResult

from qiskit_fedqml import AerBackend, quantum_layer
from qiskit_fedqml.backends.devices.machine import WrongAnswerError
from qiskit_fedqml.backends.ibm.extrapolation import read_mitigated
from qiskit_fedqml.backends.ibm.mitigation import options_of
from qiskit_fedqml.backends.ibm.primitive import IBMPrimitive
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.noise import noise_from_calibration
from qiskit_fedqml.config.devices import IBMEntry
from qiskit_fedqml.config.mitigation import Mitigation, Zne
from qiskit_fedqml.errors import BackendError, JobError
from tests.backends.conftest import Client

pytest.importorskip("qiskit_ibm_runtime.executor_estimator", reason="EstimatorV2 mitigates on the server alone")

READOUT = {"readout": True}
BOTH = {"readout": True, "zne": {"factors": [1, 3, 5], "extrapolator": "exponential"}}
SHOTS = 4096
CIRCUITS = 21
"""Of a sample's value and derivatives."""


def test_calibration_is_sent_counted_and_planned(server, tmp_path):
    client = Client(tmp_path / "j.sqlite", shots=300, mitigation=READOUT)
    client.ask(rows=1)
    (job,) = server.jobs
    # Each circuit with two random flips of 150 shots; the calibration in seven, to have 1024.
    assert job.executions == 300 * CIRCUITS + 7 * 150
    (cost,) = client.backend.cost(client.network.program, [(4, 1)], jacobian=True)
    (submission,) = client.journal.all()
    assert cost.executions == submission.executions == job.executions
    assert submission.planned_seconds == pytest.approx(cost.seconds)


def test_few_shots_stay_few(server):
    client = Client(shots=4, mitigation=READOUT)
    client.ask(rows=1)
    assert server.jobs[0].executions == 4 * CIRCUITS + 1024


def test_training_is_not_extrapolated_and_tests_are(server):
    client = Client(shots=16, mitigation={"zne": {"factors": [1, 3, 5]}})
    client.ask(rows=2)
    client.network.reseed(7, JobKey(1, 4, 0, "test"))
    client.network.evaluate(Client.inputs, Client.weights, jacobian=False)
    client.network.reseed(7, JobKey(2, 4, 0, "train"))
    client.network.evaluate(Client.inputs, Client.weights, jacobian=False)
    assert [job.executions for job in server.jobs] == [2 * 16 * CIRCUITS, 3 * 2 * 16, 2 * 16]
    planned = [
        client.backend.cost(client.network.program, [(4, 2)], jacobian=jacobian)[0] for jacobian in (True, False)
    ]
    assert [cost.executions for cost in planned] == [2 * 16 * CIRCUITS, 3 * 2 * 16]
    gates = [part[0].num_nonlocal_gates() for part in job_parts(server.jobs[1])]
    assert gates == [gates[0], 3 * gates[0], 5 * gates[0]]


def job_parts(job):
    from tests.ibm_server.programs import ExecutorProgram

    return list(ExecutorProgram(job.params).parts())


def test_another_process_reads_what_was_extrapolated(server, tmp_path):
    """The answer says itself at which factors it was run, and what in it does not fade."""
    journal = tmp_path / "j.sqlite"
    entry = {"shots": 64, "mitigation": BOTH}
    asked = []
    for client in (Client(**entry), Client(journal, **entry)):
        client.network.reseed(7, JobKey(1, None, 0, "test on mine"))
        asked.append(client.network.evaluate(Client.inputs, Client.weights, jacobian=False)[0])
    assert np.array_equal(*asked)
    assert len(server.jobs) == 2
    (submission,) = client.journal.all()
    again = Client(**entry).backend.machine.result(submission.job_id)
    assert np.array_equal(again[:, 0], asked[0])


def test_the_journal_does_not_answer_for_other_mitigation(tmp_path):
    journal = tmp_path / "j.sqlite"
    device = {"device": "FakeManilaV2", "shots": 4}
    Client(journal, **device).ask(rows=1)
    with pytest.raises(JobError, match="the journal holds another question under this key"):
        Client(journal, **device, mitigation=READOUT).ask(rows=1)


def rehearsed(device, mitigation, num_samples=5):
    """Return values of a mitigated rehearsal and, exactly, without mitigation, with it, and without noise."""
    inputs = np.random.default_rng(2).uniform(-2, 2, (num_samples, 2))
    twirling = {"twirling": {"num_randomizations": 2}}  # more take longer
    client = Client(device=device, shots=SHOTS, mitigation=mitigation, options=twirling)
    network = client.network
    network.reseed(7, JobKey(1, None, 0, "test on mine"))
    found = network.evaluate(inputs, Client.weights, jacobian=False)[0]
    noise = noise_from_calibration(client.backend.machine.calibration(), device)
    weights = np.broadcast_to(Client.weights, (num_samples, len(Client.weights)))
    angles = network.angles.values(np.hstack([inputs, weights]))
    machines = (noise,), (noise, None, 3, 0, "auto", client.backend.entry.mitigation), ()
    exact = (AerBackend("b", *of).evaluate(network.program, angles, jacobian=False).values for of in machines)
    errors = [1 - np.trace(noise.confusion(qubit)) / 2 for qubit in network.program.measured]
    return found, *exact, np.array(errors)


def test_readout_mitigation_moves_values_toward_ideal():
    """A device whose two readout errors are 3% and 26%."""
    found, noisy, mitigated, ideal, errors = rehearsed("FakeLagosV2", READOUT)
    assert np.abs(found - ideal).mean() < np.abs(noisy - ideal).mean() / 2
    # The library takes a flip's probability p for the rate of one, so that exp(2p) is its factor in place of 1/(1−2p).
    left = np.exp(2 * errors) * (1 - 2 * errors)
    slopes = np.sort((found * mitigated).sum(axis=0) / (mitigated**2).sum(axis=0))
    assert (slopes > np.sort(left) - 0.04).all()
    assert (slopes < 1.04).all()


def test_extrapolation_by_the_library_is_that_of_a_simulation():
    """Readout by TREX and gates folded by the library, against the exact inverse and our folding, then a line."""
    found, _, mitigated, _, _ = rehearsed("FakeQuitoV2", {"readout": True, "zne": {}})
    # The line through factors 1 and 3 has √2.5 times the shots' error.
    assert np.abs(found - mitigated).max() < 4 * 2 / SHOTS**0.5


@pytest.mark.slow
def test_a_mitigated_rehearsal_on_a_large_device():
    client = Client(device="FakeKingston", shots=1024, mitigation=BOTH)
    client.network.reseed(7, JobKey(1, None, 0, "test on mine"))
    values = client.network.evaluate(Client.inputs, Client.weights, jacobian=False)[0]
    ideal = quantum_layer(Client.spec, AerBackend("ideal"), initial_weights=Client.weights).neural_network
    exact = ideal.evaluate(Client.inputs, Client.weights, jacobian=False)[0]
    assert np.abs(values - exact).max() < 6 * 2 / 1024**0.5


def answer(values, constants=None, **metadata):
    """Return a result with these values at each factor, shape (outputs, samples, points, factors)."""
    values = np.asarray(values)
    data = DataBin(evs=values[..., 0], evs_noise_factors=values, shape=values.shape[:-1])
    if constants is not None:
        metadata["circuit_metadata"] = {"constants": constants}
    return PrimitiveResult([PubResult(data, metadata)])


ZNE = Mitigation(zne=Zne(extrapolator="exponential"))


def test_answers_are_extrapolated_with_what_does_not_fade():
    values = 0.5 + 0.4 * np.exp(-0.2 * np.array([[[[1, 3]], [[3, 9]]]]))
    assert read_mitigated(answer(values, [0.5]), ZNE).ravel() == pytest.approx([0.9, 0.9])
    assert read_mitigated(answer(values), None).ravel() == pytest.approx(values[..., 0].ravel()), "as it is, unasked"
    crossing = np.array([0.02, -0.01]).reshape(1, 1, 1, 2)
    assert read_mitigated(answer(crossing), ZNE).ravel() == pytest.approx([0.035]), "the library's would be infinite"
    plain = PrimitiveResult([PubResult(DataBin(evs=crossing[..., 0], shape=(1, 1, 1)))])
    assert read_mitigated(plain, ZNE).ravel() == [0.02], "training is not extrapolated"


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (
            answer(np.zeros((1, 2, 1, 3))),
            r"at 2 noise factors .*, but are .* shape \(1, 2, 1, 3\)",
        ),
        (answer(np.zeros((1, 2, 2))), "four axes"),
        (answer(np.zeros((1, 2, 1, 2), complex)), "must be real numbers"),
        (answer(np.zeros((1, 2, 1, 2)), [0.1, 0.2]), "do not say what of its outputs is constant"),
        (answer(np.zeros((1, 2, 1, 2)), "x"), "do not say what of its outputs is constant"),
        (PrimitiveResult([]), "hold 0 PUBs"),
    ],
)
def test_answers_that_cannot_be_extrapolated(result, message):
    with pytest.raises(WrongAnswerError, match=message):
        read_mitigated(result, ZNE)


def entry(**changes):
    return IBMEntry.model_validate({"type": "ibm", "device": "ibm_kingston", **changes})


@pytest.mark.parametrize("extrapolates", [False, True])
@pytest.mark.parametrize("primitive", ["executor", "estimator"])
def test_both_estimators_take_the_options(primitive, extrapolates):
    asked = entry(primitive=primitive, mitigation=BOTH, options={"dynamical_decoupling": {"enable": True}})
    adapter = IBMPrimitive(asked)
    options = adapter._options([], None, extrapolates=extrapolates)
    assert options.resilience.measure_mitigation is True
    assert options.dynamical_decoupling.enable is True
    assert (options.resilience.zne_mitigation is True) == extrapolates
    if extrapolates:
        assert list(options.resilience.zne.noise_factors) == [1.0, 3.0, 5.0]
    assert adapter.is_plain() == (primitive == "estimator"), "EstimatorV2 does not say what it adds"
    assert not IBMPrimitive(entry(mitigation=READOUT)).is_plain()


def test_twirling_of_the_users_own():
    own = entry(mitigation=READOUT, options={"twirling": {"num_randomizations": 3, "enable_gates": True}})
    options = options_of(own, own.shots, is_executor=True, extrapolates=False)
    assert options["twirling"] == {"num_randomizations": 3, "enable_gates": True}
    assert options["resilience"] == {"measure_mitigation": True}
    gates = entry(shots=1000, mitigation=READOUT, options={"twirling": {"enable_gates": True}})
    options = options_of(gates, gates.shots, is_executor=True, extrapolates=False)
    assert options["twirling"] == {"enable_gates": True, "num_randomizations": 4, "shots_per_randomization": 250}


def test_a_rehearsal_without_the_executor(monkeypatch):
    monkeypatch.setattr("qiskit_fedqml.backends.ibm.primitive.find_spec", lambda _: None)
    with pytest.raises(BackendError, match="mitigation is rehearsed with the executor alone"):
        Client(device="FakeManilaV2", mitigation=READOUT)
