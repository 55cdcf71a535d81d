"""The layer as a torch module: derivatives of any order, pickles, checkpoints, and the Jacobian of its last answer."""

import copy
import io
import multiprocessing
import pickle

import numpy as np
import pytest
import requests
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qiskit_fedqml import BroadcastEstimatorQNN, CircuitSpec, paper_circuit, quantum_layer
from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.broadcast import EstimatorBackend
from qiskit_fedqml.backends.noise import noise_from_rates
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.errors import BackendError, CircuitError, FedQMLError
from qiskit_fedqml.simulation import memory

NOISE = noise_from_rates((0.01, 0.02), (0.0, 0.01), (0.02, 0.05))


def cosine_layer(weight):
    """Return a layer that gives cos x · cos w."""
    x, w = Parameter("x"), Parameter("w")
    circuit = QuantumCircuit(1)
    circuit.ry(x, 0)
    circuit.rx(w, 0)
    return quantum_layer(CircuitSpec(circuit, (x,), (w,), "Z"), AerBackend("i"), initial_weights=np.array([weight]))


def device_layer():
    backends = {"backends": {"ideal": {"type": "aer"}, "manila": {"type": "ibm", "device": "FakeManilaV2", "shots": 8}}}
    return quantum_layer(paper_circuit(2, 1), BackendRegistry.from_mapping(backends)["manila"])


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
    layer = device_layer()
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


def test_inputs_that_are_data_are_not_shifted():
    layer, other = (quantum_layer(paper_circuit(), AerBackend("ideal")) for _ in range(2))
    layer.inputs_are_data = True
    inputs = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    layer(inputs).sum().backward()
    other(inputs).sum().backward()
    torch.testing.assert_close(layer.weight.grad, other.weight.grad)
    assert layer.neural_network.usage.circuits < other.neural_network.usage.circuits
    torch.testing.assert_close(layer.jacobian(inputs), other.jacobian(inputs))
    needed = inputs.clone().requires_grad_()
    layer(needed).sum().backward()
    torch.testing.assert_close(needed.grad, other.jacobian(inputs)[..., :4].sum(dim=1))


def test_empty_batch_has_a_gradient_path():
    layer = quantum_layer(paper_circuit(2, 1), AerBackend("ideal"))
    inputs = torch.zeros((0, 2), requires_grad=True)
    outputs = layer(inputs)
    outputs.sum().backward()
    assert outputs.shape == (0, 2)
    assert not layer.weight.grad.any()
    assert layer.jacobian(inputs).shape == (0, 2, 2 + 6)


def test_a_layer_on_a_device_is_not_pickled_and_its_copy_shares_the_device():
    layer = device_layer()
    with pytest.raises(BackendError, match="'manila' is a device, .* cannot be pickled; open it again"):
        pickle.dumps(layer)
    twin = copy.deepcopy(layer)
    assert twin.neural_network.backend is layer.neural_network.backend
    assert twin.weight is not layer.weight


class Connected(StatevectorEstimator):
    """An estimator that keeps a session with a service, as those of providers do."""

    def __init__(self):
        super().__init__()
        self.service = [{"client": requests.Session()}]


def test_an_estimator_with_a_connection_is_not_pickled():
    layer = quantum_layer(paper_circuit(2, 1), EstimatorBackend(Connected(), 0.0))
    with pytest.raises(BackendError, match="Estimator Connected holds a connection to a service and cannot be pickled"):
        pickle.dumps(layer)
    network = BroadcastEstimatorQNN(circuit=layer.neural_network.circuit, estimator=Connected(), **roles(layer))
    with pytest.raises(BackendError, match="holds a connection"):
        pickle.dumps(network)


def roles(layer):
    network = layer.neural_network
    return {"input_params": network.input_params, "weight_params": network.weight_params}


def test_a_network_of_any_estimator_is_pickled():
    layer = quantum_layer(paper_circuit(2, 1), EstimatorBackend(StatevectorEstimator(), 0.0))
    inputs = [[0.3, -0.8]]
    there = pickle.loads(pickle.dumps(layer))
    assert there(torch.tensor(inputs)).tolist() == layer(torch.tensor(inputs)).tolist()


def test_hessian_of_weights_and_inputs_together():
    layer = cosine_layer(0.4).double()

    def output(parameters):
        return torch.func.functional_call(layer, {"weight": parameters[1:]}, (parameters[None, :1],)).sum()

    a, b = 0.7, 0.4
    found = torch.autograd.functional.hessian(output, torch.tensor([a, b], dtype=torch.float64))
    expected = [[-np.cos(a) * np.cos(b), np.sin(a) * np.sin(b)], [np.sin(a) * np.sin(b), -np.cos(a) * np.cos(b)]]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_second_derivatives_pass_through_expressions_and_shared_parameters():
    x, w = Parameter("x"), Parameter("w")
    circuit = QuantumCircuit(1)
    circuit.ry(x.arctan() * w, 0)
    circuit.ry(w * w, 0)
    layer = quantum_layer(CircuitSpec(circuit, x, w, "Z"), AerBackend("i"), initial_weights=[0.4]).double()
    inputs = torch.tensor([[0.7]], dtype=torch.float64, requires_grad=True)
    weight = layer.weight.detach().clone().requires_grad_()
    leaves = (inputs, layer.weight), (inputs, weight)
    outputs = [layer(inputs), torch.cos(torch.atan(inputs) * weight + weight**2)]
    for order in range(3):
        np.testing.assert_allclose(*(o.detach() for o in outputs), atol=1e-10, err_msg=f"order {order}")
        gradients = [torch.autograd.grad(o.sum(), of, create_graph=True) for o, of in zip(outputs, leaves)]
        outputs = [by_input.sum() + by_weight.pow(2).sum() for by_input, by_weight in gradients]


