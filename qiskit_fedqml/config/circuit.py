"""The `model.circuit` section of an experiment: which ansatz, and its size."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from qiskit_fedqml.config.strict import PositiveInteger, StrictModel

Qubits = Annotated[PositiveInteger, Field(le=1000)]
Layers = Annotated[PositiveInteger, Field(le=1000)]
_MOST_ROTATIONS = 10_000
"""Trained rotations of a layered circuit; each takes a millisecond or more before anything is run."""


class PaperAnsatz(StrictModel):
    """The circuit of Chen and Yoo, also where no ansatz is named; its outputs are as many as there are classes."""

    ansatz: Literal["paper"] = "paper"
    num_qubits: Qubits = 4
    num_layers: Layers = 2
    entanglement: Literal["ring", "linear"] = "ring"


class ReuploadingAnsatz(StrictModel):
    """Data re-uploading: every layer encodes the inputs again."""

    ansatz: Literal["reuploading"]
    num_qubits: Qubits = 4
    num_layers: Layers = 2
    entanglement: Literal["ring", "linear"] = "ring"


class QcnnAnsatz(StrictModel):
    """A quantum convolutional network; its layers follow from the numbers of qubits and classes."""

    ansatz: Literal["qcnn"]
    num_qubits: Qubits = 4


class TreeAnsatz(StrictModel):
    """A tree tensor network; its levels follow from the numbers of qubits and classes."""

    ansatz: Literal["tree"]
    num_qubits: Qubits = 4


def _paper_unless_named(section: Any) -> Any:
    """Name the paper's ansatz where none is named, as in files from before there were others."""
    return {"ansatz": "paper", **section} if isinstance(section, Mapping) else section


def _is_not_endless(circuit: Any) -> Any:
    rotations = 3 * circuit.num_qubits * getattr(circuit, "num_layers", 1)
    if rotations > _MOST_ROTATIONS:
        raise ValueError(
            f"{circuit.num_qubits} qubits in {circuit.num_layers} layers have {rotations:,} rotations; at most "
            f"{_MOST_ROTATIONS:,} are computed"
        )
    return circuit


CircuitConfig = Annotated[
    PaperAnsatz | ReuploadingAnsatz | QcnnAnsatz | TreeAnsatz,
    Field(discriminator="ansatz"),
    BeforeValidator(_paper_unless_named),
    AfterValidator(_is_not_endless),
]
