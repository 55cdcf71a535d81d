import json
import math
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml import BackendRegistry, paper_circuit, quantum_layer
from qiskit_fedqml.backends.array import overview
from qiskit_fedqml.backends.array.check import check_backend
from qiskit_fedqml.backends.base import Backend, compile_program
from qiskit_fedqml.backends.calibration import fake_calibration, load_calibration
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.backends.simulated.aer_estimator import AerEstimator
from qiskit_fedqml.errors import BackendError, ConfigurationError
from qiskit_fedqml.simulation.estimator import SweepEstimator
from tests.backends.calibrations import Change
from tests.conftest import ROOT

IDEAL = {"ideal": {"type": "aer"}}


def registry(backends=None, **assignment):
    return BackendRegistry.from_mapping({"backends": {**IDEAL, **(backends or {})}, "assignment": assignment})


def test_the_example_file_works_and_its_noise_acts():
    example = BackendRegistry.from_yaml(ROOT / "backends.yaml")
    assert len(example) >= 5
    checks = {check.backend: check for check in overview.check(example)}
    assert all(check.passed for check in checks.values())
    assert checks["ideal"].exact == pytest.approx(checks["ideal"].ideal, abs=1e-9)
    noisy = [check for name, check in checks.items() if name != "ideal"]
    assert all(max(abs(a - b) for a, b in zip(c.exact, c.ideal, strict=True)) > 0.01 for c in noisy)
    assert [check.row()["Noise acts"] for check in checks.values()] == ["none", *["yes"] * len(noisy)]
    assert isinstance(example["manila"], Backend)


@pytest.mark.parametrize("lost", ["gate errors", "readout"])
@pytest.mark.parametrize("simulator", ["sweep", "aer"])
def test_check_finds_noise_that_does_not_act(monkeypatch, lost, simulator):
    noise = BackendRegistry.from_yaml(ROOT / "backends.yaml")["stated"].noise
    backend = AerBackend("b", noise, simulator=simulator)
    assert check_backend(backend).passed
    lossy = replace(
        noise,
        default_errors={} if lost == "gate errors" else noise.default_errors,
        default_readout=np.eye(2) if lost == "readout" else noise.default_readout,
    )
    estimators = {"sweep": SweepEstimator, "aer": AerEstimator}
    monkeypatch.setattr(AerBackend, "estimator", lambda self, seed=None: estimators[simulator](lossy, None, seed))
    assert not check_backend(backend).passed
    assert check_backend(backend).row()["Noise acts"] == "NO"
    ideal = check_backend(AerBackend("b", simulator=simulator))
    assert (ideal.passed, ideal.row()["Noise acts"]) == (False, "none, but WRONG")


def test_backends_are_opened_at_first_use_and_kept():
    broken = registry({"broken": {"type": "aer", "noise": "FakeNowhereV2"}})
    assert broken["ideal"] is broken["ideal"]
    with pytest.raises(BackendError, match=r"'broken'.*no fake device 'FakeNowhereV2'"):
        broken["broken"]
    with pytest.raises(BackendError, match="no backend 'idael'; did you mean 'ideal'"):
        broken["idael"]
    assert "idael" not in broken


def test_a_machine_is_worked_out_once_in_a_process(tmp_path):
    def noise_of(noise, **entry):
        data = {"backends": {**IDEAL, "m": {"type": "aer", "noise": noise, **entry}}}
        return BackendRegistry.from_mapping(data, folder=tmp_path)["m"].noise

    calibration = fake_calibration("FakeManilaV2")
    calibration.save(tmp_path / "mine.json")
    for noise in ("FakeManilaV2", {"calibration": "mine.json"}, {"readout": 0.02}):
        first = noise_of(noise, shots=64)
        assert noise_of(noise, shots=None) is first
        assert noise_of(noise, noise_factor=2.0) is not first
    before = noise_of({"calibration": "mine.json"})
    replace(calibration, properties={**calibration.properties, "last_update_date": "2026-01-01T00:00:00"}).save(
        tmp_path / "mine.json"
    )
    assert noise_of({"calibration": "mine.json"}).date != before.date


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_in_a_calibrations_place_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "mine.json")
    data = {"backends": {**IDEAL, "m": {"type": "aer", "noise": {"calibration": "mine.json"}}}}
    with pytest.raises(BackendError, match=r"'m': .*mine\.json: cannot be read: it is not a file"):
        BackendRegistry.from_mapping(data, folder=tmp_path)["m"]


