import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from qiskit.circuit import ClassicalRegister, Parameter, QuantumCircuit
from qiskit.circuit.library import CSwapGate
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml import paper_circuit
from qiskit_fedqml.backends.calibration import fake_calibration
from qiskit_fedqml.backends.noise import confusion_matrix, noise_from_calibration, noise_from_rates
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.backends.simulated.aer_estimator import AerEstimator
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.noise import Noise
from tests.strategies import circuit_specs, values


def readout_only(read_1_if_0, read_0_if_1):
    return noise_from_rates((0, 0), (0, 0), (read_1_if_0, read_0_if_1))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spec=circuit_specs())
def test_ideal_equals_statevector(spec):
    x, w = values(spec, 1, 0)
    parameters = dict(zip((*spec.input_params, *spec.weight_params), (*x[0], *w), strict=True))
    pub = (spec.circuit.assign_parameters(parameters), list(spec.observables))
    ours = AerEstimator().run([pub]).result()[0].data
    exact = StatevectorEstimator().run([pub], precision=0.0).result()[0].data.evs
    np.testing.assert_allclose(ours.evs, exact, atol=1e-9)
    assert not ours.stds.any()


def test_broadcasting_as_the_reference():
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.rx(a, 0)
    circuit.ry(b, 1)
    circuit.cx(0, 1)
    observables = [[[SparsePauliOp("ZI")]], [[SparsePauliOp.from_list([("XX", 0.5), ("IY", -1), ("II", 2)])]]]
    points = np.random.default_rng(0).normal(size=(4, 3, 2))
    pub = (circuit, observables, {(b, a): points})
    ours = AerEstimator().run([pub, (circuit, "ZZ", [0.1, 0.2])]).result()
    exact = StatevectorEstimator().run([pub, (circuit, "ZZ", [0.1, 0.2])], precision=0.0).result()
    assert ours[0].data.evs.shape == (2, 4, 3)
    np.testing.assert_allclose(ours[0].data.evs, exact[0].data.evs, atol=1e-9)
    np.testing.assert_allclose(ours[1].data.evs, exact[1].data.evs, atol=1e-9)


def test_empty_parameter_array_never_reaches_aer():
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("a"), 0)
    assert AerEstimator().run([(circuit, "Z", np.zeros((0, 1)))]).result()[0].data.evs.shape == (0,)


def test_asymmetric_readout_error_acts_as_its_closed_form():
    # ⟨Z⟩ as read = (p01 − p10) + (1 − p10 − p01) ⟨Z⟩ with p10 = P(read 1 | 0), p01 = P(read 0 | 1).
    theta = 0.8
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.rz(theta, 0)
    circuit.sx(0)  # ⟨Z⟩ = −cos θ
    z = -np.cos(theta)
    read = (0.04 - 0.01) + (1 - 0.01 - 0.04) * z
    data = AerEstimator(readout_only(0.01, 0.04)).run([(circuit, ["IZ", "ZI", "ZZ"])]).result()[0].data
    other = (0.04 - 0.01) + (1 - 0.01 - 0.04)
    np.testing.assert_allclose(data.evs, [read, other, read * other], atol=1e-9)


def test_depolarizing_error_acts_as_its_closed_form():
    circuit = QuantumCircuit(1)
    for _ in range(3):
        circuit.x(0)
    noise = noise_from_rates((0.1, 0), (0, 0), (0, 0))
    evs = AerEstimator(noise).run([(circuit, "Z")]).result()[0].data.evs
    assert float(evs) == pytest.approx(-(0.9**3), abs=1e-9)


def test_amplitude_damping_acts_as_its_closed_form():
    circuit = QuantumCircuit(1)
    circuit.x(0)
    evs = AerEstimator(noise_from_rates((0, 0), (0.2, 0), (0, 0))).run([(circuit, "Z")]).result()[0].data.evs
    assert float(evs) == pytest.approx(-1 + 2 * 0.2, abs=1e-9)


