"""Circuits of the user's own in QPY files, Qiskit's format, written and read; what is older than version 13 is not.

Qiskit reads expressions of older files by evaluating or unpickling what they hold (CVE-2025-2000).
"""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter, ParameterVectorElement
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.circuit import Observable, QpyCircuit
from qiskit_fedqml.config.strict import nearest
from qiskit_fedqml.config.text_files import reading
from qiskit_fedqml.errors import CircuitError, ConfigurationError, shortened, shown
from qiskit_fedqml.files import write_bytes

_MAGIC = b"QISKIT"
_OLDEST = 13
_MOST_BYTES = 64 * 2**20


def read_circuit(config: QpyCircuit) -> CircuitSpec:
    """Read the circuit of a QPY file, and give its parameters their roles.

    Raises:
        ConfigurationError: The file cannot be read, is no QPY file of version 13 or newer, or holds several circuits;
            a parameter is not there; or the circuit cannot be trained.
    """
    circuit, source = _circuit_in(Path(config.qpy)), f"`model.circuit`: {shortened(config.qpy, 1000)}"
    by_name: dict[str, list[Parameter]] = {}
    for parameter in circuit.parameters:
        by_name.setdefault(parameter.name, []).append(parameter)
        if isinstance(parameter, ParameterVectorElement):
            by_name.setdefault(parameter.vector.name, []).append(parameter)
    try:
        return CircuitSpec(
            circuit,
            _named(config.inputs, by_name, f"{source}: inputs"),
            _named(config.weights, by_name, f"{source}: weights"),
            tuple(config.observables),
        )
    except CircuitError as error:
        raise ConfigurationError(f"{source}: {error}") from error


def _circuit_in(path: Path) -> QuantumCircuit:
    name = shortened(str(path), 1000)
    with reading(path, ConfigurationError) as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ConfigurationError(f"{name} is larger than {_MOST_BYTES:,} bytes, too large for a circuit.")
    if len(content) <= len(_MAGIC) or not content.startswith(_MAGIC):
        raise ConfigurationError(f"{name} is not a QPY file, as qiskit.qpy.dump writes it.")
    if (version := content[len(_MAGIC)]) < _OLDEST:
        raise ConfigurationError(
            f"{name} is a QPY file of version {version}, which cannot be read safely; write it again with "
            f"qiskit.qpy.dump of a Qiskit from 2.0 (version {_OLDEST} or newer)."
        )
    try:
        circuits = qpy.load(io.BytesIO(content))
    except Exception as error:  # of Qiskit's parser, which raises what comes
        raise ConfigurationError(f"{name} is damaged, or not of this Qiskit: {error}.") from error
    if len(circuits) != 1 or not isinstance(circuits[0], QuantumCircuit):
        raise ConfigurationError(f"{name} must hold one circuit, but holds {len(circuits)}.")
    return circuits[0]


def _named(names: Iterable[str], by_name: Mapping[str, list[Parameter]], what: str) -> tuple[Parameter, ...]:
    found: list[Parameter] = []
    for name in names:
        if name not in by_name:
            raise ConfigurationError(f"{what} has the parameter {shown(name)}{nearest(name, by_name)}")
        # Of a vector in the order of its elements.
        found += sorted(by_name[name], key=lambda p: p.index if isinstance(p, ParameterVectorElement) else 0)
    return tuple(found)


def write_circuit(spec: CircuitSpec, path: Path) -> QpyCircuit:
    """Write a circuit to a QPY file, and return what a configuration says of it.

    Raises:
        ConfigurationError: QPY cannot hold the circuit.
        ResultError: The file cannot be written.
    """
    content = io.BytesIO()
    try:
        qpy.dump(spec.circuit, content)
    except Exception as error:  # of gates that QPY does not know
        raise ConfigurationError(
            f"Argument `circuit` cannot be kept with the result, because QPY cannot hold it: {error}."
        ) from error
    write_bytes(path, content.getvalue())
    return QpyCircuit(
        qpy=str(path),
        inputs=tuple(parameter.name for parameter in spec.input_params),
        weights=tuple(parameter.name for parameter in spec.weight_params),
        observables=tuple(_as_plain(of) for of in spec.observables),
    )


def _as_plain(observable: SparsePauliOp) -> Observable:
    terms = {label: float(coefficient.real) for label, coefficient in observable.simplify().to_list()}
    return next(iter(terms)) if list(terms.values()) == [1.0] else terms
