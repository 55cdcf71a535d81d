"""The `model.circuit` section of an experiment: which ansatz, and its size; or a circuit of the user's own."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, field_validator

from qiskit_fedqml.config.alternatives import tag_of
from qiskit_fedqml.config.extension import PYTHON, PythonReference
from qiskit_fedqml.config.strict import Number, PositiveInteger, StrictModel

Qubits = Annotated[PositiveInteger, Field(le=1000)]
Layers = Annotated[PositiveInteger, Field(le=1000)]
Wanted = Literal["all", "inputs", "weights"]
"""Of which of a circuit's parameters derivatives are wanted."""

_MOST_ROTATIONS = 10_000
"""Trained rotations of a layered circuit; each takes a millisecond or more before anything is run."""


class PaperAnsatz(StrictModel):
    """The circuit of Chen and Yoo, also where no ansatz is named; its outputs are as many as there are classes."""

    ansatz: Literal["paper"] = "paper"
    """The circuit of Chen and Yoo."""
    num_qubits: Qubits = 4
    """Its qubits, at least as many as there are classes."""
    num_layers: Layers = 2
    """Its layers of entanglers and rotations."""
    entanglement: Literal["ring", "linear"] = "ring"
    """Whether the last qubit is entangled with the first (`ring`) or not (`linear`)."""


class ReuploadingAnsatz(StrictModel):
    """Data re-uploading: every layer encodes the inputs again."""

    ansatz: Literal["reuploading"]
    """Data re-uploading: every layer encodes the inputs again."""
    num_qubits: Qubits = 4
    """Its qubits, at least as many as there are classes."""
    num_layers: Layers = 2
    """Its layers, each with the inputs."""
    entanglement: Literal["ring", "linear"] = "ring"
    """Whether the last qubit is entangled with the first (`ring`) or not (`linear`)."""


class QcnnAnsatz(StrictModel):
    """A quantum convolutional network; its layers follow from the numbers of qubits and classes."""

    ansatz: Literal["qcnn"]
    """A quantum convolutional network."""
    num_qubits: Qubits = 4
    """Its qubits, which layers halve until as many are left as there are classes."""


class TreeAnsatz(StrictModel):
    """A tree tensor network; its levels follow from the numbers of qubits and classes."""

    ansatz: Literal["tree"]
    """A tree tensor network."""
    num_qubits: Qubits = 4
    """Its qubits, which levels halve until as many are left as there are classes."""


Names = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...], Field(max_length=100_000)]
Observable = Annotated[str, Field(min_length=1)] | Annotated[dict[str, Number], Field(min_length=1)]


class QpyCircuit(StrictModel):
    """A circuit of the user's own in a QPY file, one circuit without measurements.

    ``inputs`` and ``weights`` name its parameters, one by one or a whole vector by its name, in the order in which
    their values come. An observable is a Pauli label such as ``ZI``, whose last letter is qubit 0, or a mapping from
    labels to coefficients; there is one for each class. A relative path starts at the folder of the experiment file.
    """

    qpy: Annotated[str, Field(min_length=1)]
    """A QPY file with one circuit without measurements; a relative path starts at the experiment file's folder."""
    inputs: Names
    """Names of the parameters, or vectors, that take the head's outputs."""
    weights: Names
    """Names of the parameters, or vectors, that are trained."""
    observables: Annotated[tuple[Observable, ...], Field(min_length=1, max_length=10_000)]
    """What is measured for each class: a Pauli label such as ZI, or a mapping from labels to coefficients."""

    @field_validator("inputs", "weights", mode="before")
    @classmethod
    def _one_name_is_a_list_of_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


def _paper_unless_named(section: Any) -> Any:
    """Name the paper's ansatz where none is named, as in files from before there were others."""
    is_own = isinstance(section, Mapping) and ("qpy" in section or "python" in section)
    return {"ansatz": "paper", **section} if isinstance(section, Mapping) and not is_own else section


def _is_not_endless(circuit: Any) -> Any:
    rotations = 3 * getattr(circuit, "num_qubits", 0) * getattr(circuit, "num_layers", 1)
    if rotations > _MOST_ROTATIONS:
        raise ValueError(
            f"{circuit.num_qubits} qubits in {circuit.num_layers} layers have {rotations:,} rotations; at most "
            f"{_MOST_ROTATIONS:,} are computed"
        )
    return circuit


def _kind(section: Any) -> str:
    for key, model in (("qpy", QpyCircuit), ("python", PythonReference)):
        if isinstance(section, model) or (isinstance(section, Mapping) and key in section):
            return tag_of(key)
    return tag_of("ansatz")


Ansatz = Annotated[PaperAnsatz | ReuploadingAnsatz | QcnnAnsatz | TreeAnsatz, Field(discriminator="ansatz")]
CircuitConfig = Annotated[
    Annotated[Ansatz, Tag(tag_of("ansatz"))]
    | Annotated[QpyCircuit, Tag(tag_of("qpy"))]
    | Annotated[PythonReference, Tag(PYTHON)],
    Discriminator(_kind),
    BeforeValidator(_paper_unless_named),
    AfterValidator(_is_not_endless),
]