def test_ibm_entries_are_read_without_opening_a_device():
    array = registry({"kingston": {"type": "ibm", "device": "ibm_kingston", "shots": 512}}, clients={0: "kingston"})
    assert array.name_for_client(0) == "kingston"
    assert array.for_client(1).name == "ideal"
    assert overview.summary(array, "kingston")["Noise"] == "ibm_kingston"
    assert array.is_queued("kingston")
    assert not array.is_queued("ideal")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"device": "ibm_x", "token": "very secret"}, "unknown key 'backends.x.token'"),
        ({"device": "ibm_x", "options": {"environment": {"private": True}}}, "must not hold 'environment'"),
        ({"device": "ibm_x", "options": {"default_shots": 3}}, "the entry's key 'shots' says it"),
        (
            {"device": {"least_busi": {}}},
            "must be a device's name or {least_busy: {min_qubits: N}}, but has the key 'least_busi'",
        ),
        ({"device": 3}, "must be a device's name or"),
        (
            {"device": "FakeManilaV2", "instance": "mine"},
            "a fake device .* has no use for instance",
        ),
        ({"device": "ibm_x", "initial_layout": [0, 1], "layout_trials": 3}, "layout_trials has no effect"),
        (
            {"device": "ibm_x", "gradient": "spsa"},
            "must be parameter_shift, .*, but got 'spsa'",
        ),
        ({"device": ""}, "must be a device's name or"),
        ({"device": "ibm_x", "mode": "session", "budget_seconds": 9}, "charged by the clock"),
        ({"device": "ibm_x", "gradient": {"spsa": {"perturbation": 0}}}, "greater than 0"),
        ({"device": "ibm_x", "resilience_level": 3}, "less than or equal to 2"),
        ({"device": "ibm_x", "waiting": {"poll_seconds": 0}}, "greater than 0"),
        ({"device": "ibm_x", "mode": "swarm"}, "'batch'"),
        ({"device": "ibm_x", "test_shots": 0}, "'backends.x.test_shots'.*greater than 0"),
        ({"device": "ibm_x", "rep_delay_seconds": -1e-6}, "'backends.x.rep_delay_seconds'.*greater than or equal to 0"),
        (
            {"device": "ibm_x", "rep_delay_seconds": 1e-4, "options": {"execution": {"rep_delay": 1e-4}}},
            "rep_delay_seconds and options.execution.rep_delay say the same; keep rep_delay_seconds",
        ),
    ],
)
def test_wrong_ibm_entries_are_refused(entry, message):
    with pytest.raises(ConfigurationError, match=message) as error:
        registry({"x": {"type": "ibm", **entry}})
    assert "very secret" not in str(error.value)


def test_shots_of_tests_need_shots():
    with pytest.raises(ConfigurationError, match="test_shots has no effect without shots"):
        registry({"x": {"type": "aer", "test_shots": 3}})
    with pytest.raises(BackendError, match="`test_shots` has no effect without `shots`"):
        AerBackend("x", test_shots=3)


def test_budget_needs_a_device():
    with pytest.raises(ConfigurationError, match="budget_seconds has no effect"):
        BackendRegistry.from_mapping({"backends": {"ideal": {"type": "aer"}}, "budget_seconds": 5})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"twirlling": {}}, "refuses its options: twirlling: Extra inputs"),
        ({"twirling": {"strategy": "none"}}, "refuses its options: twirling.strategy: Input should be 'active'"),
    ],
)
def test_options_that_the_estimator_refuses(options, message):
    array = registry({"x": {"type": "ibm", "device": "FakeManilaV2", "options": options}})
    with pytest.raises(BackendError, match=rf"(?s)Backend 'x'.*{message}"):
        array["x"]


