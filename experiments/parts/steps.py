"""The ways to take a training step of the paper's circuit: by this package, Aer, the stock network and the peers."""

import importlib.util
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit_aer.primitives import EstimatorV2
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN

from parts.timing import CountingEstimator, Step, Way
from qiskit_fedqml import QuantumLayer, paper_circuit, quantum_layer
from qiskit_fedqml.backends.base import Backend
from qiskit_fedqml.backends.broadcast import EstimatorBackend
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.simulation.noise import Noise

SPEC = paper_circuit()
WEIGHTS = np.random.default_rng(0).uniform(-np.pi, np.pi, SPEC.num_weights)
SHOTS = 1024
OURS = "this package, sweeps"
PEERS = {
    "pennylane": "pennylane",
    "pennylane-lightning": "pennylane_lightning",
    "jax": "jax",
    "tensorcircuit-ng": "tensorcircuit",
}
"""The packages of the extra ``benchmark``, and the modules that they are imported as."""
PEERS_APART = {"mindquantum": "mindquantum"}
"""The same of those that no extra can hold: MindQuantum asks for rich 10.9, which it does not need here."""


def installed(*modules: str) -> bool:
    """Return whether these modules can be imported."""
    return all(importlib.util.find_spec(name) is not None for name in modules)


def ideal_steps(inputs: torch.Tensor, repeats: int, stock_repeats: int) -> list[Way]:
    """Return the ways to take the step without noise."""
    stock, single = _aers_estimator(None), _aers_estimator(None)
    ours, aer = _layer_on(AerBackend("ideal", simulator="sweep")), _layer_on(AerBackend("aer", simulator="aer"))
    through_aer = _layer_on(_AersEstimatorOnMachine(single, None))
    of_stock = _step_of_layer(_stock_layer(stock), inputs)
    ways = [
        Way(OURS, _step_of_layer(ours, inputs), repeats),
        Way("this package, Aer", _step_of_layer(aer, inputs), 7),
        Way("this package's network, Aer's EstimatorV2", _step_of_layer(through_aer, inputs), 7, counter=single),
        Way("stock EstimatorQNN, Aer's EstimatorV2", of_stock, stock_repeats, counter=stock),
    ]
    if installed("pennylane", "pennylane_lightning"):
        from parts.peers import pennylane_torch

        for device, method in (("default.qubit", "backprop"), ("lightning.qubit", "adjoint")):
            step = _step_of_function(pennylane_torch(device, method), inputs)
            ways.append(Way(f"PennyLane {device}, {method}", step, 20))
    return ways


def noisy_steps(inputs: torch.Tensor, repeats: int, noise: Noise) -> list[Way]:
    """Return the ways to take the step with gate errors, exactly."""
    single = _aers_estimator(noise)
    ours = _layer_on(AerBackend("noisy", noise, simulator="sweep"))
    aer = _layer_on(AerBackend("aer", noise, simulator="aer"))
    through_aer = _layer_on(_AersEstimatorOnMachine(single, noise))
    ways = [
        Way(OURS, _step_of_layer(ours, inputs), repeats),
        Way("this package, Aer", _step_of_layer(aer, inputs), 5),
        Way("this package's network, Aer's EstimatorV2", _step_of_layer(through_aer, inputs), 3, counter=single),
    ]
    if installed("pennylane"):
        from parts.peers import order_of_angles, pennylane_torch_noisy

        network = ours.neural_network
        function = pennylane_torch_noisy(network.program, order_of_angles(network), noise)
        ways.append(Way("PennyLane default.mixed, backprop", _step_of_function(function, inputs), 10))
    return ways


def sampled_steps(inputs: torch.Tensor, repeats: int, noise: Noise) -> list[Way]:
    """Return the ways to take the step with gate errors, readout error and shots, and the exact one."""
    ways = []
    for name, simulator, count in ((OURS, "sweep", repeats), ("this package, Aer", "aer", 5)):
        layer = _layer_on(AerBackend(simulator, noise, SHOTS, simulator=simulator))
        # From the same seed both simulators draw the same outcomes.
        reseed = partial(layer.neural_network.reseed, 0)
        ways.append(Way(name, _step_of_layer(layer, inputs), count, prepare=reseed))
    exact = _layer_on(AerBackend("exact", noise, simulator="sweep"))
    ways.insert(1, Way(f"{OURS}, exact", _step_of_layer(exact, inputs), repeats, is_compared=False))
    return ways


