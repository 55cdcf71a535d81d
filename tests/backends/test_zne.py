import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.circuit import Gate, Parameter, QuantumCircuit
from qiskit.quantum_info import Operator

from qiskit_fedqml.backends.zne import extrapolated, folded
from qiskit_fedqml.errors import BackendError


def test_gates_on_several_qubits_are_folded_and_the_unitary_stays():
    angle = Parameter("a")
    circuit = QuantumCircuit(3, global_phase=0.3, metadata={"kept": 1})
    circuit.sx(0)
    circuit.cx(0, 1)
    circuit.barrier()
    circuit.rzz(angle, 1, 2)
    circuit.ccx(0, 1, 2)
    larger = folded(circuit, 5)
    assert larger.count_ops() == {"sx": 1, "cx": 5, "barrier": 1, "rzz": 5, "ccx": 5}
    assert larger.metadata == {"kept": 1}
    assert Operator(larger.assign_parameters({angle: 0.7})) == Operator(circuit.assign_parameters({angle: 0.7}))
    assert folded(circuit, 1) == circuit


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (None, "no gates on several qubits to fold"),
        ("iswap", "'iswap' cannot be folded, for its inverse is another gate, 'iswap_dg'"),
        ("own", "'own' cannot be folded, for it has no inverse"),
    ],
)
def test_what_cannot_be_folded(gate, message):
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    if gate == "iswap":
        circuit.iswap(0, 1)
    if gate == "own":
        circuit.append(Gate("own", 2, []), [0, 1])
    with pytest.raises(BackendError, match=message):
        folded(circuit, 3)


@pytest.mark.parametrize("factors", [(1, 3), (1, 3, 5), (3, 7, 9, 11)])
@pytest.mark.parametrize("extrapolator", ["linear", "exponential"])
def test_a_law_of_its_own_kind_is_found(factors, extrapolator):
    """Values of several outputs at several samples, as they fade by their own rates to constants of their own."""
    heights, rates, constants = np.array([[0.8, -0.5], [0.1, -1.0]]), np.array([[0.1, 0.05], [0.0, 0.06]]), [0.5, -2.0]
    x = np.array(factors)[:, None, None]
    signal = heights * (np.exp(-rates * x) if extrapolator == "exponential" else 1 - rates * x / 2)
    zero = extrapolated(signal + constants, factors, extrapolator, np.array(constants))
    np.testing.assert_allclose(zero, heights + constants, atol=1e-12)


@pytest.mark.parametrize("values", [(0.02, -0.01), (0.1, 0.2), (0.3, 0.0), (0.0, 0.0), (0.4, 0.09), (0.02, 1e-9)])
def test_no_exponential_where_the_data_are_none(values):
    assert extrapolated(np.array(values), (1, 3), "exponential") == pytest.approx(1.5 * values[0] - 0.5 * values[1])


@given(st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=3, max_size=3))
def test_an_exponential_stays_within_twice_the_values(values):
    line = extrapolated(np.array(values), (1, 3, 5), "linear")
    zero = extrapolated(np.array(values), (1, 3, 5), "exponential")
    assert np.isfinite(zero)
    assert zero == line or abs(zero) <= 2 * max(map(abs, values)) * (1 + 1e-9)