def test_assignment():
    two = {"noisy": {"type": "aer", "noise": {"readout": 0.1}}}
    explicit = registry(two, clients={0: "noisy", "2-3": "noisy"})
    assert explicit.assign(5) == ("noisy", "ideal", "noisy", "noisy", "ideal")
    assert registry(two, default={"cycle": ["ideal", "noisy"]}).assign(3) == ("ideal", "noisy", "ideal")
    drawn = [registry(two, default={"random": ["ideal", "noisy"], "seed": s}).assign(200) for s in (7, 7, 8)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert 60 < drawn[0].count("noisy") < 140
    with pytest.raises(ConfigurationError, match=r"clients.2-3 names client 3, but there are 3 clients"):
        explicit.assign(3)
    with pytest.raises(ConfigurationError, match="at least 0"):
        explicit.for_client(-1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1], "must be a mapping"),
        ({}, "key 'backends' is missing"),
        ({"backends": {}}, "key 'backends'"),
        ({"backends": {"a": {"type": "aer", "nose": 1}}}, "unknown key 'backends.a.nose'; did you mean 'noise'"),
        (
            {"backends": {"a": {"type": "ser"}}},
            "key 'backends.a.type': must be 'aer', 'ibm', 'backend', 'python' or 'object', but got 'ser'",
        ),
        ({"backends": {"a": {}}}, "key 'backends.a.type' is missing"),
        ({"backends": {"a": {"type": "python"}}}, "key 'backends.a.python' is missing"),
        ({"backends": {"a": {"type": "python", "python": "x"}}}, "key 'backends.a.python': must match pattern"),
        (
            {"backends": {"a": {"type": "python", "python": "a:b", "arguments": {"of": {"api_key": "s"}}}}},
            "key 'backends.a.arguments': must not hold 'api_key'",
        ),
        (
            {"backends": {"a": {"type": "python", "python": "a:b", "blocks": "auto"}}},
            "unknown key 'backends.a.blocks'; known are arguments, python, shots, type",
        ),
        ({"backends": {"a": {"type": "object", "class_": "x"}}}, "'backends.a.class_'; did you mean 'class'"),
        ({"backends": {"ideal": {"type": "aer", "shots": 0}}}, "key 'backends.ideal.shots'.*greater than 0, but got 0"),
        ({"backends": {"ideal": {"type": "aer", "noise": 3}}}, "'backends.ideal.noise': must be a fake device's name"),
        ({"backends": {"ideal": {"type": "aer", "noise": {"readout": 1.5}}}}, "less than or equal to 1, but got 1.5"),
        ({"backends": {"ideal": {"type": "aer", "noise": {"depolarising": {}}}}}, "did you mean 'depolarizing'"),
        ({"backends": {"ideal": {"type": "ibm", "device": "x", "token": "s"}}}, "unknown key 'backends.ideal.token'"),
        ({"backends": {"ideal": {"type": "aer", "noise": {"readout": True}}}}, "'backends.ideal.noise.readout'"),
        ({"backends": {"a/b": {"type": "aer"}}}, "must match pattern"),
        ({"backends": IDEAL, "assignment": {"default": "idael"}}, "assignment.default names the backend 'idael'; did"),
        ({"backends": IDEAL, "assignment": {"default": {"cycle": []}}}, "cycle"),
        ({"backends": IDEAL, "assignment": {"default": 3}}, "must be a backend's name"),
        ({"backends": IDEAL, "assignment": {"server": "x"}}, "assignment.server names the backend 'x'"),
        ({"backends": IDEAL, "assignment": {"clients": {"0-3": "ideal", 2: "ideal"}}}, "client 2 is named by both"),
        ({"backends": IDEAL, "assignment": {"clients": {"3-0": "ideal"}}}, "range '3-0' is empty"),
        ({"backends": IDEAL, "assignment": {"clients": {"-1": "ideal"}}}, "must be a client's id from 0"),
        ({"backends": IDEAL, "assignment": {"clients": {1: "x"}}}, "assignment.clients.1 names the backend 'x'"),
    ],
)
def test_wrong_files_are_refused_with_the_key(data, message):
    with pytest.raises(ConfigurationError, match=message):
        BackendRegistry.from_mapping(data)


def test_files_that_are_no_yaml(tmp_path):
    for text, message in [
        ("a: [", "not YAML"),
        ("a: 1\na: 2", "is given twice"),
        ("\xff", "mapping"),
        ("? [a]\n: 1", "must be a word"),
    ]:
        path = tmp_path / "b.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigurationError, match=message):
            BackendRegistry.from_yaml(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        BackendRegistry.from_yaml(tmp_path / "none.yaml")


def test_saved_calibration_gives_the_same_machine(tmp_path):
    fake_calibration("FakeManilaV2").save(tmp_path / "manila.json")
    (tmp_path / "backends.yaml").write_text(
        "backends:\n  ideal: {type: aer}\n  saved: {type: aer, noise: {calibration: manila.json}}\n"
        "  fake: {type: aer, noise: FakeManilaV2}\n"
    )
    array = BackendRegistry.from_yaml(tmp_path / "backends.yaml")
    spec = paper_circuit()
    x = torch.linspace(-1, 1, 8).reshape(2, 4)
    outputs = [quantum_layer(spec, array[name])(x).detach() for name in ("saved", "fake", "ideal")]
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=0)
    assert (outputs[0] - outputs[2]).abs().max() > 0.02
    assert load_calibration(tmp_path / "manila.json").date == fake_calibration("FakeManilaV2").date


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"configuration": {}, "properties": {}}'])
def test_damaged_calibration_is_refused(tmp_path, text):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(BackendError, match="is not a calibration"):
        load_calibration(path)


