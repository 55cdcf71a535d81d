"""The adapter over HTTP: one job a step, modes, options, devices, calibrations."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from qiskit.exceptions import QiskitError
from qiskit.primitives import DataBin, PrimitiveResult, PubResult
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qiskit_fedqml import paper_circuit, quantum_layer
from qiskit_fedqml.backends.array import overview
from qiskit_fedqml.backends.array.registry import BackendRegistry, find_calibration
from qiskit_fedqml.backends.calibration import load_calibration
from qiskit_fedqml.backends.ibm.extrapolation import read_mitigated
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.errors import BackendError
from tests.backends.conftest import FAST, Client


def has_executor():
    try:
        import qiskit_ibm_runtime.executor_estimator  # noqa: F401
    except ImportError:
        return False
    return True


def step(layer, batch):
    inputs = torch.linspace(-2, 2, 4 * batch).reshape(batch, 4).requires_grad_()
    torch.nn.functional.cross_entropy(layer(inputs), torch.arange(batch) % 2).backward()


@pytest.mark.parametrize("primitive", ["executor", "estimator"])
def test_a_training_step_is_one_pub_in_one_job(server, primitive):
    if primitive == "executor" and not has_executor():
        pytest.skip("this qiskit-ibm-runtime has no executor")
    entry = {"type": "ibm", "device": "ibm_manila", "shots": 16, "primitive": primitive, "waiting": FAST}
    registry = BackendRegistry.from_mapping({"backends": {"ideal": {"type": "aer"}, "manila": entry}})
    step(quantum_layer(paper_circuit(), registry["manila"]), 2)
    (job,) = server.jobs
    assert job.program_id == primitive
    assert job.pubs == 1
    assert job.circuits == 53 * 2
    assert job.executions / (130 * 2 * 16) <= 0.41, "of what the stock network takes"


@pytest.mark.slow
def test_step_compared_with_the_stock_network(server, outcome):
    """Batch 32, the paper's circuit, counted at the server."""
    from qiskit_ibm_runtime import EstimatorV2, QiskitRuntimeService

    batch, shots = 32, 2
    entry = {"type": "ibm", "device": "ibm_manila", "shots": shots, "waiting": FAST}
    registry = BackendRegistry.from_mapping({"backends": {"ideal": {"type": "aer"}, "manila": entry}})
    step(quantum_layer(paper_circuit(), registry["manila"]), batch)
    (ours,) = server.jobs
    device = QiskitRuntimeService().backend("ibm_manila")
    transpiler = generate_preset_pass_manager(1, backend=device, seed_transpiler=1)
    estimator = EstimatorV2(mode=device, options={"default_shots": shots, "resilience_level": 0})
    spec = paper_circuit()
    circuit = transpiler.run(spec.circuit)
    network = EstimatorQNN(
        circuit=circuit,
        estimator=estimator,
        observables=[observable.apply_layout(circuit.layout) for observable in spec.observables],
        input_params=spec.input_params,
        weight_params=spec.weight_params,
        gradient=ParamShiftEstimatorGradient(estimator),
        input_gradients=True,
        default_precision=shots**-0.5,
    )
    step(TorchConnector(network), batch)
    stock = server.jobs[1:]
    assert (ours.pubs, len(stock), sum(job.pubs for job in stock)) == (1, 2, 4098)
    share = ours.executions / sum(job.executions for job in stock)
    assert share <= 0.41
    for who, jobs in (("stock EstimatorQNN", stock), ("this package", [ours])):
        outcome(
            f"a step of batch 32, {who}",
            f"{len(jobs)} jobs, {sum(j.pubs for j in jobs):,} PUBs, {sum(j.circuits for j in jobs):,} circuits, "
            f"{sum(j.executions for j in jobs):,} executions, {sum(j.payload_bytes for j in jobs):,} bytes",
        )