def kernels(inputs: torch.Tensor, repeats: int, noise: Noise | None) -> list[Way]:
    """Return the ways to get values and Jacobian as arrays from arrays: the sweeps, and what JAX compiles."""
    x, w = inputs.double().numpy(), WEIGHTS
    network = _layer_on(AerBackend("b", noise, simulator="sweep")).neural_network
    ways = [Way(f"{OURS}, double precision", lambda: network.evaluate(x, w, jacobian=True), repeats)]
    if noise is None and installed("mindquantum"):
        from parts.peers import mindquantum_adjoint

        step = partial(mindquantum_adjoint(), x, w)
        ways.append(Way("MindQuantum, adjoint, double precision", step, min(repeats, 100)))
    if not installed("jax", "pennylane", "tensorcircuit"):
        return ways
    from parts import peers

    if noise is None:
        functions = {"PennyLane, JAX": peers.pennylane_jax(), "tensorcircuit-ng, JAX": peers.tensorcircuit_jax()}
    else:
        order = peers.order_of_angles(network)
        functions = {"PennyLane default.mixed, JAX": peers.pennylane_jax_noisy(network.program, order, noise)}
    x32, w32 = x.astype(np.float32), w.astype(np.float32)
    for name, function in functions.items():
        ways.append(Way(f"{name}, single precision", partial(function, x32, w32), min(repeats, 100)))
    return ways


def _layer_on(backend: Backend) -> QuantumLayer:
    return quantum_layer(SPEC, backend, initial_weights=WEIGHTS)


def _aers_estimator(noise: Noise | None) -> CountingEstimator:
    """Return Aer's own estimator, exact, counting; it leaves readout error out."""
    options = {} if noise is None else {"noise_model": noise.model, "method": "density_matrix"}
    return CountingEstimator(EstimatorV2(options={"default_precision": 0.0, "backend_options": options}))


class _AersEstimatorOnMachine(EstimatorBackend):
    """Aer's own estimator behind this package's network, on the circuit as the machine's backend transpiles it."""

    def __init__(self, estimator: BaseEstimatorV2, noise: Noise | None) -> None:
        super().__init__(estimator, 0.0)
        self.machine = AerBackend("machine", noise)

    def transpile(self, circuit: QuantumCircuit) -> QuantumCircuit:
        return self.machine.transpile(circuit)


def _stock_layer(estimator: BaseEstimatorV2) -> TorchConnector:
    """Build the layer as qiskit-machine-learning has it."""
    network = EstimatorQNN(
        circuit=SPEC.circuit,
        estimator=estimator,
        observables=list(SPEC.observables),
        input_params=SPEC.input_params,
        weight_params=SPEC.weight_params,
        gradient=ParamShiftEstimatorGradient(estimator),
        input_gradients=True,
        default_precision=0.0,
    )
    return TorchConnector(network, WEIGHTS)


def _step_of(function: Callable, weight: torch.nn.Parameter, inputs: torch.Tensor) -> Step:
    """Return a step's forward and backward pass by a function of inputs and weight: outputs and gradients."""

    def step() -> tuple[np.ndarray, ...]:
        weight.grad = None
        x = inputs.clone().requires_grad_()
        outputs = function(x, weight)
        outputs.square().sum().backward()
        return outputs.detach().numpy(), x.grad.numpy(), weight.grad.numpy().copy()

    return step


def _step_of_layer(layer: TorchConnector, inputs: torch.Tensor) -> Step:
    """Return the step of a layer, which holds its weight itself."""
    return _step_of(lambda x, _: layer(x), layer.weight, inputs)


def _step_of_function(function: Callable, inputs: torch.Tensor) -> Step:
    """Return the step of a function that is given the weight."""
    return _step_of(function, torch.nn.Parameter(torch.tensor(WEIGHTS, dtype=torch.float)), inputs)