def break_t1(calibration):
    calibration["properties"]["qubits"][0][0]["value"] = -5.0


def break_readout(calibration):
    for item in calibration["properties"]["qubits"][1]:
        if item["name"] == "prob_meas1_prep0":
            item["value"] = 1.5


def break_gates(calibration):
    calibration["properties"]["gates"] = "none"


@pytest.mark.parametrize("breaking", [break_t1, break_readout, break_gates])
def test_calibration_with_impossible_figures_is_refused(tmp_path, breaking):
    path = tmp_path / "c.json"
    fake_calibration("FakeManilaV2").save(path)
    calibration = json.loads(path.read_text())
    breaking(calibration)
    path.write_text(json.dumps(calibration))
    with pytest.raises(BackendError, match=r"Backend 'c': .*calibration of fake_manila"):
        registry({"c": {"type": "aer", "noise": {"calibration": str(path)}}})["c"]


def test_circuit_that_does_not_fit_the_machine():
    small = registry({"manila": {"type": "aer", "noise": "FakeManilaV2"}})
    with pytest.raises(BackendError, match="'manila' cannot take the circuit"):
        quantum_layer(paper_circuit(num_qubits=6), small["manila"])


def test_the_server_is_exact_also_where_its_entry_has_shots():
    server = registry({"s": {"type": "aer", "noise": {"readout": 0.1}, "shots": 3}}, server="s").server
    assert (server.name, server.shots) == ("s", None)
    assert server.noise is not None


def test_tiny_noise_passes_the_check():
    tiny = registry({"t": {"type": "aer", "noise": {"depolarizing": {"two_qubit": 1e-7}}}})
    assert all(check.passed for check in overview.check(tiny))


def test_shots_differ_from_step_to_step_and_repeat_with_the_seed():
    layer = quantum_layer(paper_circuit(), registry({"s": {"type": "aer", "shots": 100}})["s"])
    x = torch.zeros(2, 4)
    with torch.no_grad():
        layer.neural_network.reseed(3)
        first = [layer(x), layer(x)]
        layer.neural_network.reseed(3)
        second = [layer(x), layer(x)]
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.parametrize("simulator", ["sweep", "aer"])
@pytest.mark.parametrize("noise", [None, {"readout": 0.1}])
def test_tests_have_shots_of_their_own(simulator, noise):
    entry = {"type": "aer", "noise": noise, "simulator": simulator, "shots": 1, "test_shots": 400}
    array = registry({"s": entry, "one": {**entry, "test_shots": None}, "all": {**entry, "shots": 400}})
    inputs, values, counted = torch.linspace(-1, 1, 12).reshape(3, 4), {}, {}
    for name in ("s", "one", "all"):
        network = quantum_layer(paper_circuit(), array[name]).neural_network
        for kind in ("train", "test", "test on the server, validation", "evaluation", "loose"):
            network.reseed(3, JobKey(1, 0, 0, kind))
            before = network.usage.executions
            found, _ = network.evaluate(inputs.double().numpy(), np.linspace(-1, 1, 24), jacobian=False)
            values[name, kind], counted[name, kind] = found.tolist(), network.usage.executions - before
    for kind in ("train", "loose"):
        assert values["s", kind] == values["one", kind] != values["all", kind]
        assert counted["s", kind] == 3
        assert set(np.abs(values["s", kind]).ravel()) == {1.0}, "one shot is 1 or -1"
    for kind in ("test", "test on the server, validation", "evaluation"):
        assert values["s", kind] == values["all", kind] != values["one", kind]
        assert counted["s", kind] == 3 * 400
    assert array["s"].describe()["test_shots"] == 400
    assert "test_shots" not in array["one"].describe()
    assert overview.summary(array, "s")["Shots"] == "1 (tests: 400)"


