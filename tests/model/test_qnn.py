import copy

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, StatevectorEstimator
from qiskit.quantum_info import SparseObservable, SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.exceptions import QiskitMachineLearningError
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qiskit_fedqml import BroadcastEstimatorQNN, CircuitSpec, paper_circuit, quantum_layer
from qiskit_fedqml.backends.broadcast import EstimatorBackend
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.errors import CircuitError, TrainingError
from tests.strategies import circuit_specs, values

EXACT = EstimatorBackend(StatevectorEstimator(), 0.0)


class CountingEstimator(BaseEstimatorV2):
    """The reference estimator, which counts what it is asked."""

    def __init__(self):
        self.pubs_of_job, self.precisions = [], []
        self.inner = StatevectorEstimator()

    def run(self, pubs, *, precision=None):
        pubs = list(pubs)
        self.pubs_of_job.append(len(pubs))
        self.precisions.append(precision)
        return self.inner.run(pubs, precision=0.0)


def both(spec, **options):
    arguments = {
        "circuit": spec.circuit,
        "observables": list(spec.observables),
        "input_params": spec.input_params,
        "weight_params": spec.weight_params,
        "default_precision": 0.0,
        **options,
    }
    return (
        BroadcastEstimatorQNN(**arguments, estimator=StatevectorEstimator()),
        EstimatorQNN(**arguments, estimator=StatevectorEstimator()),
    )


def assert_same(ours, stock):
    assert (ours is None) == (stock is None)
    if stock is not None:
        assert ours.shape == stock.shape
        assert ours.dtype == stock.dtype
        np.testing.assert_allclose(ours, stock, atol=1e-10)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spec=circuit_specs(), batch=st.integers(1, 2), input_gradients=st.booleans(), seed=st.integers(0, 99))
def test_equals_stock_on_random_circuits(spec, batch, input_gradients, seed):
    ours, stock = both(spec, input_gradients=input_gradients)
    inputs, weights = values(spec, batch, seed)
    inputs = inputs if spec.num_inputs else None
    weights = weights if spec.num_weights else None
    if inputs is None and weights is None:
        assert_same(ours._forward(None, None), _reference(spec))  # the stock network fails without any parameter
        return
    assert_same(ours.forward(inputs, weights), stock.forward(inputs, weights))
    for a, b in zip(ours.backward(inputs, weights), stock.backward(inputs, weights), strict=True):
        assert_same(a, b)


def _reference(spec):
    pubs = [(spec.circuit, o) for o in spec.observables]
    return np.array([[float(r.data.evs) for r in StatevectorEstimator().run(pubs, precision=0.0).result()]])


def test_equals_stock_on_the_paper_circuit_in_all_shapes():
    ours, stock = both(paper_circuit(), input_gradients=True)
    rng = np.random.default_rng(0)
    weights = rng.uniform(-3, 3, 24)
    for shape in ((4,), (1, 4), (2, 4), (2, 1, 4)):
        x = rng.normal(size=shape)
        assert_same(ours.forward(x, weights), stock.forward(x, weights))
        for a, b in zip(ours.backward(x, weights), stock.backward(x, weights), strict=True):
            assert_same(a, b)


@pytest.mark.parametrize(
    ("x", "w"), [(np.zeros((2, 3)), np.zeros(24)), (np.zeros((2, 4)), np.zeros(5)), (np.zeros(3), None)]
)
def test_bad_shapes_raise_as_stock_does(x, w):
    raised = []
    for network in both(paper_circuit()):
        with pytest.raises(Exception) as caught:
            network.forward(x, w)
        raised.append(caught.type)
    assert issubclass(raised[0], raised[1])


def test_observables_default_to_z_on_all_qubits():
    spec = paper_circuit(num_qubits=2, num_layers=1, num_outputs=1)
    ours, stock = (network for network in both(spec, observables=None))
    x, w = values(spec, 2, 0)
    assert_same(ours.forward(x, w), stock.forward(x, w))


