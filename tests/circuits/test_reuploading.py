import numpy as np
import pytest

from qiskit_fedqml import reuploading_circuit
from qiskit_fedqml.errors import CircuitError
from tests.circuits.exact import expectations, idle_weights


def test_one_qubit_alternates_encoder_and_rotation():
    spec = reuploading_circuit(num_qubits=1, num_layers=3, num_outputs=1)
    rng = np.random.default_rng(0)
    x, weights = rng.normal(), rng.uniform(-3, 3, 9)

    def rz(angle):
        return np.diag(np.exp([-0.5j * angle, 0.5j * angle]))

    def ry(angle):
        c, s = np.cos(angle / 2), np.sin(angle / 2)
        return np.array([[c, -s], [s, c]])

    state = np.array([1, 0])
    for alpha, beta, gamma in weights.reshape(3, 3):
        state = rz(gamma) @ ry(beta) @ rz(alpha) @ rz(np.arctan(x**2)) @ ry(np.arctan(x)) @ state
    assert expectations(spec, [x], weights) == pytest.approx([abs(state[0]) ** 2 - abs(state[1]) ** 2], abs=1e-12)


@pytest.mark.parametrize("entanglement", ["ring", "linear"])
def test_cnots_lead_every_qubit_to_the_first(entanglement):
    # Without weights one layer turns Z0 to the product of all Z: Π cos arctan x = Π 1/√(1 + x²).
    spec = reuploading_circuit(4, 1, entanglement, num_outputs=1)
    x = np.array([0.7, -1.3, 2.0, 0.2])
    assert expectations(spec, x, np.zeros(12)) == pytest.approx([np.prod((1 + x**2) ** -0.5)], abs=1e-12)
    assert spec.circuit.count_ops()["cx"] == {"ring": 4, "linear": 3}[entanglement]


@pytest.mark.parametrize("arguments", [(4, 2), (4, 2, "linear"), (3, 1, "ring", 3), (2, 3)])
def test_only_the_last_rz_of_each_qubit_is_idle(arguments):
    spec = reuploading_circuit(*arguments)
    assert idle_weights(spec) == set(range(spec.num_weights)[-3 * spec.num_inputs :][2::3])


def test_arguments_out_of_range_are_refused():
    with pytest.raises(CircuitError, match=r"from 1 to the number of qubits \(2\), but got 3"):
        reuploading_circuit(2, 1, num_outputs=3)
