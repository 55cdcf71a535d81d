"""Every ansatz through the sweeps: the right values and gradients, on ideal and noisy machines, and no way around."""

import numpy as np
import pytest
from qiskit.primitives import StatevectorEstimator
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qiskit_fedqml import AerBackend, qcnn_circuit, quantum_layer, reuploading_circuit, tree_circuit
from qiskit_fedqml.backends.calibration import fake_calibration
from qiskit_fedqml.backends.noise import noise_from_calibration
from tests.circuits.exact import expectations
from tests.strategies import values

SPECS = {"reuploading": reuploading_circuit(), "qcnn": qcnn_circuit(), "tree": tree_circuit()}
ALL = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def evaluated(spec, backend, batch=2):
    network = quantum_layer(spec, backend).neural_network
    network.reseed(1)
    outputs, jacobian = network.evaluate(*values(spec, batch, 0), jacobian=True)
    assert network.simulator == ("aer" if backend.simulator == "aer" else "sweep")
    return outputs, jacobian


@pytest.mark.parametrize("spec", [*SPECS.values(), qcnn_circuit(8, 2)], ids=[*SPECS, "qcnn of 8"])
def test_derivatives_are_those_of_finite_differences(spec):
    outputs, jacobian = evaluated(spec, AerBackend("ideal", simulator="sweep"), batch=1)
    inputs, weights = values(spec, 1, 0)
    point, step = np.concatenate([inputs[0], weights]), 1e-4

    def at(shift):
        moved = point + shift
        return np.array(expectations(spec, moved[: spec.num_inputs], moved[spec.num_inputs :]))

    # Of fourth order, so that what is left is rounding.
    shifts = step * np.eye(len(point))
    expected = [(8 * (at(s) - at(-s)) - (at(2 * s) - at(-2 * s))) / (12 * step) for s in shifts]
    np.testing.assert_allclose(outputs[0], at(0 * shifts[0]), atol=1e-12)
    np.testing.assert_allclose(jacobian[0], np.transpose(expected), atol=1e-9)


def test_shared_weights_have_the_stock_networks_gradient():
    spec = SPECS["qcnn"]
    stock = EstimatorQNN(
        circuit=spec.circuit,
        estimator=StatevectorEstimator(),
        observables=list(spec.observables),
        input_params=spec.input_params,
        weight_params=spec.weight_params,
        input_gradients=True,
        default_precision=0.0,
    )
    outputs, jacobian = evaluated(spec, AerBackend("ideal"))
    np.testing.assert_allclose(outputs, stock.forward(*values(spec, 2, 0)), atol=1e-10)
    np.testing.assert_allclose(jacobian, np.concatenate(stock.backward(*values(spec, 2, 0)), axis=2), atol=1e-10)


@ALL
def test_noisy_machine_takes_the_sweeps_and_agrees_with_aer(spec):
    noise = noise_from_calibration(fake_calibration("FakeManilaV2"), "FakeManilaV2")
    sweep, aer = (evaluated(spec, AerBackend("m", noise, simulator=s), batch=1) for s in ("sweep", "aer"))
    for ours, theirs in zip(sweep, aer):
        np.testing.assert_allclose(ours, theirs, atol=1e-8)
    shots = 4096
    drawn = evaluated(spec, AerBackend("m", noise, shots, simulator="sweep"), batch=1)
    np.testing.assert_allclose(drawn[0], sweep[0], atol=5 / shots**0.5)
    uses = len([i for i in spec.circuit.data if i.operation.params]) / spec.num_weights
    np.testing.assert_allclose(drawn[1], sweep[1], atol=5 * uses / shots**0.5)
