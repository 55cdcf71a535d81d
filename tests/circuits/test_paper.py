import numpy as np
import pytest

from qiskit_fedqml import paper_circuit
from qiskit_fedqml.errors import CircuitError
from tests.circuits.exact import expectations, idle_weights


def test_one_qubit_closed_form():
    # RY(arctan x) RZ(…) RZ(α) RY(β) RZ(γ): ⟨Z⟩ = cos β cos a − sin β sin a cos(arctan x² + α), a = arctan x.
    spec = paper_circuit(num_qubits=1, num_layers=1, num_outputs=1)
    rng = np.random.default_rng(0)
    for x, alpha, beta, gamma in rng.normal(size=(20, 4)):
        a, b = np.arctan(x), np.arctan(x**2)
        expected = np.cos(beta) * np.cos(a) - np.sin(beta) * np.sin(a) * np.cos(b + alpha)
        assert expectations(spec, [x], [alpha, beta, gamma]) == pytest.approx([expected], abs=1e-12)


def test_encoder_alone_gives_its_closed_form():
    # With all weights 0, one layer of linear CNOTs leaves qubit 0 as it is: ⟨Z0⟩ = cos arctan x0 = 1/√(1 + x0²).
    spec = paper_circuit(num_qubits=3, num_layers=1, entanglement="linear", num_outputs=2)
    x = np.array([0.7, -1.3, 2.0])
    cosines = 1 / np.sqrt(1 + x**2)
    assert expectations(spec, x, np.zeros(9)) == pytest.approx([cosines[0], cosines[0] * cosines[1]], abs=1e-12)


def test_circuit_is_figure_3():
    spec = paper_circuit()
    names = [(i.operation.name, tuple(spec.circuit.find_bit(q).index for q in i.qubits)) for i in spec.circuit.data]
    layer = [("cx", (q, (q + 1) % 4)) for q in range(4)] + [(g, (q,)) for q in range(4) for g in ("rz", "ry", "rz")]
    by_qubit = {q: [n for n, qubits in names if qubits == (q,)] for q in range(4)}
    assert all(gates == ["ry", "rz"] + ["rz", "ry", "rz"] * 2 for gates in by_qubit.values())
    assert [n for n in names if n[0] == "cx"] == [n for n in layer if n[0] == "cx"] * 2
    rotations = [i.operation.params[0] for i in spec.circuit.data if len(i.qubits) == 1][8:]
    assert set(rotations) == set(spec.weight_params)
    in_layer_qubit_order = [
        i.operation.params[0] for q in range(4) for i in spec.circuit.data if i.qubits == (spec.circuit.qubits[q],)
    ]
    weights_of_qubit_1 = [p for p in in_layer_qubit_order if p in spec.weight_params][6:12]
    assert weights_of_qubit_1 == [*spec.weight_params[3:6], *spec.weight_params[15:18]]


def test_nine_weights_cannot_change_the_outputs():
    assert idle_weights(paper_circuit()) == {11, 14, 17, *range(18, 24)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_qubits": 0}, "`num_qubits` must be at least 1, but got 0"),
        ({"num_layers": 0}, "`num_layers` must be at least 1, but got 0"),
        ({"num_outputs": 5}, r"from 1 to the number of qubits \(4\), but got 5"),
        ({"entanglement": "star"}, "'ring' or 'linear', but got 'star'"),
    ],
)
def test_paper_circuit_refuses(arguments, message):
    with pytest.raises(CircuitError, match=message):
        paper_circuit(**arguments)