def test_measuring_x_and_y_needs_gates_that_have_noise():
    circuit = QuantumCircuit(1)
    noise = noise_from_rates((0.1, 0), (0, 0), (0, 0))
    circuit.sx(0)  # to −Y, one noisy gate; H or S†H in machine gates has one more SX
    evs = AerEstimator(noise).run([(circuit, "Y")]).result()[0].data.evs
    assert float(evs) == pytest.approx(-(0.9**2), abs=1e-9)


def test_shots_have_a_binomial_spread_and_are_seeded():
    circuit = QuantumCircuit(1)
    circuit.ry(1.0, 0)
    z, shots = np.cos(1.0), 400
    data = AerEstimator(shots=shots, seed=1).run([(circuit, "Z", np.zeros((4000, 0)))]).result()[0].data
    expected = np.sqrt((1 - z**2) / shots)
    assert data.evs.mean() == pytest.approx(z, abs=5 * expected / np.sqrt(4000))
    assert data.evs.std() == pytest.approx(expected, rel=0.06)
    assert data.stds.mean() == pytest.approx(expected, rel=0.02)
    again = AerEstimator(shots=shots, seed=1).run([(circuit, "Z", np.zeros((4000, 0)))]).result()[0].data
    np.testing.assert_array_equal(data.evs, again.evs)
    other = AerEstimator(shots=shots, seed=2).run([(circuit, "Z", np.zeros((4000, 0)))]).result()[0].data
    assert (data.evs[:10] != other.evs[:10]).any()


def test_commuting_observables_share_their_shots():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    evs = AerEstimator(shots=51, seed=0).run([(circuit, ["IZ", "ZI", "ZZ"])]).result()[0].data.evs
    assert evs[0] == evs[1]  # perfectly correlated outcomes of the same executions
    assert evs[2] == 1


def test_precision_sets_the_shots():
    circuit = QuantumCircuit(1)
    circuit.h(0)
    result = AerEstimator(shots=7, seed=0).run([(circuit, "Z")], precision=0.1).result()[0]
    assert result.metadata["shots"] == 100
    exact = AerEstimator(shots=7, seed=0).run([(circuit, "Z")], precision=0.0).result()[0]
    assert float(exact.data.evs) == pytest.approx(0, abs=1e-12)


def test_circuit_that_measures_is_refused():
    circuit = QuantumCircuit(1)
    circuit.add_register(ClassicalRegister(1))
    circuit.measure(0, 0)
    with pytest.raises(BackendError, match=r"without \['measure'\]"):
        AerEstimator().run([(circuit, "Z")]).result()


def test_calibrated_readout_is_not_symmetrised():
    calibration = fake_calibration("FakeManilaV2")
    noise = noise_from_calibration(calibration, "FakeManilaV2")
    read_1_if_0, read_0_if_1 = calibration.readout_probabilities(0)
    assert read_0_if_1 > 2 * read_1_if_0
    np.testing.assert_array_equal(noise.confusion(0), confusion_matrix(read_1_if_0, read_0_if_1))
    empty = QuantumCircuit(5)
    evs = AerEstimator(noise).run([(empty, "IIIIZ")]).result()[0].data.evs
    assert float(evs) == pytest.approx(1 - 2 * read_1_if_0, abs=1e-9)


def test_aers_own_noise_model_carries_the_same_errors():
    noise: Noise = noise_from_rates((0.01, 0.02), (0, 0), (0.01, 0.04))
    assert set(noise.model.noise_instructions) == {"sx", "x", "cx", "measure"}
    assert not noise_from_rates((0, 0), (0, 0), (0, 0)).model.noise_instructions