def test_noisy_gradient_is_the_derivative_of_the_noisy_value():
    layer = quantum_layer(paper_circuit(), registry({"m": {"type": "aer", "noise": "FakeManilaV2"}})["m"])
    network = layer.neural_network
    x, w = np.array([[0.3, -0.8, 1.1, 0.2]]), layer.weight.detach().double().numpy()
    _, jacobian = network.evaluate(x, w, jacobian=True)
    step = 1e-4
    for k in (0, 3, 7, 11, 13, 20, 23):
        up, down = (network.evaluate(x, w + s * step * np.eye(24)[k], jacobian=False)[0] for s in (1, -1))
        np.testing.assert_allclose(jacobian[0, :, 4 + k], (up - down)[0] / (2 * step), atol=2e-6)


def test_summary_tells_what_simulates_and_why():
    array = registry(
        {
            "manila": {"type": "aer", "noise": "FakeManilaV2", "shots": 100},
            "slow": {"type": "aer", "simulator": "aer"},
            "tiny": {"type": "aer", "noise": "FakeArmonkV2"},
        }
    )
    told = {
        name: (overview.summary(array, name)["Simulator"], overview.summary(array, name)["How or why"])
        for name in array
    }
    assert told["ideal"] == ("sweep", "two sweeps of state vectors")
    assert told["manila"] == ("sweep", "two sweeps of Pauli vectors, for shots")
    assert told["slow"] == ("aer", "asked for")
    assert told["tiny"][0] == "none"
    assert told["tiny"][1].startswith("Backend 'tiny' cannot take the circuit")


def saved(tmp_path, change):
    change.calibration.save(tmp_path / "c.json")
    return registry({"c": {"type": "aer", "noise": {"calibration": str(tmp_path / "c.json")}}})


def test_summary_tells_what_is_left_out(tmp_path):
    told = overview.summary(saved(tmp_path, Change().break_(0)), "c")["How or why"]
    assert told == "two sweeps of Pauli vectors; left out: qubit 0 (not operational)"
    told = overview.summary(saved(tmp_path, Change().break_(2)), "c")["How or why"]
    assert told.startswith("Backend 'c' cannot take the circuit")
    assert told.count("left out: qubit 2 (not operational)") == 1


def test_check_of_a_machine_whose_couplings_are_left_out(tmp_path):
    array = saved(tmp_path, Change().drop_everywhere("cx", "gate_error").break_(0))
    check = {check.backend: check for check in overview.check(array)}["c"]
    assert (check.passed, check.row()["Noise acts"], len(check.exact)) == (True, "yes", 1)


def with_factor(noise, factor):
    entry = {"type": "aer", "noise": noise, "noise_factor": factor}
    machines = {"backends": {"m": entry}, "assignment": {"server": "m", "default": "m"}}
    return BackendRegistry.from_mapping(machines)["m"]


@pytest.mark.parametrize(
    "noise", ["FakeManilaV2", {"depolarizing": {"one_qubit": 1e-3, "two_qubit": 1e-2}, "readout": 0.02}]
)
def test_noise_factor_multiplies_every_error(noise):
    spec = paper_circuit()
    infidelity = {}
    for factor in (0.5, 1.0, 2.0):
        layer = quantum_layer(spec, with_factor(noise, factor))
        infidelity[factor] = -math.log(layer.neural_network.success_probability())
    # To first order ln Π(1 − ε) = −Σ ε, which the factor multiplies.
    assert infidelity[0.5] == pytest.approx(infidelity[1.0] / 2, rel=0.03)
    assert infidelity[2.0] == pytest.approx(infidelity[1.0] * 2, rel=0.06)


def test_success_probability_by_hand():
    backend = with_factor({"depolarizing": {"one_qubit": 0.03, "two_qubit": 0.08}, "readout": 0.1}, 1.0)
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.cx(0, 1)
    program = compile_program(backend, circuit, [], [SparsePauliOp("IZ")])
    # The average infidelity of a depolarising channel of parameter λ on d dimensions is λ (1 − 1/d).
    assert backend.success_probability(program) == pytest.approx((1 - 0.03 / 2) * (1 - 0.08 * 3 / 4) * 0.9)


def test_rates_above_one_are_refused():
    with pytest.raises(BackendError, match="0.4 times the factor 3 is above 1"):
        with_factor({"depolarizing": {"two_qubit": 0.4}, "readout": 0.4}, 3.0)
    assert np.array_equal(with_factor({"readout": 0.4}, 3.0).noise.confusion(0), np.full((2, 2), 0.5))
    with pytest.raises(ConfigurationError, match="noise_factor has no effect without noise"):
        with_factor(None, 3.0)
