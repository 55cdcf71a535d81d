"""Metrics: those of scikit-learn, those of the user's own, and what is undefined."""

import numpy as np
import pytest
from sklearn import metrics as sklearn

from qiskit_fedqml.config.evaluation import EvaluationConfig
from qiskit_fedqml.errors import ConfigurationError, TrainingError
from qiskit_fedqml.model.metrics import confusion_matrix, measured, open_metrics

ALL = ["accuracy", "auc", "f1"]


def found(metrics, labels, logits):
    config = EvaluationConfig.model_validate({"metrics": metrics})
    return measured(open_metrics(config, logits.shape[1]), labels, logits)


def examples(num_classes, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, 60)
    return labels, rng.normal(size=(60, num_classes)) + np.eye(num_classes)[labels]


def test_two_classes():
    labels, logits = examples(2)
    assert found(ALL, labels, logits) == {
        "accuracy": sklearn.accuracy_score(labels, logits.argmax(axis=1)),
        "auc": pytest.approx(sklearn.roc_auc_score(labels, logits[:, 1] - logits[:, 0])),
        "f1": sklearn.f1_score(labels, logits.argmax(axis=1), average="macro"),
    }


def test_several_classes_are_each_against_the_others():
    labels, logits = examples(4)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    each = [sklearn.roc_auc_score(labels == k, chances[:, k]) for k in range(4)]
    assert found(["auc"], labels, logits) == {"auc": pytest.approx(np.mean(each))}


def test_what_is_undefined_is_missing():
    labels, logits = examples(3)
    there = labels != 2
    assert found(ALL, labels[there], logits[there]).keys() == {"accuracy", "f1"}


@pytest.mark.parametrize("num_classes", [2, 5])
def test_confusion_matrix(num_classes):
    labels, logits = examples(num_classes)
    expected = sklearn.confusion_matrix(labels, logits.argmax(axis=1), labels=range(num_classes))
    assert np.array_equal(confusion_matrix(labels, logits), expected)
    one = confusion_matrix(labels[:1], logits[:1])
    assert one.shape == (num_classes, num_classes)
    assert one.sum() == 1


def test_ones_own_has_its_name_and_its_arguments():
    labels, logits = examples(2)
    share = float((logits.argmax(axis=1) == 0).mean())
    own = {"python": "tests.own_parts:share_of_first"}
    assert found([own], labels, logits) == {"share_of_first": share}
    assert found([{**own, "arguments": {"factor": 2.0}}], labels, logits) == {"share_of_first": 2 * share}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_parts:focal", "must give a number for labels and logits, but fails"),
        ("own_parts:nothing", "`evaluation.metrics`: .* cannot be imported"),
        ("own_parts:own_circuit", "must give a number for labels and logits, but fails"),
    ],
)
def test_what_is_no_metric_is_refused(name, message):
    with pytest.raises(ConfigurationError, match=message):
        found([{"python": f"tests.{name}"}], *examples(2))


def test_a_metric_that_fails_later_is_named():
    with pytest.raises(TrainingError, match="The metric 'strict' fails: no zeros"):
        measured({"strict": strict}, *examples(2))


def strict(labels, logits):
    raise ValueError("no zeros")
