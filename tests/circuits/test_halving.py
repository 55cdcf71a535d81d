"""QCNN and tree: what they share, and what each of them is."""

from collections import Counter

import numpy as np
import pytest

from qiskit_fedqml import qcnn_circuit, tree_circuit
from qiskit_fedqml.circuits.halving import kept_qubits
from qiskit_fedqml.errors import CircuitError
from tests.circuits.exact import expectations, idle_weights, jacobian

BOTH = pytest.mark.parametrize("build", [qcnn_circuit, tree_circuit])


def test_the_first_of_each_pair_is_kept_until_the_outputs_are_left():
    assert kept_qubits(8, 2) == [[0, 1, 2, 3, 4, 5, 6, 7], [0, 2, 4, 6], [0, 4]]
    assert kept_qubits(8, 3)[-1] == [0, 2, 4, 6]
    assert kept_qubits(2, 1)[-1] == [0]


@BOTH
@pytest.mark.parametrize(
    ("num_qubits", "num_outputs", "message"),
    [
        (6, 2, r"power of two and at least twice the number of outputs \(2\).*but got 6"),
        (4, 4, r"power of two and at least twice the number of outputs \(4\).*but got 4"),
        (1, 1, "but got 1"),
        (0, 1, "but got 0"),
        (4, 0, "`num_outputs` must be at least 1, but got 0"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(build, num_qubits, num_outputs, message):
    with pytest.raises(CircuitError, match=message):
        build(num_qubits, num_outputs)


@BOTH
@pytest.mark.parametrize(("num_qubits", "num_outputs"), [(2, 1), (4, 1), (4, 2), (8, 2), (8, 4)])
def test_no_weight_is_idle(build, num_qubits, num_outputs):
    assert idle_weights(build(num_qubits, num_outputs)) == set()


def test_weights_that_lead_to_an_unmeasured_qubit_alone_are_idle():
    assert idle_weights(qcnn_circuit(8, 3)) == {14, 15}
    assert idle_weights(tree_circuit(8, 3)) == {*range(12, 16), 22, 23}


@BOTH
def test_pooling_is_a_deferred_measurement(build):
    # A discarded qubit last controls a CNOT; dephasing it before, which is to measure it there, changes no output.
    spec = build(8, 2)
    rng = np.random.default_rng(2)
    point = rng.normal(size=8), rng.uniform(-3, 3, spec.num_weights)
    dephased = spec.circuit.copy()
    for qubit in {*range(8)} - {0, 4}:
        data = dephased.data
        last = max(i for i, instruction in enumerate(data) if dephased.qubits[qubit] in instruction.qubits)
        assert data[last].operation.name == "cx"
        assert data[last].qubits[0] == dephased.qubits[qubit]
        changed = dephased.copy_empty_like()
        for i, instruction in enumerate(data):
            if i == last:
                changed.z(qubit)
            changed.append(instruction)
        dephased = changed
    assert expectations(spec, *point, dephased) == pytest.approx(expectations(spec, *point), abs=1e-12)


def test_tree_without_weights_multiplies_the_inputs_of_each_root():
    # Each CNOT turns Z of the kept qubit to ZZ of both: Π cos arctan x = Π 1/√(1 + x²) over a tree's inputs.
    spec = tree_circuit(8, 2)
    x = np.random.default_rng(3).normal(size=8)
    cosines = 1 / np.sqrt(1 + x**2)
    assert expectations(spec, x, np.zeros(28)) == pytest.approx([cosines[:4].prod(), cosines[4:].prod()], abs=1e-12)


def test_each_block_of_a_tree_has_its_own_weights_and_each_root_its_own_inputs():
    spec = tree_circuit(8, 2)
    assert set(uses_of_weights(spec)) == {1}
    depends = np.abs(jacobian(spec)).max(axis=0) > 1e-12
    assert depends[:, :8].tolist() == [[True] * 4 + [False] * 4, [False] * 4 + [True] * 4]
    assert not (depends[0] & depends[1]).any()


def test_qcnn_shares_weights_within_a_layer():
    # Convolution on rings of 8 and of 4 pairs, pooling of 4 and of 2, two qubits left.
    assert uses_of_weights(qcnn_circuit(8, 2)) == [8] * 4 + [4] * 4 + [4] * 4 + [2] * 4 + [1] * 4
    assert uses_of_weights(qcnn_circuit(2, 1)) == [1] * 10  # two qubits are one pair
    circuit = qcnn_circuit(4, 2).circuit
    pairs = [tuple(circuit.find_bit(q).index for q in i.qubits) for i in circuit.data if i.operation.name == "cx"]
    assert pairs == [(0, 1), (2, 3), (1, 2), (3, 0), (1, 0), (3, 2), (0, 2), (2, 0)]


def uses_of_weights(spec):
    uses = Counter(i.operation.params[0] for i in spec.circuit.data if i.operation.params)
    return [uses[w] for w in spec.weight_params]
