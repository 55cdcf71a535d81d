import pytest
from qiskit.circuit import QuantumCircuit

from qiskit_fedqml import paper_circuit
from qiskit_fedqml.backends.layout import lay_out
from qiskit_fedqml.errors import BackendError
from tests.backends.calibrations import READOUT, Change


def places(circuit, change, level=3, **options):
    """Return the qubits of a device that a circuit gets, and the gates on them."""
    calibration = change.calibration
    laid_out = lay_out(circuit, calibration.target, calibration.gaps, optimization_level=level, seed=0, **options)
    gates = {(i.operation.name, tuple(laid_out.find_bit(q).index for q in i.qubits)) for i in laid_out.data}
    return laid_out.layout.final_index_layout(), {g for g in gates if g[0] != "barrier"}


def pair():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    return circuit


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_no_level_takes_a_qubit_that_is_left_out(level):
    change = Change().break_(0)
    ring = paper_circuit().circuit
    qubits, gates = places(ring, change, level)
    assert sorted(qubits) == [1, 2, 3, 4]
    assert all(0 not in on for _, on in gates)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("gates", ["none", "one", "pair", "triangle"])
def test_idle_qubits_are_not_put_where_nothing_works(level, gates):
    circuit = QuantumCircuit(4)
    if gates == "one":
        circuit.x(2)
    elif gates == "pair":
        circuit.cx(2, 1)
    elif gates == "triangle":
        for control, target in ((0, 1), (1, 2), (2, 0)):
            circuit.cx(control, target)
    qubits, _ = places(circuit, Change("FakeNairobiV2").break_(1).drop(2, *READOUT), level)
    assert len(set(qubits)) == 4
    assert {1, 2}.isdisjoint(qubits)


def test_the_coupling_without_published_error_is_not_the_favourite():
    # All others err more than it ever did.
    change = Change().drop_gate(("cx", 3, 4), ("cx", 4, 3))
    before, _ = places(pair(), Change())
    after, gates = places(pair(), change)
    assert sorted(before) == [3, 4]
    assert sorted(after) != [3, 4]
    assert {("cx", (3, 4)), ("cx", (4, 3))}.isdisjoint(gates)


def test_one_direction_of_a_coupling_is_enough():
    circuit = paper_circuit().circuit
    change = Change().drop_gate(*[("cx", q, q + 1) for q in range(4)])
    qubits, gates = places(circuit, change)
    assert len(qubits) == 4
    assert all(first > second for name, (first, *others) in gates if name == "cx" for second in others)


@pytest.mark.parametrize(
    ("change", "num_qubits", "message"),
    [
        (Change(), 6, "It needs 6 qubits, but the device has 5 to use\\."),
        (Change().break_(0), 5, r"the device has 4 to use \(left out: qubit 0 \(not operational\)\)"),
        (Change().break_(2), 4, r"too large .*\(left out: qubit 2 \(not operational\)\)"),
        (Change().drop_everywhere("cx", "gate_error"), 2, r"\(left out: cx on any qubit \(no published error\)\)"),
        (Change().drop_everywhere("sx", "gate_error"), 2, r"\(left out: sx on any qubit \(no published error\)\)"),
    ],
)
@pytest.mark.parametrize("level", [0, 3])
def test_circuits_that_do_not_fit_what_is_left(level, change, num_qubits, message):
    with pytest.raises(BackendError, match=message):
        places(paper_circuit(num_qubits).circuit, change, level)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ([1, 5], "names qubit 5, but the device has qubits 0 to 4"),
        ([-1, 1], "names qubit -1"),
        ([1, 1], "must name 2 different qubits"),
        ([1, 2, 3], "must name 2 different qubits"),
        ([1, None], "must name 2 different qubits"),
        ([True, 2], "must name 2 different qubits"),
        ([0, 1], r"names qubit 0, which is left out \(not operational\)"),
    ],
)
def test_layouts_that_do_not_fit(layout, message):
    with pytest.raises(BackendError, match=f"initial_layout {message}"):
        places(pair(), Change().break_(0), initial_layout=layout)


def test_a_layout_that_fits_is_kept():
    assert places(pair(), Change().break_(0), initial_layout=[2, 1])[0] == [2, 1]