@pytest.mark.parametrize(("mode", "kind"), [("job", None), ("batch", "batch"), ("session", "dedicated")])
def test_modes(server, mode, kind):
    client = Client(mode=mode)
    with client.backend.together():
        client.ask(round=1)
        client.ask(round=2)
    client.ask(round=3)
    sessions = [job.session_id for job in server.jobs]
    assert sessions[0] == sessions[1]
    assert sessions[2] is None, "outside of a group jobs are sent alone"
    assert [session.mode for session in server.sessions] == ([kind] if kind else [])
    assert (sessions[0] is None) == (kind is None)


def test_options_reach_the_service(server):
    client = Client(max_execution_seconds=50, options={"execution": {"rep_delay": 0.0004}})
    client.ask()
    (job,) = server.jobs
    assert job.params["options"]["rep_delay"] == pytest.approx(0.0004)
    (submission,) = client.journal.all()
    assert submission.planned_seconds == pytest.approx(job.quantum_seconds, rel=0.01)
    assert submission.planned_seconds > 2 + 0.0004 * submission.executions


@pytest.mark.parametrize("primitive", ["executor", "estimator"])
@pytest.mark.parametrize("seconds", [0.0, 2e-5, 0.0005])
def test_repetition_delay_of_the_entry(server, primitive, seconds):
    if primitive == "executor" and not has_executor():
        pytest.skip("this qiskit-ibm-runtime has no executor")
    client = Client(primitive=primitive, rep_delay_seconds=seconds, options={"execution": {"init_qubits": True}})
    client.ask()
    (job,) = server.jobs
    options = job.params["options"]
    assert options.get("execution", options)["rep_delay"] == seconds
    (submission,) = client.journal.all()
    assert submission.planned_seconds == pytest.approx(job.quantum_seconds, rel=0.001)
    assert seconds * submission.executions < submission.planned_seconds - 2 < (seconds + 4e-5) * submission.executions


def test_repetition_delay_outside_the_device_s_range_by_the_key():
    with pytest.raises(BackendError, match=r"'mine': rep_delay_seconds must be from 0 to 0.0005 s on .*is 0.001 s"):
        Client(device="FakeManilaV2", rep_delay_seconds=1e-3)


def test_repetition_delay_that_nobody_may_choose(server):
    server.devices["ibm_manila"].configuration_answer = lambda own=server.devices["ibm_manila"].configuration_answer: {
        **own(),
        "dynamic_reprate_enabled": False,
    }
    try:
        with pytest.raises(BackendError, match="rep_delay_seconds cannot be used on ibm_manila, which does not let"):
            Client(rep_delay_seconds=1e-4)
    finally:
        del server.devices["ibm_manila"].configuration_answer


@pytest.mark.parametrize("primitive", ["executor", "estimator"])
def test_tests_have_shots_of_their_own(server, primitive):
    if primitive == "executor" and not has_executor():
        pytest.skip("this qiskit-ibm-runtime has no executor")
    client = Client(primitive=primitive, shots=1, test_shots=50)
    program, network = client.network.program, client.network
    network.reseed(7, JobKey(1, 4, 0, "train"))
    network.evaluate(client.inputs, client.weights, jacobian=True)
    network.reseed(7, JobKey(1, None, 0, "test on the server"))
    network.evaluate(client.inputs, client.weights, jacobian=False)
    training, testing = server.jobs
    assert (training.circuits, training.executions) == (2 * 21, 2 * 21)
    assert (testing.circuits, testing.executions) == (2, 2 * 50)
    for jacobian, submission, job in zip((True, False), client.journal.all(), server.jobs, strict=True):
        (cost,) = client.backend.cost(program, [(4, 2)], jacobian=jacobian)
        assert cost.executions == submission.executions == job.executions
        assert cost.seconds == submission.planned_seconds == pytest.approx(job.quantum_seconds, rel=0.001)
    assert client.backend.describe()["test_shots"] == 50


