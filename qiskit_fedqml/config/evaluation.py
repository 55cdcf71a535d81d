"""The `evaluation` section of an experiment: where and by what the aggregate is tested."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, Tag, model_validator

from qiskit_fedqml.config.alternatives import NAME
from qiskit_fedqml.config.extension import PYTHON, PythonReference, name_or_python
from qiskit_fedqml.config.strict import UNIQUE, StrictModel
from qiskit_fedqml.errors import listed

METRICS = ("accuracy", "auc", "f1")
_LABELS = {"auc": "AUC", "f1": "F1"}
_TAKEN = (*METRICS, "loss", "test_accuracy", "test_loss")
Metric = Annotated[
    Annotated[Literal["accuracy", "auc", "f1"], Tag(NAME)] | Annotated[PythonReference, Tag(PYTHON)],
    name_or_python(*METRICS),
]


def name_of(metric: str | PythonReference) -> str:
    """Return what a metric is called in records: the user's own as its function."""
    return metric if isinstance(metric, str) else metric.python.partition(":")[2]


def label_of(name: str) -> str:
    """Return what people read as a metric's name, given that in records."""
    return _LABELS.get(name, name)


def labelled(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return a test's metrics as they are shown: by their labels, without the accuracy that each test has anyway."""
    return {label_of(name): value for name, value in metrics.items() if name != "accuracy"}


class EvaluationConfig(StrictModel):
    """How the aggregate is tested after each round, besides its loss and accuracy on the server's backend.

    ``backends`` are further backends, with their own noise and shots. ``metrics`` are recorded for each test: the
    accuracy, the area under the ROC curve and F1 (both for each class against the others, and averaged), and functions
    of the user's own.
    """

    backends: Annotated[tuple[str, ...], UNIQUE] = ()
    """Further backends on which the aggregate is tested after each round."""
    metrics: Annotated[tuple[Metric, ...], Field(max_length=100), UNIQUE] = ()
    """What is recorded of each test besides loss and accuracy: accuracy, auc, f1, or your own."""

    @property
    def shown_metrics(self) -> tuple[Metric, ...]:
        """What is shown of each test besides loss and accuracy."""
        return tuple(metric for metric in self.metrics if metric != "accuracy")

    @model_validator(mode="after")
    def _metrics_differ(self) -> "EvaluationConfig":
        names = [name_of(metric) for metric in self.metrics]
        if len(set(names)) != len(names):
            raise ValueError(f"metrics must have different names, but are {listed(names)}")
        taken = [
            name_of(metric) for metric in self.metrics if not isinstance(metric, str) and name_of(metric) in _TAKEN
        ]
        if taken:
            raise ValueError(
                f"functions in metrics must not be called {', '.join(_TAKEN)}, which records use, but one is {taken[0]}"
            )
        return self
