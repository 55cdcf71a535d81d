"""The sweeps against Aer, on the same transpiled program."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qiskit.circuit import Barrier, Delay, Parameter, QuantumCircuit, Reset
from qiskit.circuit.library import DiagonalGate, IGate, UnitaryGate, XGate
from qiskit.quantum_info import Kraus, SparsePauliOp
from qiskit_aer.noise import (
    NoiseModel,
    ReadoutError,
    amplitude_damping_error,
    coherent_unitary_error,
    depolarizing_error,
    kraus_error,
    mixed_unitary_error,
    pauli_error,
    phase_amplitude_damping_error,
    reset_error,
    thermal_relaxation_error,
)
from qiskit_ibm_runtime.fake_provider import FakeProviderForBackendV2

from qiskit_fedqml import paper_circuit
from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.calibration import fake_calibration
from qiskit_fedqml.backends.noise import noise_from_calibration, noise_from_rates
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.simulation.noise import noise_from_model
from tests.strategies import circuit_specs, values

STATED = noise_from_rates((0.01, 0.03), (0.005, 0.01), (0.01, 0.04))


def compiled(spec, noise, **options):
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    return angles, compile_program(AerBackend("a", noise, **options), angles.circuit, angles.params, spec.observables)


def angles_of(angles, spec, batch, seed=0):
    x, w = values(spec, batch, seed)
    return angles.values(np.concatenate([x, np.broadcast_to(w, (batch, len(w)))], axis=1))


def assert_agree(program, points, noise, shots=None, atol=1e-8):
    evaluations = [
        AerBackend("a", noise, shots, simulator=simulator).evaluate(program, points, jacobian=True, seed=5)
        for simulator in ("sweep", "aer")
    ]
    sweep, aer = evaluations
    assert (sweep.simulator, aer.simulator) == ("sweep", "aer")
    assert (sweep.circuits, sweep.executions) == (aer.circuits, aer.executions)
    np.testing.assert_allclose(sweep.values, aer.values, atol=atol)
    np.testing.assert_allclose(sweep.jacobian, aer.jacobian, atol=atol)
    only = AerBackend("a", noise, shots, simulator="sweep").evaluate(program, points, jacobian=False, seed=5)
    if shots is None:
        np.testing.assert_allclose(only.values, sweep.values, atol=1e-12)
    assert only.jacobian is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spec=circuit_specs(max_gates=9), noise=st.sampled_from([None, STATED]))
def test_random_circuits_of_all_gates(spec, noise):
    angles, program = compiled(spec, noise)
    assert_agree(program, angles_of(angles, spec, 2), noise)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spec=circuit_specs(max_gates=9))
def test_the_same_seed_draws_the_same_shots(spec):
    # Probabilities agree to rounding, so the same uniform numbers give the same outcomes; with this readout error no
    # probability is exactly a half, where the rounding would decide.
    angles, program = compiled(spec, STATED, shots=100)
    assert_agree(program, angles_of(angles, spec, 2), STATED, shots=100)


def test_the_same_seed_draws_the_same_shots_without_noise():
    spec = paper_circuit(num_qubits=3, num_outputs=3)
    angles, program = compiled(spec, None, shots=100)
    assert_agree(program, angles_of(angles, spec, 3), None, shots=100)


SMALL_DEVICES = (
    "FakeAthensV2",
    "FakeBelemV2",
    "FakeBogotaV2",
    "FakeBurlingtonV2",
    "FakeCasablancaV2",
    "FakeEssexV2",
    "FakeFractionalBackend",
    "FakeJakartaV2",
    "FakeLagosV2",
    "FakeLimaV2",
    "FakeLondonV2",
    "FakeManilaV2",
    "FakeNairobiV2",
    "FakeOslo",
    "FakeOurenseV2",
    "FakePerth",
    "FakeQuitoV2",
    "FakeRomeV2",
    "FakeSantiagoV2",
    "FakeValenciaV2",
    "FakeVigoV2",
    "FakeYorktownV2",
)
SOME_DEVICES = ("FakeFractionalBackend", "FakeJakartaV2", "FakeManilaV2", "FakeYorktownV2")
"""What is always tested of them; the others are slow tests."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_small_device_is_left_out():
    devices = FakeProviderForBackendV2().backends()
    assert {type(d).__name__ for d in devices if 5 <= d.num_qubits <= 7} <= set(SMALL_DEVICES)