def test_pass_manager_as_stock():
    manager = generate_preset_pass_manager(1, basis_gates=["rz", "sx", "x", "cx"])
    spec = paper_circuit(num_qubits=2, num_layers=1, num_outputs=1)
    ours, stock = both(spec, pass_manager=manager, input_gradients=True)
    x, w = values(spec, 2, 0)
    assert_same(ours.forward(x, w), stock.forward(x, w))
    for a, b in zip(ours.backward(x, w), stock.backward(x, w), strict=True):
        assert_same(a, b)


def test_given_gradient_is_used():
    spec = paper_circuit(num_qubits=2, num_layers=1, num_outputs=1)
    ours, stock = (
        both(spec, gradient=ParamShiftEstimatorGradient(StatevectorEstimator(default_precision=0.0)))[k] for k in (0, 1)
    )
    x, w = values(spec, 1, 0)
    assert_same(ours.backward(x, w)[1], stock.backward(x, w)[1])
    assert ours.usage.jobs == 0


def test_training_step_is_one_pub_in_one_job():
    estimator = CountingEstimator()
    layer = quantum_layer(paper_circuit(), EstimatorBackend(estimator, 0.01))
    x = torch.randn(8, 4, requires_grad=True)
    layer(x).sum().backward()
    assert estimator.pubs_of_job == [1]
    assert estimator.precisions == [0.01]
    usage = layer.neural_network.usage
    assert (usage.jobs, usage.circuits) == (1, 8 * (1 + 2 * 26))  # two commuting observables share each circuit
    assert usage.executions == usage.circuits * 10_000


@pytest.mark.parametrize("case", ["no_grad", "nothing requires grad"])
def test_values_alone_where_no_gradient_is_wanted(case):
    layer = quantum_layer(paper_circuit(), EXACT)
    before = layer.neural_network.usage.copy()
    if case == "no_grad":
        with torch.no_grad():
            layer(torch.randn(3, 4))
    else:
        layer.requires_grad_(False)
        layer(torch.randn(3, 4))
    assert (layer.neural_network.usage - before).circuits == 3