def test_second_derivatives_are_estimated_from_shots_without_bias():
    layer = cosine_layer(0.4)
    circuit = layer.neural_network
    shots = AerBackend("shots", shots=4096)
    spec = CircuitSpec(circuit.circuit, circuit.input_params, circuit.weight_params, "Z")
    noisy = quantum_layer(spec, shots, initial_weights=[0.4])
    noisy.neural_network.reseed(1)
    inputs = torch.full((400, 1), 0.7, requires_grad=True)
    (gradient,) = torch.autograd.grad(noisy(inputs).sum(), inputs, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), inputs)
    assert second.mean().item() == pytest.approx(-np.cos(0.7) * np.cos(0.4), abs=5 / np.sqrt(4096 * 400))
    assert second.std() > 0


def test_cost_of_a_second_derivative():
    """The gradient with respect to the inputs has 8 angles of the paper's circuit as its direction."""
    layer = quantum_layer(paper_circuit(), AerBackend("i"))
    inputs = torch.linspace(-1, 2, 8).reshape(2, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(layer(inputs).sum(), inputs, create_graph=True)
    before = layer.neural_network.usage.copy()
    gradient.pow(2).sum().backward()
    used = layer.neural_network.usage - before
    assert (used.jobs, used.circuits) == (1, 2 * 2 * 8 * (1 + 2 * 26))


def test_second_derivatives_of_frozen_weights_shift_inputs_alone():
    a, b = 0.7, 0.4
    layer = cosine_layer(b).requires_grad_(False)
    inputs = torch.tensor([[a]], requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(inputs).sum(), inputs, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), inputs)
    assert second.item() == pytest.approx(-np.cos(a) * np.cos(b), abs=1e-6)
    assert layer.neural_network.usage.circuits == 3 + 2 * 3


def test_outputs_have_the_weights_precision():
    layer = cosine_layer(0.4)
    assert layer(torch.tensor([[0.7]], dtype=torch.float64)).dtype == torch.float32
    outputs = layer.double()(torch.tensor([[0.7]]))
    assert outputs.dtype == torch.float64
    a, b = (float(np.float32(value)) for value in (0.7, 0.4))
    assert outputs.item() == pytest.approx(np.cos(a) * np.cos(b), abs=1e-12)


def test_complex_values_are_refused():
    layer = cosine_layer(0.4)
    with pytest.raises(CircuitError, match=r"inputs must be real, but are of torch\.complex64"):
        layer(torch.tensor([[0.7 + 0j]]))
    spec = paper_circuit(1, 1, num_outputs=1)
    for weights in (torch.zeros(3, dtype=torch.complex64), np.zeros(3, dtype=complex), ["a", "b", "c"]):
        with pytest.raises(CircuitError, match="`initial_weights` must be real numbers"):
            quantum_layer(spec, AerBackend("i"), initial_weights=weights)


def test_the_weights_have_one_name_however_they_are_replaced():
    layer = cosine_layer(0.4)
    layer.load_state_dict({"weight": torch.tensor([0.5])}, assign=True)
    assert layer._weights is layer.weight is dict(layer.named_parameters())["weight"]
    assert dict(layer.named_parameters()).keys() == {"weight"}
    (layer,) = (pickle.loads(pickle.dumps(layer)),)
    assert layer._weights is layer.weight


def test_conflicting_names_are_an_error_in_a_model_too():
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), cosine_layer(0.4))
    state = model.state_dict()
    model.load_state_dict({**state, "1._weights": state["1.weight"]})
    model.load_state_dict({k: v for k, v in state.items() if k != "1.weight"} | {"1._weights": torch.tensor([0.6])})
    assert model[1].weight.item() == pytest.approx(0.6)
    with pytest.raises(FedQMLError, match="1.weight and 1._weights, which are two names of the same weights"):
        model.load_state_dict({**state, "1._weights": torch.tensor([7.0])})


def test_third_derivatives_that_memory_cannot_hold(monkeypatch):
    layer = cosine_layer(0.4)
    inputs = torch.tensor([[0.7]], requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(inputs).sum(), inputs, create_graph=True)
    monkeypatch.setattr(memory, "memory_bytes", lambda: 63)
    with pytest.raises(BackendError, match="Derivatives of third order .* would take 64 bytes of memory, and"):
        torch.autograd.grad(gradient.sum(), inputs, create_graph=True)
    torch.autograd.grad(gradient.sum(), inputs)