def test_other_shots_of_tests_are_another_question(server, tmp_path):
    """What was trained is read from the journal; a test with other shots is not."""

    def ask(kind, test_shots):
        client = Client(tmp_path / "journal.sqlite", shots=8, test_shots=test_shots)
        client.network.reseed(7, JobKey(1, 4, 0, kind))
        return client.network.evaluate(client.inputs, client.weights, jacobian=kind == "train")[0]

    trained = ask("train", None)
    ask("test", None)
    assert np.array_equal(ask("train", 16), trained)
    assert len(server.jobs) == 2
    with pytest.raises(BackendError, match="the journal holds another question under this key"):
        ask("test", 16)


def test_one_shot_with_randomisations(server):
    client = Client(shots=1, options={"twirling": {"enable_measure": True}})
    client.ask()
    (job,) = server.jobs
    (submission,) = client.journal.all()
    assert (submission.circuits, submission.executions) == (job.circuits, job.executions)


@pytest.mark.parametrize("rep_delay", [-1.0, 5.0])
def test_repetition_delay_outside_the_device_s_range(rep_delay):
    with pytest.raises(BackendError, match=r"'mine': options.execution.rep_delay must be from 0 to 0.0005 s"):
        Client(device="FakeManilaV2", options={"execution": {"rep_delay": rep_delay}})


@pytest.mark.skipif(not has_executor(), reason="EstimatorV2 mitigates on the server")
def test_mitigated_jobs_are_counted_with_their_randomisations(server):
    client = Client(resilience_level=1, shots=128)
    client.ask()
    (job,) = server.jobs
    (submission,) = client.journal.all()
    assert job.circuits > 2 * 21
    assert (submission.circuits, submission.executions) == (job.circuits, job.executions)
    assert submission.planned_seconds == pytest.approx(job.quantum_seconds, rel=0.1)


def test_evaluation_is_split_where_a_job_would_be_too_long(server):
    client = Client(shots=640, max_execution_seconds=6)
    whole = Client(shots=640).ask()
    assert server.jobs.pop().quantum_seconds > 6
    assert len(client.ask()) == len(whole)
    assert [job.state for job in server.jobs] == ["Completed"] * 2
    assert all(job.quantum_seconds < 6 for job in server.jobs)
    with pytest.raises(BackendError, match="client 4, train step 0: one sample is too long"):
        Client(shots=640, max_execution_seconds=5).ask(rows=1)


@pytest.mark.slow
def test_least_busy_device(server):
    server.devices["ibm_manila"].queue_length = 30
    server.devices["ibm_quito"].queue_length = 3
    assert Client(device={"least_busy": {"min_qubits": 5}}).backend.machine.device == "ibm_quito"
    with pytest.raises(BackendError, match="no device .*min_qubits"):
        Client(device={"least_busy": {"min_qubits": 6}})
    family = server.devices["ibm_quito"].fake.configuration().to_dict()["processor_type"]["family"]
    assert Client(device={"least_busy": {"processor": family}}).backend.machine.device == "ibm_quito"
    with pytest.raises(BackendError, match="no device"):
        Client(device={"least_busy": {"processor": "Heron"}})