def test_gradients_through_torch_match_the_stock_connector():
    spec = paper_circuit()
    _, stock = both(spec, input_gradients=True)
    weights = np.random.default_rng(3).uniform(-3, 3, 24)
    layers = [quantum_layer(spec, EXACT, initial_weights=weights), TorchConnector(stock, weights)]
    grads = []
    for layer in layers:
        x = torch.linspace(-1, 1, 8).reshape(2, 4).requires_grad_()
        out = layer(x)
        (out**2).sum().backward()
        grads.append((out.detach(), x.grad, layer.weight.grad))
    for a, b in zip(*grads, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_two_forwards_before_one_backward():
    layer = quantum_layer(paper_circuit(num_qubits=2, num_layers=1), EXACT)
    x, y = torch.randn(2, 2), torch.randn(3, 2)
    (layer(x).sum() + 2 * layer(y).sum()).backward()
    together = layer.weight.grad.clone()
    layer.weight.grad = None
    layer(x).sum().backward()
    (2 * layer(y).sum()).backward()
    torch.testing.assert_close(together, layer.weight.grad)


def test_empty_batch_has_a_gradient_path_and_runs_nothing():
    estimator = CountingEstimator()
    layer = quantum_layer(paper_circuit(), EstimatorBackend(estimator, 0.0))
    x = torch.zeros(0, 4, requires_grad=True)
    out = layer(x)
    out.sum().backward()
    assert out.shape == (0, 2)
    assert x.grad.shape == (0, 4)
    assert torch.equal(layer.weight.grad, torch.zeros(24))
    assert layer.neural_network.backward(np.zeros((0, 4)), np.zeros(24))[1] is None
    assert estimator.pubs_of_job == []


def test_state_dict_holds_the_weights_once_and_copies_stay_independent():
    layer = quantum_layer(paper_circuit(), EXACT)
    assert isinstance(layer, TorchConnector)
    assert list(layer.state_dict()) == ["weight"]
    twin = copy.deepcopy(layer)
    twin.load_state_dict({"weight": torch.zeros(24)})
    assert float(twin._weights.detach().abs().sum()) == 0
    assert float(layer.weight.detach().abs().sum()) > 0
    assert float(layer.weight.detach().abs().max()) <= np.pi


def test_single_example_and_more_dimensions():
    layer = quantum_layer(paper_circuit(), EXACT)
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(layer(x)[1, 2], layer(x[1, 2]))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(value):
    layer = quantum_layer(paper_circuit(), EXACT)
    with pytest.raises(QiskitMachineLearningError, match="finite"):
        layer(torch.full((1, 4), value))


def test_angle_that_is_not_finite_is_refused():
    x = Parameter("x")
    circuit = QuantumCircuit(1)
    circuit.rx(x.arcsin(), 0)
    layer = quantum_layer(CircuitSpec(circuit, (x,), (), (SparsePauliOp("Z"),)), EXACT)
    with pytest.raises(TrainingError, match="Angles must be finite"):
        layer(torch.tensor([[2.0]]))


def test_no_inputs_and_empty_batches_of_any_shape():
    w = Parameter("w")
    circuit = QuantumCircuit(1)
    circuit.ry(w, 0)
    layer = quantum_layer(CircuitSpec(circuit, (), (w,), (SparsePauliOp("Z"),)), EXACT, initial_weights=[0.4])
    torch.testing.assert_close(layer(torch.zeros(3, 0)), torch.full((3, 1), float(np.cos(0.4))))
    assert quantum_layer(paper_circuit(), EXACT)(torch.zeros(2, 0, 4)).shape == (2, 0, 2)


def test_sparse_observables_and_torch_weights():
    spec = paper_circuit(num_qubits=2, num_layers=1)
    observables = [SparseObservable.from_sparse_pauli_op(o) for o in spec.observables]
    ours, stock = both(spec, observables=observables)
    x, w = values(spec, 2, 0)
    assert_same(ours.forward(x, w), stock.forward(x, w))
    layer = quantum_layer(spec, EXACT)
    twin = quantum_layer(spec, EXACT, initial_weights=layer.weight)
    assert torch.equal(twin.weight, layer.weight)
    assert twin.weight is not layer.weight


def test_what_measures_nothing_is_not_counted():
    x = Parameter("x")
    circuit = QuantumCircuit(1)
    circuit.rx(x, 0)
    layer = quantum_layer(CircuitSpec(circuit, (x,), (), (SparsePauliOp("I"),)), AerBackend("a", shots=10))
    assert torch.equal(layer(torch.zeros(5, 1)), torch.ones(5, 1))
    assert layer.neural_network.usage.executions == 0


def test_each_example_has_its_own_shots_also_without_parameters():
    circuit = QuantumCircuit(1)
    circuit.h(0)
    layer = quantum_layer(CircuitSpec(circuit, (), (), (SparsePauliOp("Z"),)), AerBackend("a", shots=1000))
    out = layer(torch.zeros(6, 0))
    assert len(set(out.flatten().tolist())) > 1
    assert layer.neural_network.usage.executions == 6000


def test_wrong_arguments():
    spec = paper_circuit()
    with pytest.raises(QiskitMachineLearningError, match=r"Received \(2, 3\) and expected \(…, 4\)"):
        quantum_layer(spec, EXACT)(torch.zeros(2, 3))
    with pytest.raises(CircuitError, match=r"shape \(24,\), but got \(3,\)"):
        quantum_layer(spec, EXACT, initial_weights=np.zeros(3))
    with pytest.raises(ValueError, match="`backend` must come without"):
        BroadcastEstimatorQNN(circuit=spec.circuit, backend=EXACT, estimator=StatevectorEstimator())


def test_gate_outside_the_light_cone_is_not_shifted_and_gives_zero():
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.rx(a, 0)
    circuit.rx(b, 1)
    network = BroadcastEstimatorQNN(
        circuit=circuit,
        estimator=StatevectorEstimator(),
        observables=SparsePauliOp("IZ"),
        weight_params=[a, b],
        default_precision=0.0,
    )
    _, gradient = network.backward(None, [0.3, 0.4])
    np.testing.assert_allclose(gradient, [[[-np.sin(0.3), 0.0]]], atol=1e-12)
    assert network.usage.circuits == 3
