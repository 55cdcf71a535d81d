import io
from functools import partial

import numpy as np
import pytest
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import UnitaryGate

from qiskit_fedqml import CircuitSpec
from qiskit_fedqml.circuits.digest import circuit_digest
from qiskit_fedqml.circuits.qpy_files import read_circuit, write_circuit
from qiskit_fedqml.config.circuit import QpyCircuit
from qiskit_fedqml.errors import ConfigurationError


def spec(angle=0.5, observables=("IZ", {"ZI": 0.25, "XX": 0.5}), gate=None, swapped=False):
    x, w = ParameterVector("x", 12), Parameter("w")
    circuit = QuantumCircuit(2)
    for position, value in enumerate(x):
        circuit.ry(value * w, position % 2)
    circuit.rz(angle, 0)
    circuit.append(UnitaryGate(np.eye(4)) if gate is None else gate, [0, 1])
    return CircuitSpec(circuit, *(((w,), tuple(x)) if swapped else (tuple(x), (w,))), observables)


def test_a_circuit_is_read_as_it_was_written(tmp_path):
    written = write_circuit(spec(), tmp_path / "circuit.qpy")
    assert written.observables == ("IZ", {"ZI": 0.25, "XX": 0.5})
    assert circuit_digest(read_circuit(written)) == circuit_digest(spec())


def test_a_vector_is_named_as_a_whole_in_the_order_of_its_elements(tmp_path):
    write_circuit(spec(), tmp_path / "circuit.qpy")
    config = QpyCircuit(qpy=str(tmp_path / "circuit.qpy"), inputs="x", weights="w", observables=("IZ", "ZI"))
    assert [p.name for p in read_circuit(config).input_params] == [f"x[{k}]" for k in range(12)]


@pytest.mark.parametrize(
    "other",
    [
        partial(spec, angle=0.6),
        partial(spec, observables=("IZ", "ZI")),
        partial(spec, gate=UnitaryGate(np.diag([1, 1, 1, -1]))),
        partial(spec, swapped=True),
    ],
)
def test_another_circuit_has_another_digest(other):
    assert circuit_digest(other()) != circuit_digest(spec())


def dumped(*circuits, version=None):
    content = io.BytesIO()
    qpy.dump(list(circuits), content, **({} if version is None else {"version": version}))
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a QPY file"),
        (b"QISKIT", "is not a QPY file"),
        (b"no circuit", "is not a QPY file"),
        (b"QISKIT\x0c" + 40 * b"\0", "of version 12, which cannot be read safely"),
        (dumped(spec().circuit)[:200], "is damaged, or not of this Qiskit"),
        (dumped(spec().circuit, spec().circuit), "must hold one circuit, but holds 2"),
        (dumped(QuantumCircuit(2)), "inputs has the parameter 'x'; there is none"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, content, message):
    (tmp_path / "circuit.qpy").write_bytes(content)
    config = QpyCircuit(qpy=str(tmp_path / "circuit.qpy"), inputs="x", weights="w", observables=("IZ",))
    with pytest.raises(ConfigurationError, match=message):
        read_circuit(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": ("x", "x[0]")}, r"Each parameter must have one role"),
        ({"weights": ()}, r"\['w'\] have no role"),
        ({"observables": ("ZZZ",)}, "Observable 0 must act on the circuit's 2 qubits"),
        ({"qpy": "/dev/zero"}, "it is not a file"),
        ({"qpy": "nowhere.qpy"}, "No such file"),
    ],
)
def test_roles_that_do_not_fit_are_refused(tmp_path, change, message):
    written = write_circuit(spec(), tmp_path / "circuit.qpy")
    with pytest.raises(ConfigurationError, match=message):
        read_circuit(written.model_copy(update=change))
