"""The circuit of a configuration's model."""

from qiskit_fedqml.circuits.paper import paper_circuit
from qiskit_fedqml.circuits.qcnn import qcnn_circuit
from qiskit_fedqml.circuits.qpy_files import read_circuit
from qiskit_fedqml.circuits.reuploading import reuploading_circuit
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.circuits.tree import tree_circuit
from qiskit_fedqml.config.circuit import PaperAnsatz, QcnnAnsatz, QpyCircuit, ReuploadingAnsatz, TreeAnsatz
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.model import ModelConfig
from qiskit_fedqml.config.parts import make_part
from qiskit_fedqml.errors import CircuitError, ConfigurationError


def circuit_for(config: ModelConfig, num_classes: int) -> CircuitSpec:
    """Return the circuit of a model.

    Raises:
        ConfigurationError: It has none, there are more classes than qubits, or too many to halve the qubits; or a
            circuit of the user's own cannot be read or made, or has not as many outputs as there are classes.
    """
    if config.quantum == "none":
        raise ConfigurationError("`model.quantum` is none, so there is no circuit.")
    circuit = config.circuit
    if isinstance(circuit, QpyCircuit | PythonReference):
        spec = read_circuit(circuit) if isinstance(circuit, QpyCircuit) else _made(circuit)
        if spec.num_outputs != num_classes:
            raise ConfigurationError(
                f"The data have {num_classes} classes, but the circuit of `model.circuit` has {spec.num_outputs} "
                "observables: it must have one for each class."
            )
        return spec
    if num_classes > circuit.num_qubits:
        raise ConfigurationError(
            f"The data have {num_classes} classes, but `model.circuit.num_qubits` is {circuit.num_qubits}: each class "
            "needs a qubit of its own to be read from."
        )
    try:
        match circuit:
            case PaperAnsatz(num_qubits=n, num_layers=layers, entanglement=entanglement):
                return paper_circuit(n, layers, entanglement, num_classes)
            case ReuploadingAnsatz(num_qubits=n, num_layers=layers, entanglement=entanglement):
                return reuploading_circuit(n, layers, entanglement, num_classes)
            case QcnnAnsatz(num_qubits=n):
                return qcnn_circuit(n, num_classes)
            case TreeAnsatz(num_qubits=n):
                return tree_circuit(n, num_classes)
    except CircuitError as error:
        raise ConfigurationError(f"`model.circuit` with the data's {num_classes} classes: {error}") from error


def _made(reference: PythonReference) -> CircuitSpec:
    """Return the circuit that a function of the user's own makes."""
    try:
        spec = make_part(reference, "model.circuit")
    except CircuitError as error:
        raise ConfigurationError(f"`model.circuit`: {reference.python!r}: {error}") from error
    if not isinstance(spec, CircuitSpec):
        raise ConfigurationError(
            f"`model.circuit`: {reference.python!r} must return a CircuitSpec, but returned a {type(spec).__name__}."
        )
    return spec
