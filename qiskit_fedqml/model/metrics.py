"""How well a model predicts, besides its loss: by scikit-learn, and by functions of the user's own."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from qiskit_fedqml.config.evaluation import EvaluationConfig, name_of
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.errors import ConfigurationError, TrainingError
from qiskit_fedqml.model.losses import callable_of

Labels = NDArray[np.int64]
Logits = NDArray[np.float64]
Metric = Callable[[Labels, Logits], float]
"""A number for class indices, shape (examples,), and logits, shape (examples, classes); NaN where it is undefined."""

_KEY = "evaluation.metrics"


def open_metrics(config: EvaluationConfig, num_classes: int) -> dict[str, Metric]:
    """Return the metrics that a configuration names; those of the user's own are tried.

    Args:
        config: The `evaluation` section.
        num_classes: Number of classes.

    Raises:
        ConfigurationError: One cannot be found or made, fails on a few examples, or gives no number.
    """
    return {
        name_of(metric): _own(metric, num_classes) if isinstance(metric, PythonReference) else _BUILT_IN[metric]
        for metric in config.metrics
    }


def measured(metrics: Mapping[str, Metric], labels: Labels, logits: Logits) -> dict[str, float]:
    """Return what metrics give, without those that are undefined.

    Args:
        metrics: The metrics by name.
        labels: Class indices, shape (examples,).
        logits: Shape (examples, classes).

    Raises:
        TrainingError: One of the user's own fails, or gives no number.
    """
    found = {}
    for name, metric in metrics.items():
        try:
            value = float(metric(labels, logits))
        except Exception as error:
            raise TrainingError(f"The metric {name!r} fails: {error}") from error
        if np.isfinite(value):
            found[name] = value
    return found


def confusion_matrix(labels: Labels, logits: Logits) -> NDArray[np.int64]:
    """Return how many examples of each class are taken for which class, shape (classes, classes predicted)."""
    num_classes = logits.shape[1]  # counted here, since every run does, and scikit-learn takes a second to import
    places = labels * num_classes + logits.argmax(axis=1)
    return np.bincount(places, minlength=num_classes**2).reshape(num_classes, num_classes)


def _own(reference: PythonReference, num_classes: int) -> Metric:
    metric = callable_of(reference, _KEY)
    labels = np.tile(np.arange(num_classes), 2)
    try:
        float(metric(labels, np.eye(num_classes)[labels]))
    except Exception as error:
        raise ConfigurationError(
            f"`{_KEY}`: {reference.python!r} must give a number for labels and logits, but fails: {error}"
        ) from error
    return metric


def _accuracy(labels: Labels, logits: Logits) -> float:
    return float((logits.argmax(axis=1) == labels).mean())


def _auc(labels: Labels, logits: Logits) -> float:
    """Return the area under the ROC curve; of several classes, the mean of each against the others."""
    from sklearn.metrics import roc_auc_score

    if len(np.unique(labels)) < logits.shape[1]:  # a class against the others has no curve
        return float("nan")
    chances = softmax(logits, axis=1)
    if logits.shape[1] == 2:
        return float(roc_auc_score(labels, chances[:, 1]))
    return float(roc_auc_score(labels, chances, multi_class="ovr", average="macro"))


def _f1(labels: Labels, logits: Logits) -> float:
    """Return the mean of each class's F1; of a class that is neither there nor predicted it is 0."""
    from sklearn.metrics import f1_score

    classes = np.arange(logits.shape[1])
    return float(f1_score(labels, logits.argmax(axis=1), labels=classes, average="macro", zero_division=0.0))


_BUILT_IN: dict[str, Metric] = {"accuracy": _accuracy, "auc": _auc, "f1": _f1}
