import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import CZGate, IGate, RZGate, SXGate, XGate, get_standard_gate_name_mapping
from qiskit.quantum_info import Operator, Statevector, SuperOp
from qiskit.transpiler import InstructionProperties, PassManager, Target
from qiskit.transpiler.passes import ALAPScheduleAnalysis
from scipy.linalg import expm

from qiskit_fedqml.backends.noise import noise_from_rates
from qiskit_fedqml.errors import BackendError

IDEAL = noise_from_rates((0.0, 0.0), (0.0, 0.0), (0.0, 0.0))
KILOHERTZ = 100.0
PAIRS = [(a, b) for a in range(3) for b in range(3) if a != b]


def device(turn=24e-9):
    """Return three coupled qubits on which SX and X take a time, an idle step 100 ns, and CZ 80 ns."""
    target = Target(num_qubits=3, dt=4e-9)
    for gate, seconds in ((SXGate(), turn), (XGate(), turn), (IGate(), 100e-9), (RZGate(0.0), 0.0)):
        target.add_instruction(gate, {(q,): InstructionProperties(duration=seconds) for q in range(3)}, name=gate.name)
    target.add_instruction(CZGate(), {on: InstructionProperties(duration=80e-9) for on in PAIRS})
    return target


def waiting(steps, num_qubits=2):
    circuit = QuantumCircuit(num_qubits)
    for qubit in (0, num_qubits - 1):
        circuit.sx(qubit)
        for _ in range(steps):
            circuit.id(qubit)
        circuit.sx(qubit)
    return circuit


def overlap(first, second):
    return abs(Statevector(first).inner(Statevector(second)))


def test_two_waiting_qubits_gather_the_known_phase(script):
    steps = 20
    found = script.with_crosstalk(waiting(steps), device(0.0), IDEAL, script.along((0, 1), KILOHERTZ, 0.1))
    expected = QuantumCircuit(2)
    expected.sx([0, 1])
    expected.cp(-2 * np.pi * 1e3 * KILOHERTZ * steps * 100e-9, 0, 1)
    expected.sx([0, 1])
    assert overlap(found, expected) == pytest.approx(1, abs=1e-12)
    assert overlap(found, waiting(steps)) < 0.95


def test_without_strength_the_circuit_stays_as_it_is(script):
    circuit = waiting(3)
    assert script.with_crosstalk(circuit, device(), IDEAL, script.along((0, 1), 0.0, 0.1)) is circuit


def test_slices_converge_to_a_gate_that_is_driven_while_the_interaction_acts(script):
    seconds, circuit = 2e-6, QuantumCircuit(2)
    circuit.sx(0)
    circuit.x(1)
    half_turns = np.pi / 4 * np.kron(np.eye(2), [[0, 1], [1, 0]]) + np.pi / 2 * np.kron([[0, 1], [1, 0]], np.eye(2))
    exact = expm(-1j * (half_turns + np.diag([0, 0, 0, 2 * np.pi * 1e3 * KILOHERTZ * seconds])))
    errors = []
    for slices in (4, 8, 16):
        found = script.with_crosstalk(circuit, device(seconds), IDEAL, script.along((0, 1), KILOHERTZ, 0.1), slices)
        errors.append(1 - abs(np.trace(exact.conj().T @ Operator(found).data)) / 4)
    assert errors[2] < 1e-5
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.1)  # infidelity: the square of an error of second order
    assert errors[1] / errors[2] == pytest.approx(16, rel=0.1)


def test_an_idle_qubit_in_its_ground_state_need_not_be_simulated(script):
    one, half = script.Interaction, -KILOHERTZ / 2
    couplings = [one((0, 1), KILOHERTZ), one((1, 2), KILOHERTZ)]
    circuit = waiting(20, num_qubits=3)
    calibrated = script.with_crosstalk(circuit, device(), IDEAL, couplings)
    assert overlap(calibrated, circuit) == pytest.approx(1, abs=1e-12)
    # ν/4 · ZZ on both couplings, with one Z taken back
    plain = [*couplings, *(one((q,), half) for q in (0, 1, 1, 2))]
    short = script.along((0, 1, 2), KILOHERTZ, 0.0, calibrated=False)
    simulated = [script.with_crosstalk(circuit, device(), IDEAL, each) for each in (plain, short)]
    assert overlap(*simulated) == pytest.approx(1, abs=1e-12)
    assert overlap(simulated[0], circuit) < 0.95


def test_an_error_acts_at_the_end_of_a_gate_that_is_cut(script):
    noise = noise_from_rates((0.01, 0.0), (0.02, 0.0), (0.0, 0.0))
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.x(1)
    found = SuperOp(script.with_crosstalk(circuit, device(), noise, script.along((0, 1), 1e-9, 0.1)))
    errors = SuperOp(noise.error_after("x", (1,))).tensor(SuperOp(noise.error_after("sx", (0,))))
    assert np.abs(found.data - SuperOp(circuit).compose(errors).data).max() < 1e-9


def test_gates_run_as_late_as_qiskit_lets_them(script):
    circuit = QuantumCircuit(3)
    circuit.sx(0)
    circuit.cz(0, 1)
    circuit.rz(0.3, 1)
    circuit.x(2)
    circuit.sx(1)
    circuit.cz(1, 2)
    circuit.barrier()
    passes = PassManager([ALAPScheduleAnalysis(target=device())])
    passes.run(circuit)
    starts = [(node.op.name, start * 4e-9) for node, start in passes.property_set["node_start_time"].items()]
    end = max(start for _, start in starts)
    found = [(one.instruction.operation.name, end + one.start) for one in script.schedule(circuit, device())]
    for (name, start), (expected_name, expected) in zip(sorted(found), sorted(starts), strict=True):
        assert name == expected_name
        assert start == pytest.approx(expected, abs=1e-12)


def test_other_gates_on_interacting_qubits_are_refused(script):
    target = device()
    cx = get_standard_gate_name_mapping()["cx"]
    target.add_instruction(cx, {on: InstructionProperties(duration=80e-9) for on in PAIRS})
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    with pytest.raises(BackendError, match="between SX, X, RZ and CZ gates, but the circuit has 'cx'"):
        script.with_crosstalk(circuit, target, IDEAL, script.along((0, 1), KILOHERTZ, 0.1))