def test_saved_account(server, monkeypatch, tmp_path):
    from qiskit_ibm_runtime import QiskitRuntimeService

    accounts = tmp_path / "accounts.json"
    monkeypatch.setattr("qiskit_ibm_runtime.accounts.management._DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(accounts))
    QiskitRuntimeService.save_account(
        channel="ibm_quantum_platform", token=server.token, url=server.url, instance=server.crn, name="lab"
    )
    for name in ("TOKEN", "URL", "INSTANCE", "CHANNEL"):
        monkeypatch.delenv(f"QISKIT_IBM_{name}")
    assert Client(account="lab").backend.machine.device == "ibm_manila"
    with pytest.raises(BackendError, match="There is no IBM Quantum account.*nobody"):
        Client(account="nobody")


def test_charge_that_is_known_later(server):
    server.metrics_pending = True
    client = Client()
    client.ask()
    (submission,) = client.journal.all()
    assert submission.reported_seconds is None
    assert client.journal.spent_seconds() == submission.planned_seconds
    server.metrics_pending = False
    client.backend.settle()
    (submission,) = client.journal.all()
    assert submission.reported_seconds == pytest.approx(server.jobs[0].quantum_seconds)


def test_saved_calibration_of_a_device_is_noise_for_a_simulator(server, tmp_path):
    registry = Client().registry
    find_calibration("mine", registry).save(tmp_path / "mine.json")
    calibration = load_calibration(tmp_path / "mine.json")
    assert (calibration.device, calibration.num_qubits) == ("ibm_manila", 5)
    noise = {"calibration": "mine.json"}
    simulated = BackendRegistry.from_mapping(
        {"backends": {"ideal": {"type": "aer"}, "copy": {"type": "aer", "noise": noise}}}, folder=tmp_path
    )
    assert overview.check(simulated)[1].passed
    assert json.loads(Path(tmp_path / "mine.json").read_text())["configuration"]["backend_name"] == "ibm_manila"


@pytest.mark.slow
def test_rehearsal_is_near_the_exact_values_of_the_same_noise():
    """Against our own simulation of the same device: within six standard errors."""
    shots = 4000
    device = Client(device="FakeManilaV2", shots=shots, layout_trials=1)
    entry = {"backends": {"ideal": {"type": "aer"}, "same": {"type": "aer", "noise": "FakeManilaV2"}}}
    exact = quantum_layer(Client.spec, BackendRegistry.from_mapping(entry)["same"], initial_weights=Client.weights)
    values, jacobian = exact.neural_network.evaluate(Client.inputs, Client.weights, jacobian=True)
    device.network.reseed(1)
    sampled, derivatives = device.network.evaluate(Client.inputs, Client.weights, jacobian=True)
    # Aer's noise from a device has one readout error for both outcomes, their mean; ours has each.
    assert np.abs(sampled - values).max() < 6 / shots**0.5 + 0.05
    assert np.abs(derivatives - jacobian).max() < 6 / shots**0.5 + 0.05
    assert np.array_equal(sampled, device.network.evaluate(Client.inputs, Client.weights, jacobian=True)[0])


@pytest.mark.slow
@pytest.mark.parametrize("primitive", ["auto", "estimator"])
def test_rehearsal_on_a_device_too_large_to_be_simulated_whole(primitive):
    small = Client(device="FakeKolkataV2", shots=2000, primitive=primitive)
    answer = small.ask()
    entry = {"backends": {"ideal": {"type": "aer"}, "same": {"type": "aer", "noise": "FakeKolkataV2"}}}
    exact = quantum_layer(Client.spec, BackendRegistry.from_mapping(entry)["same"], initial_weights=Client.weights)
    parts = exact.neural_network.evaluate(Client.inputs, Client.weights, jacobian=True)
    assert np.abs(answer - np.concatenate([part.ravel() for part in parts])).max() < 6 / 2000**0.5 + 0.05


@pytest.mark.slow
@pytest.mark.skipif(not has_executor(), reason="EstimatorV2 measures only what is asked for")
def test_rehearsal_on_a_large_device_and_the_same_over_http(monkeypatch):
    """Where the executor's 133 measured qubits cannot be simulated, the used ones are."""
    from tests.ibm_server import IBMServer

    shots = 2000
    rehearsed = Client(device="FakeKingston", shots=shots).ask()
    with IBMServer({"ibm_kingston": "FakeKingston"}) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        over_http = Client(device="ibm_kingston", shots=shots).ask()
        (job,) = server.jobs
    assert np.abs(rehearsed - over_http).max() < 6 * (2 / shots) ** 0.5 + 0.05
    assert job.circuits == 42


@pytest.mark.parametrize("layout", [[0, 1, 2], [0], [3, 3], [1, 5], [99, 0]])
def test_initial_layout_that_does_not_fit(layout):
    with pytest.raises(BackendError, match=r"'mine' .*: initial_layout (must name 2 different|names) qubit"):
        Client(device="FakeManilaV2", initial_layout=layout)


class Broken:
    """A job whose result is what a test says."""

    def __init__(self, evs):
        self._evs = evs

    def result(self):
        if isinstance(self._evs, Exception):
            raise self._evs
        return PrimitiveResult([PubResult(DataBin(evs=self._evs))])


@pytest.mark.parametrize(
    ("evs", "message"),
    [
        (np.full((2, 1, 1), np.nan), "the simulation of fake_manila gave values that are not finite"),
        (np.zeros(2), "the simulation of fake_manila failed: the job's results must be an array of real numbers"),
        (TypeError("'NoneType' object is not subscriptable"), r"the simulation of fake_manila failed: TypeError\."),
        (QiskitError("Too many qubits."), r"the simulation of fake_manila failed: Too many qubits\."),
    ],
)
def test_rehearsal_that_fails_ends_at_once(evs, message):
    """There is no service that might answer better later."""
    client = Client(device="FakeManilaV2")
    machine = client.backend.machine
    machine.submit = lambda *_: machine._kept("job", lambda: read_mitigated(Broken(evs).result(), None))
    with pytest.raises(BackendError, match=rf"'mine', round 1, client 4, train step 0, job job: {message}"):
        client.ask(rows=1, jacobian=False)


def leave_out(server, *qubits, couplings=(), date=None):
    """Mark qubits of the device as not working, and publish no errors of some couplings."""

    def edit(properties):
        mark = {"name": "operational", "unit": "", "value": 0, "date": "2024-05-27T15:27:23-03:00"}
        for qubit in qubits:
            properties["qubits"][qubit].append(mark)
        for gate in properties["gates"]:
            if gate["gate"] == "cx" and tuple(gate["qubits"]) in couplings:
                gate["parameters"] = [item for item in gate["parameters"] if item["name"] != "gate_error"]
        if date is not None:
            properties["last_update_date"] = date

    server.devices["ibm_manila"].publish(edit)


def used(client):
    circuit = client.network.program.circuit
    return {circuit.find_bit(q).index for i in circuit.data for q in i.qubits}


@pytest.mark.parametrize("qubit", [0, 2])
def test_a_device_is_used_without_what_does_not_work(server, caplog, qubit):
    # A mark of its first qubit makes qiskit-ibm-runtime's own target fail, other marks don't.
    leave_out(server, qubit, couplings=[(3, 4), (4, 3)])
    client = Client()
    assert (used(client) | set(client.network.program.measured)).isdisjoint({qubit, 4})
    assert 0.5 < client.network.success_probability() < 1
    text = f"left out: qubit {qubit} (not operational), cx on 3-4, 4-3 (no published error)"
    assert client.backend.describe()["gaps"] == text
    assert [record.getMessage() for record in caplog.records if "gaps" in record.getMessage()] == [
        f"Backend 'mine': the calibration of ibm_manila has gaps: {text}."
    ]
    assert np.isfinite(client.ask()).all()


@pytest.mark.parametrize("qubits", [(3, 4), (0, 3)])
def test_a_qubit_that_stops_working_is_avoided_from_then_on(server, qubits):
    client = Client()
    assert not used(client).isdisjoint(qubits)
    leave_out(server, *qubits, date="2026-01-01T00:00:00+00:00")
    client.backend.refresh()
    client.network.refresh()
    assert used(client).isdisjoint(qubits)
    assert np.isfinite(client.ask()).all()


def test_a_layout_on_what_is_left_out(server):
    leave_out(server, 0)
    with pytest.raises(BackendError, match=r"'mine' cannot take .* qubit 0, which is left out \(not operational\)"):
        Client(initial_layout=[0, 1])
    with pytest.raises(BackendError, match="'mine' cannot take .* names qubit 5, but the device has qubits 0 to 4"):
        Client(initial_layout=[4, 5])