@pytest.mark.slow
def test_large_device_uses_its_active_qubits_only():
    spec = paper_circuit(num_qubits=2, num_layers=1)
    backend = AerBackend("s", noise_from_calibration(fake_calibration("FakeSherbrooke"), "FakeSherbrooke"))
    circuit = backend.transpile(spec.circuit)
    assert circuit.num_qubits == 127
    observables = [o.apply_layout(circuit.layout) for o in spec.observables]
    evs = backend.estimator().run([(circuit, observables, np.zeros(8))]).result()[0].data.evs
    assert (evs > 0.8).all()
    assert (evs < 1).all()


def test_parameter_of_the_global_phase_alone_shifts_no_other():
    phase, b, c = Parameter("a"), Parameter("b"), Parameter("c")
    circuit = QuantumCircuit(2, global_phase=phase)
    circuit.ry(b, 0)
    circuit.rx(c, 1)
    circuit.cx(0, 1)
    pub = (circuit, ["IZ", "ZI"], [0.3, 0.5, 0.9])
    exact = StatevectorEstimator().run([pub], precision=0.0).result()[0].data.evs
    np.testing.assert_allclose(AerEstimator().run([pub]).result()[0].data.evs, exact, atol=1e-9)


@pytest.mark.parametrize("noise", [None, noise_from_rates((0, 0), (0, 0), (0, 0))])
def test_reset_and_initialize(noise):
    circuit = QuantumCircuit(3)
    circuit.initialize([0.6, 0.8], 0)
    circuit.h(1)
    circuit.reset(1)
    circuit.mcx([0, 1], 2)
    backend = AerBackend("b", noise)
    transpiled = backend.transpile(circuit)
    observables = [SparsePauliOp(label) for label in ("IIZ", "IZI", "ZII")]
    if transpiled.layout is not None:
        observables = [o.apply_layout(transpiled.layout) for o in observables]
    evs = backend.estimator().run([(transpiled, observables)]).result()[0].data.evs
    np.testing.assert_allclose(evs, [0.36 - 0.64, 1, 1], atol=1e-9)


def test_error_of_aer_is_one_short_sentence():
    circuit = QuantumCircuit(40)
    for qubit in range(40):
        circuit.ry(Parameter(f"a{qubit}"), qubit)
        circuit.cx(qubit, (qubit + 1) % 40)
    with pytest.raises(BackendError, match="The state of 40 qubits, .* would take 17,592,.* bytes") as caught:
        AerEstimator().run([(circuit, "I" * 39 + "Z", np.zeros((3, 40)))]).result()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["cp", "crx", "cry", "crz", "cu", "mcp", "p", "r", "rx", "rxx", "rzx", "u"])
def test_every_parameterised_gate(name):
    a = Parameter("a")
    arguments = {
        "cu": (a, 0.2, 0.3, 0.4, 0, 1),
        "mcp": (a, [0, 1], 2),
        "p": (a, 0),
        "r": (a, 0.3, 0),
        "rx": (a, 0),
        "u": (0.3, a, 0.2, 0),
    }.get(name, (a, 0, 1))
    circuit = QuantumCircuit(3)
    circuit.h([0, 1])
    circuit.ry(0.4, 2)
    circuit.cx(0, 2)
    getattr(circuit, name)(*arguments)
    circuit.h([0, 1, 2])
    pub = (circuit, ["ZII", "IZI", "IIZ", "IYX"], [[1.0]] * 4)
    exact = StatevectorEstimator().run([pub], precision=0.0).result()[0].data.evs
    np.testing.assert_allclose(AerEstimator().run([pub]).result()[0].data.evs, exact, atol=1e-9)


def test_gate_controlled_on_zero():
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.ry(0.7, 1)
    circuit.append(CSwapGate(ctrl_state=0), [0, 1, 2])
    pub = (circuit, ["ZII", "IZI", "ZZX"])
    exact = StatevectorEstimator().run([pub], precision=0.0).result()[0].data.evs
    np.testing.assert_allclose(AerEstimator().run([pub]).result()[0].data.evs, exact, atol=1e-9)
