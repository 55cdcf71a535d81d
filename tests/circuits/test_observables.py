"""What an observable may be: one output each, as ``EstimatorQNN`` and the estimators have them."""

import re

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import StatevectorEstimator
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import Operator, Pauli, PauliList, SparseObservable, SparsePauliOp
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qiskit_fedqml import AerBackend, BroadcastEstimatorQNN, CircuitSpec, quantum_layer
from qiskit_fedqml.circuits.observables import as_observables
from qiskit_fedqml.errors import CircuitError

H = SparsePauliOp(["ZZ", "XX"], [0.5, 0.3])
X, W = Parameter("x"), Parameter("w")


def entangled():
    circuit = QuantumCircuit(2)
    circuit.ry(X, 0)
    circuit.cx(0, 1)
    circuit.ry(W, 1)
    return circuit


@pytest.mark.parametrize(
    "observable",
    [
        H,
        SparseObservable.from_sparse_pauli_op(H),
        Operator(H),
        {"ZZ": 0.5, "XX": 0.3},
        {Pauli("ZZ"): 0.5, Pauli("-XX"): -0.3},
        ObservablesArray(H),
    ],
    ids=lambda observable: type(observable).__name__,
)
def test_one_observable_is_one_output(observable):
    expected = EstimatorQNN(
        circuit=entangled(),
        estimator=StatevectorEstimator(),
        observables=H,
        input_params=[X],
        weight_params=[W],
        default_precision=0.0,
    ).forward([0.7], [0.4])
    roles = {"input_params": [X], "weight_params": [W]}
    for observables in (observable, [observable] if not isinstance(observable, ObservablesArray) else observable):
        spec = CircuitSpec(entangled(), **roles, observables=observables)
        assert spec.num_outputs == 1
        network = quantum_layer(spec, AerBackend("ideal")).neural_network
        np.testing.assert_allclose(network.forward([0.7], [0.4]), expected, atol=1e-10)
        direct = BroadcastEstimatorQNN(
            circuit=entangled(), **roles, observables=observables, backend=AerBackend("ideal")
        )
        np.testing.assert_allclose(direct.forward([0.7], [0.4]), expected, atol=1e-10)


def test_labels_are_those_of_the_estimators():
    assert as_observables("ZI") == (SparsePauliOp("ZI"),)
    assert as_observables(["ZI", "XX"]) == (SparsePauliOp("ZI"), SparsePauliOp("XX"))
    (projector,) = as_observables("0+")
    assert Operator(projector) == Operator.from_label("0+")
    assert as_observables(Pauli("-Z")) == (SparsePauliOp("Z", -1),)


def test_lists_and_arrays_are_several():
    assert as_observables(PauliList(["ZI", "IZ"])) == as_observables(["ZI", "IZ"])
    assert as_observables(ObservablesArray([["ZI", "IZ"], ["XX", "YY"]])) == as_observables(["ZI", "IZ", "XX", "YY"])
    assert as_observables(o for o in ("ZI", H)) == (SparsePauliOp("ZI"), H)


def test_an_operator_has_no_terms_of_rounding():
    rotated = Operator(SparsePauliOp("X")) @ Operator.from_circuit(QuantumCircuit(1)) * 1e6
    assert as_observables(rotated) == (SparsePauliOp("X", 1e6),)


@pytest.mark.parametrize(
    ("observables", "message"),
    [
        (7, "must be an observable (a Pauli label, a mapping from labels to coefficients, a Pauli, SparsePauliOp, "),
        ([H, 7], "or several, but observable 1 is a int"),
        ([["ZI"], ["IZ"]], "but observable 0 is a list"),
        (np.eye(4), "but observable 0 is a ndarray"),
        ("QQ", "Observable 0 cannot be read: "),
        ("", "Observable 0 must act on the circuit's 2 qubits, but acts on 0"),
        ({"ZZ": "much"}, "Observable 0 cannot be read: "),
        ({1: 1.0}, "Observable 0 cannot be read: Invalid observable basis type"),
        (["ZI", "Z"], "Observable 1 must act on the circuit's 2 qubits, but acts on 1"),
        (Operator(np.eye(3)), "Observable 0 must act on qubits, but its matrix has shape (3, 3)"),
        (Operator(np.ones((4, 2))), "Observable 0 must act on qubits, but its matrix has shape (4, 2)"),
        (Operator(np.triu(np.ones((4, 4)))), "Observable 0 must be Hermitian, so with real coefficients, but has "),
        (SparsePauliOp("ZZ", 1j), "Observable 0 must be Hermitian, so with real coefficients, but has 1j"),
        (SparsePauliOp("ZZ", 1e-9j), "must be Hermitian"),
        (Pauli("iZZ"), "must be Hermitian"),
        (SparsePauliOp(["ZZ"], np.array([X])), "Observable 0 must have real, finite coefficients, but has x"),
        (Operator(np.full((4, 4), np.nan)), "Observable 0 must have real, finite coefficients"),
        (SparsePauliOp(["ZZ", "ZZ"], [1, -1]), "Observable 0 must not be zero"),
        ([], "at least one observable"),
    ],
)
def test_what_is_no_observable(observables, message):
    with pytest.raises(CircuitError, match=re.escape(message)):
        CircuitSpec(entangled(), (X,), (W,), observables)


def test_imaginary_rounding_is_no_reason():
    CircuitSpec(entangled(), (X,), (W,), SparsePauliOp(["ZZ", "XX"], [1e6, 1e6 + 1e-9j]))
    CircuitSpec(entangled(), (X,), (W,), SparsePauliOp(["ZZ", "XX", "XX"], [1, 1j, -1j]))
