"""Blocks of fake devices: disjoint, apart, in their own gates, and as many as there can be."""

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import Operator
from qiskit.transpiler import Target

from qiskit_fedqml import paper_circuit
from qiskit_fedqml.backends.calibration import calibration_of, fake_device
from qiskit_fedqml.backends.figures import success_probability
from qiskit_fedqml.backends.packing.blocks import BlockFinder
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.config.blocks import Blocks
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.gaps import Gaps

SPEC = paper_circuit()
PAPER = GateAngles(SPEC.circuit, [*SPEC.input_params, *SPEC.weight_params]).circuit


def finder(name, gaps=None, **config):
    device = fake_device(name)
    found = calibration_of(device).gaps if gaps is None else gaps
    return BlockFinder(device.target, found, Blocks(**config), 3, range(2))


def couplings(target):
    return {tuple(sorted(pair)) for pair in target.build_coupling_map().get_edges()}


def check(layout, target, separation):
    """Check that blocks are disjoint and apart, and that each circuit has its own block's gates alone."""
    owner = {qubit: number for number, block in enumerate(layout.blocks) for qubit in block.qubits}
    assert len(owner) == sum(len(block.qubits) for block in layout.blocks)
    if separation:
        assert all(owner.get(a, -1) == owner.get(b, -2) for a, b in couplings(target) if a in owner and b in owner)
    for block in layout.blocks:
        assert set(block.ends) <= set(block.qubits)
        for instruction in block.circuit.data:
            on = tuple(block.circuit.find_bit(qubit).index for qubit in instruction.qubits)
            assert set(on) <= set(block.qubits)
            assert instruction.operation.name == "barrier" or target.instruction_supported(
                instruction.operation.name, on
            )
        measured = [block.ends[0], block.ends[1]]
        assert block.success_probability == pytest.approx(success_probability(block.circuit, target, measured))


@pytest.mark.parametrize(
    ("name", "separation", "least_success", "count"),
    [
        ("FakeMontrealV2", 1, 0.7, None),
        ("FakeMontrealV2", 0, 0.7, None),
        ("FakeSherbrooke", 1, 0.7, 21),
        ("FakeFez", 1, 0.85, 26),
        ("FakeMarrakesh", 1, 0.85, 23),
        ("FakeTorino", 1, 0.8, 21),
        ("FakeTorino", 1, 0.7, 22),
        ("FakeTorino", 0, 0.7, 30),
    ],
)
def test_blocks_of_the_papers_circuit(name, separation, least_success, count):
    found = finder(name, separation=separation, least_success=least_success)
    layout = found.find(PAPER, [0, 1])
    assert layout.is_proven
    check(layout, found.target, separation)
    assert count is None or len(layout.blocks) == count
    success = [block.success_probability for block in layout.blocks]
    assert success == sorted(success, reverse=True)
    best = BlockFinder(found.target, found.gaps, Blocks(most=1), 3, range(2)).find(PAPER, [0, 1]).blocks
    assert success[-1] >= least_success * best[0].success_probability - 1e-12


def test_a_block_does_what_the_circuit_does():
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 2)
    circuit.ry(0.4, 1)
    circuit.cx(2, 1)
    layout = finder("FakeManilaV2", most=1, separation=0).find(circuit, [0])
    (block,) = layout.blocks
    state = Operator(block.circuit).data[:, 0].reshape([2] * 5).transpose(range(4, -1, -1))  # qubit 0 first
    wanted = Operator(circuit).data[:, 0].reshape([2] * 3).transpose(range(2, -1, -1))
    index = [0] * 5
    for qubit in block.ends:
        index[qubit] = slice(None)
    order = np.argsort(np.argsort(block.ends))
    assert abs(np.vdot(np.transpose(state[tuple(index)], order), wanted)) == pytest.approx(1)


def test_what_cannot_be_used_is_left_out():
    free = finder("FakeMontrealV2", least_success=0.5).find(PAPER, [0, 1])
    broken = free.blocks[0].qubits[1]
    found = finder("FakeMontrealV2", Gaps(qubits={broken: "not operational"}), least_success=0.5).find(PAPER, [0, 1])
    assert all(broken not in block.qubits for block in found.blocks)


def test_a_ring_is_native_on_a_lattice():
    found = finder("FakeNighthawk", most=3)
    layout = found.find(PAPER, [0, 1])
    check(layout, found.target, 1)
    for block in layout.blocks:
        inside = [pair for pair in couplings(found.target) if set(pair) <= set(block.qubits)]
        assert len(inside) == 4, "the four best blocks are squares, which hold the ring"
        on_two = [i for i in block.circuit.data if i.operation.num_qubits == 2 and i.operation.name != "barrier"]
        assert len(on_two) == PAPER.num_nonlocal_gates(), "no gate more than the circuit's own"


@pytest.mark.parametrize("num_qubits", [1, 2, 7, 40])
def test_circuits_of_any_size(num_qubits):
    circuit = QuantumCircuit(num_qubits)
    circuit.h(range(num_qubits))
    for qubit in range(num_qubits - 1):
        circuit.cx(qubit, qubit + 1)
    found = finder("FakeTorino", least_success=0.1)
    layout = found.find(circuit, [0])
    assert len(layout.blocks) == {1: 77, 2: 40, 7: 14, 40: 1}[num_qubits]
    assert layout.is_proven == (num_qubits < 40)
    owner = [qubit for block in layout.blocks for qubit in block.qubits]
    assert len(owner) == len(set(owner))


def test_a_circuit_that_does_not_fit():
    with pytest.raises(BackendError, match="connected qubits"):
        finder("FakeManilaV2").find(QuantumCircuit(6), [0])
    nothing = BlockFinder(Target(num_qubits=3), Gaps(), Blocks(), 1, [0])
    with pytest.raises(BackendError):
        nothing.find(PAPER, [0])