@pytest.mark.parametrize(
    "device",
    [pytest.param(name, marks=() if name in SOME_DEVICES else pytest.mark.slow) for name in SMALL_DEVICES],
)
def test_every_fake_device_of_five_to_seven_qubits(device):
    noise = noise_from_calibration(fake_calibration(device), device)
    spec = paper_circuit()
    angles, program = compiled(spec, noise)
    assert_agree(program, angles_of(angles, spec, 2), noise)


@pytest.mark.slow
def test_active_qubits_of_a_large_device():
    noise = noise_from_calibration(fake_calibration("FakeSherbrooke"), "FakeSherbrooke")
    spec = paper_circuit(num_qubits=2, num_layers=1)
    angles, program = compiled(spec, noise)
    assert program.circuit.num_qubits == 127
    assert_agree(program, angles_of(angles, spec, 1), noise)


ONE = {
    "depolarizing": depolarizing_error(0.03, 1),
    "relaxation": thermal_relaxation_error(50e3, 70e3, 2e3),
    "relaxation with T2 above T1": thermal_relaxation_error(50e3, 95e3, 2e3, 0.1),
    "Pauli": pauli_error([("X", 0.02), ("Y", 0.03), ("I", 0.95)]),
    "Kraus": kraus_error([np.sqrt(0.9) * np.eye(2), np.sqrt(0.1) * np.array([[0, 1], [1, 0]])]),
    "mixed unitary": mixed_unitary_error([(np.array([[0.6, 0.8], [-0.8, 0.6]]), 0.1), (np.eye(2), 0.9)]),
    "coherent": coherent_unitary_error(np.diag([1, np.exp(0.2j)])),
    "reset": reset_error(0.05, 0.02),
    "damping": phase_amplitude_damping_error(0.04, 0.03, 0.1),
}
TWO = {
    "depolarizing": depolarizing_error(0.05, 2),
    "Pauli": pauli_error([("XZ", 0.02), ("YI", 0.03), ("II", 0.95)]),
    "tensor": amplitude_damping_error(0.02).tensor(amplitude_damping_error(0.07)),
    "coherent": coherent_unitary_error(np.diag(np.exp(1j * np.array([0, 0.1, 0.2, -0.3])))),
}


def assert_model_agrees(model, atol=1e-8):
    noise = noise_from_model(model)
    spec = paper_circuit(num_qubits=3, num_layers=1, num_outputs=3)
    angles, program = compiled(spec, noise)
    assert_agree(program, angles_of(angles, spec, 2), noise, atol=atol)


@pytest.mark.parametrize("kind", ONE)
def test_errors_of_one_qubit(kind):
    model = NoiseModel(basis_gates=["rz", "sx", "x", "cx"])
    model.add_all_qubit_quantum_error(ONE[kind], ["sx", "rz"])
    model.add_quantum_error(ONE[kind].compose(ONE["damping"]), "sx", [1])
    assert_model_agrees(model)


@pytest.mark.parametrize("kind", TWO)
def test_errors_of_two_qubits(kind):
    model = NoiseModel(basis_gates=["rz", "sx", "x", "cx"])
    model.add_all_qubit_quantum_error(TWO[kind], "cx")
    model.add_quantum_error(TWO["tensor"], "cx", [0, 1])  # not symmetric, and for one direction only
    assert_model_agrees(model)


def test_asymmetric_readout_error_of_each_qubit():
    model = NoiseModel(basis_gates=["rz", "sx", "x", "cx"])
    model.add_all_qubit_readout_error(ReadoutError([[0.97, 0.03], [0.1, 0.9]]))
    model.add_readout_error(ReadoutError([[0.99, 0.01], [0.2, 0.8]]), [1])
    assert_model_agrees(model)


def test_terms_in_several_bases_with_noisy_rotations_to_them():
    spec = paper_circuit(num_qubits=2, num_layers=1)
    observables = [SparsePauliOp.from_list([("XX", 0.5), ("YZ", -1.0), ("II", 0.3)]), SparsePauliOp("IY")]
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    program = compile_program(AerBackend("a", STATED), angles.circuit, angles.params, observables)
    for shots in (None, 50):
        assert_agree(program, angles_of(angles, spec, 3), STATED, shots)


def program_of(circuit, observables, params=()):
    return Program(circuit, tuple(SparsePauliOp(o) for o in observables), tuple(params), tuple(range(len(params))), 1)


