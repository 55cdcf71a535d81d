"""Sizes that no machine has are refused by arithmetic: at once, and before anything is allocated."""

import re

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparseObservable

from qiskit_fedqml import CircuitSpec, paper_circuit, qcnn_circuit, reuploading_circuit, tree_circuit
from qiskit_fedqml.circuits.sizes import in_words
from qiskit_fedqml.errors import CircuitError

LAYERED = pytest.mark.parametrize("build", [paper_circuit, reuploading_circuit])
HALVED = pytest.mark.parametrize("build", [qcnn_circuit, tree_circuit])
WRONG = [
    ({"num_qubits": 2.5}, "`num_qubits` must be a whole number, but got 2.5"),
    ({"num_qubits": True}, "`num_qubits` must be a whole number, but got True"),
    ({"num_qubits": "4"}, "`num_qubits` must be a whole number, but got '4'"),
    ({"num_qubits": 2**40}, "at most 2,000 qubits, but this one would have 1,099,511,627,776"),
    ({"num_qubits": 10**6000}, "would have about 10^6000"),
    ({"num_outputs": -(10**6000)}, "must be at least 1, but got about -10^6000"),
]


@LAYERED
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *WRONG,
        ({"num_layers": 10**9}, "at most 50,000 gates, but this one would have"),
        ({"num_outputs": 10**9}, "from 1 to the number of qubits (4), but got 1,000,000,000"),
    ],
)
def test_circuits_of_layers(build, arguments, message):
    with pytest.raises(CircuitError, match=re.escape(message)):
        build(**arguments)


@HALVED
@pytest.mark.parametrize(
    ("arguments", "message"), [*WRONG, ({"num_outputs": 10**9}, "the number of outputs (1,000,000,000)")]
)
def test_circuits_that_halve_their_qubits(build, arguments, message):
    with pytest.raises(CircuitError, match=re.escape(message)):
        build(**arguments)


def test_sizes_may_be_numpys():
    assert paper_circuit(np.int64(3), np.int32(1), num_outputs=np.int8(2)).num_weights == 9


def test_a_spec_of_too_many_qubits_gates_or_terms():
    w = Parameter("w")
    with pytest.raises(CircuitError, match="at most 2,000 qubits, but this one would have 2,001"):
        CircuitSpec(QuantumCircuit(2001), (), (), "Z" * 2001)
    circuit = QuantumCircuit(1)
    with circuit.for_loop(range(10**9)), circuit.for_loop(range(10**9)):
        circuit.ry(w, 0)
    with pytest.raises(CircuitError, match="at most 50,000 gates, but this one would have 1,000,000,"):
        CircuitSpec(circuit, (), (w,), "Z")
    circuit = QuantumCircuit(30)
    circuit.ry(w, 0)
    with pytest.raises(CircuitError, match="at most 1,048,576 Pauli terms, but has up to 1,073,741,824"):
        CircuitSpec(circuit, (), (w,), SparseObservable("0" * 30))


def test_long_lists_of_names_are_cut():
    circuit = QuantumCircuit(1)
    for k in range(1000):
        circuit.rx(Parameter(f"w{k:03}"), 0)
    with pytest.raises(CircuitError, match=r"'w009'\] and 990 more have no role"):
        CircuitSpec(circuit, (), (), "Z")


def test_numbers_in_words():
    assert in_words(1234567) == "1,234,567"
    assert in_words(10**4400) == "about 10^4400"
