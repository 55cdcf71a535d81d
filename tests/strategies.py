"""Random parameterised circuits, for tests by property."""

import numpy as np
from hypothesis import strategies as st
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.circuits.spec import CircuitSpec

ONE_QUBIT = ("rx", "ry", "rz", "p")
TWO_QUBIT = ("rxx", "ryy", "rzz", "rzx", "crx", "cry", "crz", "cp")
FIXED = ("h", "s", "sx", "cx", "cz", "swap")


@st.composite
def circuit_specs(draw, max_qubits=3, max_gates=7):
    """Draw circuits of all supported gates, with repeated parameters, expressions, and any Pauli observables."""
    num_qubits = draw(st.integers(1, max_qubits))
    inputs = [Parameter(f"in{i}") for i in range(draw(st.integers(0, 2)))]
    weights = [Parameter(f"we{i}") for i in range(draw(st.integers(0, 3)))]
    circuit = QuantumCircuit(num_qubits)
    for _ in range(draw(st.integers(1, max_gates))):
        _append_gate(draw, circuit, inputs + weights)
    used = set(circuit.parameters)
    labels = st.text("IXYZ", min_size=num_qubits, max_size=num_qubits)
    terms = st.lists(
        st.tuples(labels, st.floats(0.1, 2).flatmap(lambda c: st.sampled_from([c, -c]))), min_size=1, max_size=3
    )
    operators = terms.map(SparsePauliOp.from_list).filter(
        lambda o: len(o.simplify()) > 1 or abs(o.simplify().coeffs[0]) > 0
    )
    observables = draw(st.lists(operators, min_size=1, max_size=3))
    return CircuitSpec(
        circuit, tuple(p for p in inputs if p in used), tuple(p for p in weights if p in used), tuple(observables)
    )


def _append_gate(draw, circuit, parameters):
    names = [*ONE_QUBIT, *("h", "s", "sx")] if circuit.num_qubits == 1 else [*ONE_QUBIT, *TWO_QUBIT, *FIXED]
    name = draw(st.sampled_from(names))
    qubits = draw(st.permutations(range(circuit.num_qubits)))
    num_qubits = 1 if name in (*ONE_QUBIT, "h", "s", "sx") else 2
    angle = [_angle(draw, parameters)] if name in ONE_QUBIT + TWO_QUBIT else []
    getattr(circuit, name)(*angle, *qubits[:num_qubits])


def _angle(draw, parameters):
    if not parameters:
        return draw(st.floats(-3, 3))
    p, q = draw(st.sampled_from(parameters)), draw(st.sampled_from(parameters))
    forms = [p, 2 * p + 0.3, p.arctan(), (p * p).arctan(), p * q, p.sin() + q, -p]
    return draw(st.sampled_from(forms))


def values(spec, batch, seed):
    """Draw inputs (batch, inputs) and weights (weights,)."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, spec.num_inputs)), rng.normal(size=spec.num_weights)