def test_resets_delays_channels_and_labels_in_the_circuit():
    model = NoiseModel(basis_gates=["rz", "sx", "x", "cx", "delay"])
    model.add_all_qubit_quantum_error(ONE["relaxation"], "delay")
    model.add_all_qubit_quantum_error(ONE["Pauli"], "slow")
    model.add_all_qubit_quantum_error(ONE["depolarizing"], ["x", "reset"])
    noise = noise_from_model(model)
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.rz(a, 0)
    circuit.delay(100, 0)
    circuit.append(XGate(label="slow"), [1])
    circuit.sx(0)
    circuit.append(Kraus([np.sqrt(0.8) * np.eye(2), np.sqrt(0.2) * np.diag([1, -1])]).to_instruction(), [0])
    circuit.append(ONE["damping"].to_instruction(), [1])
    circuit.barrier()
    circuit.cx(0, 1)
    circuit.x(1)
    circuit.reset(0)
    circuit.sx(0)
    circuit.rz(b, 0)
    circuit.sx(0)
    program = program_of(circuit, ["ZI", "IZ", "ZZ"], [a, b])
    for shots in (None, 64):
        assert_agree(program, np.array([[0.3, 1.1], [-2.0, 0.4]]), noise, shots)


@pytest.mark.parametrize("name", ["delay", "reset", "barrier", "kraus", "quantum_channel", "diagonal", "unitary", "id"])
def test_errors_by_label_and_by_name_where_aer_has_them(name):
    model = NoiseModel(basis_gates=["rz", "sx", "x", "cx"])
    model.add_all_qubit_quantum_error(ONE["Pauli"], name)
    model.add_all_qubit_quantum_error(ONE["damping"], "labelled")
    made = {
        "delay": lambda: Delay(100),
        "reset": Reset,
        "barrier": lambda: Barrier(1),
        "kraus": lambda: Kraus([np.sqrt(0.8) * np.eye(2), np.sqrt(0.2) * np.diag([1, -1])]).to_instruction(),
        "quantum_channel": ONE["mixed unitary"].to_instruction,
        "diagonal": lambda: DiagonalGate([1, 1j]),
        "unitary": lambda: UnitaryGate(np.diag([1, 1j])),
        "id": IGate,
    }[name]
    for label in (None, "labelled"):
        circuit = QuantumCircuit(1)
        circuit.sx(0)
        circuit.rz(a := Parameter("a"), 0)
        instruction = made()
        instruction = instruction.to_mutable() if hasattr(instruction, "to_mutable") else instruction
        if label:
            instruction.label = label
        circuit.append(instruction, [0])
        circuit.sx(0)
        assert_agree(program_of(circuit, ["Z"], [a]), np.array([[0.4]]), noise_from_model(model))


def test_reset_without_noise():
    a = Parameter("a")
    circuit = QuantumCircuit(3)
    circuit.ry(a, 0)
    circuit.cx(0, 1)
    circuit.reset(0)
    circuit.h(0)
    circuit.ccx(0, 1, 2)
    assert_agree(program_of(circuit, ["ZII", "IZI"], [a]), np.array([[0.3], [1.2]]), None)


def test_circuits_shared_and_own_angles_in_any_order():
    # Data re-uploading: angles of the sample's own come before, between and after those that all samples share.
    x, w = [Parameter(f"x{i}") for i in range(3)], [Parameter(f"w{i}") for i in range(4)]
    circuit = QuantumCircuit(3)
    for layer in range(3):
        for q in range(3):
            circuit.ry(x[q], q)
        circuit.cx(0, 1)
        circuit.rzz(w[layer], 1, 2)
        circuit.rx(w[3], layer)
    angles = GateAngles(circuit, [*x, *w])
    observables = [SparsePauliOp("ZIZ"), SparsePauliOp("IXI")]
    rng = np.random.default_rng(0)
    for noise in (None, STATED):
        backend = AerBackend("a", noise)
        program = compile_program(backend, angles.circuit, angles.params, observables)
        for shared in (np.arange(3, 7), np.arange(0, 3), np.arange(7), np.arange(0)):
            points = rng.normal(size=(5, 7))
            points[:, shared] = points[0, shared]
            assert_agree(program, angles.values(points), noise)
            assert_agree(program, angles.values(points[:1]), noise)
