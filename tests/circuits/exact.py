"""Circuits evaluated by Qiskit's state vectors, and which of their weights matter."""

import numpy as np
from qiskit.quantum_info import Statevector

from qiskit_fedqml import AerBackend, quantum_layer


def expectations(spec, inputs, weights, circuit=None):
    parameters = (*spec.input_params, *spec.weight_params)
    bound = (circuit or spec.circuit).assign_parameters(dict(zip(parameters, (*inputs, *weights))))
    state = Statevector(bound)
    return [state.expectation_value(o).real for o in spec.observables]


def jacobian(spec, num_points=20):
    """Return derivatives at random points, shape (points, outputs, inputs + weights)."""
    rng = np.random.default_rng(1)
    network = quantum_layer(spec, AerBackend("ideal")).neural_network
    inputs, weights = rng.normal(size=(num_points, spec.num_inputs)), rng.uniform(-3, 3, spec.num_weights)
    return network.evaluate(inputs, weights, jacobian=True)[1]


def idle_weights(spec):
    """Return the weights by which no output changes."""
    return set(np.flatnonzero(np.abs(jacobian(spec)[:, :, spec.num_inputs :]).max(axis=(0, 1)) < 1e-12))
