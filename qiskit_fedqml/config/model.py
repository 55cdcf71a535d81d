"""The `model` section of an experiment: the head, what follows it, and the loss that training makes small."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, Tag, model_validator

from qiskit_fedqml.config.alternatives import NAME
from qiskit_fedqml.config.circuit import CircuitConfig, PaperAnsatz, ReuploadingAnsatz, Wanted
from qiskit_fedqml.config.extension import PYTHON, PythonReference, name_or_python
from qiskit_fedqml.config.strict import Number, PositiveInteger, StrictModel
from qiskit_fedqml.errors import listed

_MOST_PARAMETERS = 10_000_000_000
"""Of a head, 37 GiB; whether this computer holds it is looked at where the number of features is known too."""

HeadConfig = Annotated[
    Annotated[Literal["mlp", "none"], Tag(NAME)] | Annotated[PythonReference, Tag(PYTHON)],
    name_or_python("mlp", "none"),
]
LossConfig = Annotated[
    Annotated[Literal["cross_entropy"], Tag(NAME)] | Annotated[PythonReference, Tag(PYTHON)],
    name_or_python("cross_entropy"),
]


class ModelConfig(StrictModel):
    """The trainable head, what follows it, and the loss.

    ``head: mlp`` has the layers of ``hidden`` (Table I's widths are 4096 and 4096) with ``dropout`` after each; with
    ``none`` the scaled features are the circuit's inputs; a function or class of the user's own makes another one.
    ``quantum: trainable`` is the paper's circuit; ``frozen`` leaves the circuit's weights as they start; ``classical``
    puts a classical layer with as many parameters in the circuit's place; with ``none`` the head's outputs are the
    logits. ``initial`` is the result folder of a finished run whose final model is the one to begin from; None draws
    the weights.
    """

    head: HeadConfig = "mlp"
    """The classical part: mlp has the layers of `hidden`, none has no layer; or your own."""
    hidden: Annotated[tuple[Annotated[PositiveInteger, Field(le=1_000_000_000)], ...], Field(max_length=1000)] = (
        4096,
        4096,
    )
    """Widths of the head's hidden layers; an empty list has none."""
    dropout: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.5
    """Part of the hidden units that is dropped at random in training."""
    quantum: Literal["trainable", "frozen", "classical", "none"] = "trainable"
    """Whether the circuit's weights are trained or frozen, a classical layer takes its place, or nothing does."""
    circuit: CircuitConfig = PaperAnsatz()
    """The circuit: an ansatz and its size, or one of your own."""
    loss: LossConfig = "cross_entropy"
    """What training makes small: cross_entropy, or your own."""
    device: Literal["cpu", "cuda"] = "cpu"
    """The torch device of the head."""
    initial: Annotated[str, Field(min_length=1)] | None = None
    """Result folder of a finished run from whose model to begin; none draws the weights."""

    @property
    def has_circuit(self) -> bool:
        """Whether a circuit is evaluated, so that there is something for backends to do."""
        return self.quantum in ("trainable", "frozen")

    @property
    def derivatives(self) -> Wanted:
        """Of which of the circuit's parameters training takes derivatives: without a head, the inputs need none."""
        return "inputs" if self.quantum == "frozen" else "weights" if self.head == "none" else "all"

    @property
    def is_own(self) -> bool:
        """Whether the head or the loss is the user's own, which only one client's model at a time goes through."""
        return isinstance(self.head, PythonReference) or isinstance(self.loss, PythonReference)

    @model_validator(mode="before")
    @classmethod
    def _only_an_mlp_has_hidden_layers(cls, section: Any) -> Any:
        if isinstance(section, Mapping) and section.get("head", "mlp") != "mlp":
            return {"hidden": [], "dropout": 0.0, **section}
        return section

    @model_validator(mode="after")
    def _can_be_held(self) -> "ModelConfig":
        widths = [*self.hidden, getattr(self.circuit, "num_qubits", 1)]
        parameters = sum(width * following for width, following in pairwise(widths))
        if parameters > _MOST_PARAMETERS:
            raise ValueError(
                f"hidden layers of {listed(self.hidden)} units have {parameters:,} parameters "
                f"({4 * parameters / 2**30:,.0f} GiB); at most {_MOST_PARAMETERS:,} are trained"
            )
        return self

    @model_validator(mode="after")
    def _head_has_an_effect(self) -> "ModelConfig":
        for key, value in (("hidden", self.hidden), ("dropout", self.dropout)):
            if value and self.head != "mlp":
                head = f"head: {self.head}" if isinstance(self.head, str) else "a head of your own"
                raise ValueError(f"{key} has no effect with {head}, only with head: mlp")
        if self.dropout and not self.hidden:
            raise ValueError(f"dropout {self.dropout} has no effect without hidden layers; it must be 0 there")
        if self.head == "none" and self.quantum in ("frozen", "none"):
            raise ValueError(
                f"head: none with quantum: {self.quantum} leaves nothing to train; without a circuit, hidden: [] with "
                "dropout: 0 is one linear layer"
            )
        return self

    @model_validator(mode="after")
    def _circuit_has_an_effect(self) -> "ModelConfig":
        if self.quantum == "none" and self.circuit != PaperAnsatz():
            raise ValueError("circuit has no effect with quantum: none, which has none")
        if self.quantum == "classical" and getattr(self.circuit, "entanglement", "ring") != "ring":
            raise ValueError("circuit.entanglement has no effect with quantum: classical")
        if self.quantum == "classical" and isinstance(self.circuit, ReuploadingAnsatz):
            raise ValueError(
                "circuit.ansatz: reuploading has no effect with quantum: classical, which takes only the number of "
                "weights from the circuit: paper has as many"
            )
        if self.quantum == "frozen" and self.initial is not None:
            raise ValueError("initial cannot come with quantum: frozen, which keeps the weights that the seed draws")
        return self
