"""The layer as a torch module: derivatives of any order, pickles, checkpoints, and the Jacobian of its last answer."""

import copy
import io
import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qiskit_fedqml import CircuitSpec, paper_circuit, quantum_layer
from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.noise import noise_from_rates
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.errors import BackendError, CircuitError

NOISE = noise_from_rates((0.01, 0.02), (0.0, 0.01), (0.02, 0.05))


def cosine_layer(weight):
    """Return a layer that gives cos x · cos w."""
    x, w = Parameter("x"), Parameter("w")
    circuit = QuantumCircuit(1)
    circuit.ry(x, 0)
    circuit.rx(w, 0)
    return quantum_layer(CircuitSpec(circuit, (x,), (w,), "Z"), AerBackend("i"), initial_weights=np.array([weight]))


def test_second_derivatives_are_those_of_the_closed_form():
    a, b = 0.7, 0.4
    layer = cosine_layer(b).double()
    x = torch.tensor([[a]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x).pow(2).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), x, create_graph=True)
    (third,) = torch.autograd.grad(second.sum(), x)
    assert second.item() == pytest.approx(-2 * np.cos(b) ** 2 * np.cos(2 * a))
    assert third.item() == pytest.approx(4 * np.cos(b) ** 2 * np.sin(2 * a))


def test_gradient_penalty_reaches_weights_and_inputs():
    a, b = 0.7, 0.4
    layer = cosine_layer(b).double()
    x = torch.tensor([[a]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x).pow(2).sum(), x, create_graph=True)
    gradient.pow(2).sum().backward()
    assert layer.weight.grad.item() == pytest.approx(-4 * np.sin(2 * a) ** 2 * np.cos(b) ** 3 * np.sin(b))
    assert x.grad.item() == pytest.approx(2 * np.sin(4 * a) * np.cos(b) ** 4)


@pytest.mark.parametrize("noise", [None, NOISE])
def test_papers_circuit_passes_torchs_own_checks_twice(noise):
    spec = paper_circuit(2, 1)
    layer = quantum_layer(spec, AerBackend("b", noise)).double()
    inputs = torch.tensor([[0.3, -0.8], [1.1, 0.2]], dtype=torch.float64, requires_grad=True)
    weight = layer.weight

    def outputs(inputs, weight):
        return torch.func.functional_call(layer, {"weight": weight}, (inputs,))

    assert torch.autograd.gradcheck(outputs, (inputs, weight))
    assert torch.autograd.gradgradcheck(outputs, (inputs, weight))


def test_second_derivatives_on_a_device_are_refused():
    backends = {"backends": {"ideal": {"type": "aer"}, "manila": {"type": "ibm", "device": "FakeManilaV2", "shots": 8}}}
    layer = quantum_layer(paper_circuit(2, 1), BackendRegistry.from_mapping(backends)["manila"])
    inputs = torch.tensor([[0.3, -0.8]], requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(inputs).sum(), inputs, create_graph=True)
    with pytest.raises(BackendError, match="second derivatives would need up to .* circuits for each example"):
        gradient.sum().backward()


def answer(pickled, inputs):
    """Evaluate a pickled layer in this process: values and gradients."""
    layer = pickle.loads(pickled)
    inputs = torch.tensor(inputs, requires_grad=True)
    layer.neural_network.reseed(3)
    outputs = layer(inputs)
    outputs.sum().backward()
    return outputs.detach().numpy(), inputs.grad.numpy(), layer.weight.grad.numpy()


@pytest.mark.parametrize("backend", [AerBackend("ideal"), AerBackend("noisy", NOISE, shots=64)])
def test_pickled_and_copied_layers_give_the_same_bits(backend):
    layer = quantum_layer(paper_circuit(2, 1), backend)
    inputs = [[0.3, -0.8], [1.1, 0.2]]
    expected = answer(pickle.dumps(layer), inputs)
    whole = io.BytesIO()
    torch.save(layer, whole)
    whole.seek(0)
    for other in (copy.deepcopy(layer), torch.load(whole, weights_only=False)):
        assert all(np.array_equal(a, b) for a, b in zip(expected, answer(pickle.dumps(other), inputs)))


@pytest.mark.slow
def test_layer_gives_the_same_bits_in_a_process_of_its_own():
    layer = quantum_layer(paper_circuit(), AerBackend("noisy", NOISE, shots=64))
    inputs = [[0.1, 0.2, 0.3, 0.4]]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(answer, (pickle.dumps(layer), inputs))
    assert all(np.array_equal(a, b) for a, b in zip(there, answer(pickle.dumps(layer), inputs)))


def test_checkpoints_of_the_stock_connector_load():
    x, w = Parameter("x"), Parameter("w")
    circuit = QuantumCircuit(1)
    circuit.ry(x, 0)
    circuit.rx(w, 0)
    network = EstimatorQNN(circuit=circuit, observables=SparsePauliOp("Z"), input_params=[x], weight_params=[w])
    stock = TorchConnector(network, initial_weights=[0.25]).state_dict()
    assert set(stock) == {"weight", "_weights"}
    layer = cosine_layer(1.0)
    layer.load_state_dict(stock)
    assert layer.weight.item() == 0.25
    assert set(layer.state_dict()) == {"weight"}
    with pytest.raises((RuntimeError, CircuitError), match="_weights"):
        layer.load_state_dict({**stock, "_weights": torch.tensor([1.0])})


def test_jacobian_of_the_last_answer_gives_gradients_of_single_examples():
    layer = quantum_layer(paper_circuit(2, 1), AerBackend("noisy", NOISE, shots=64))
    inputs = torch.tensor([[0.3, -0.8], [1.1, 0.2], [0.0, 0.5]])
    layer(inputs).sum().backward()
    asked = layer.neural_network.usage.jobs
    jacobian = layer.jacobian(inputs)
    assert layer.neural_network.usage.jobs == asked
    each = torch.einsum("no,now->nw", torch.ones(3, 2), jacobian[:, :, 2:])
    torch.testing.assert_close(each.sum(dim=0), layer.weight.grad)
    layer.jacobian(inputs + 1)
    assert layer.neural_network.usage.jobs == asked + 1


def test_empty_batch_has_a_gradient_path():
    layer = quantum_layer(paper_circuit(2, 1), AerBackend("ideal"))
    inputs = torch.zeros((0, 2), requires_grad=True)
    outputs = layer(inputs)
    outputs.sum().backward()
    assert outputs.shape == (0, 2)
    assert not layer.weight.grad.any()
    assert layer.jacobian(inputs).shape == (0, 2, 2 + 6)
