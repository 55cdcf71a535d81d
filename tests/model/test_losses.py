"""Losses: cross-entropy, torch's own, and functions; what is none is refused before anything runs."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from qiskit_fedqml.config.model import ModelConfig
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.model.losses import open_loss
from qiskit_fedqml.model.prediction import loss_and_accuracy

LOGITS, LABELS = torch.randn(6, 3, generator=torch.Generator().manual_seed(1)), torch.arange(6) % 3


def opened(python, **arguments):
    return open_loss(ModelConfig(loss={"python": python, "arguments": arguments}), 3)


def test_a_function_has_its_arguments_and_a_class_is_made_with_them():
    assert open_loss(ModelConfig(), 3) is cross_entropy
    expected = cross_entropy(LOGITS, LABELS)
    assert float(opened("tests.own_parts:focal", gamma=0.0)(LOGITS, LABELS)) == pytest.approx(float(expected))
    assert opened("tests.own_parts:focal")(LOGITS, LABELS) < expected
    smoothed = opened("torch.nn:CrossEntropyLoss", label_smoothing=0.2)
    assert torch.equal(smoothed(LOGITS, LABELS), cross_entropy(LOGITS, LABELS, label_smoothing=0.2))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tests.own_parts:entropies", r"must give one number .* of shape \(\), but gave of shape \(3,\)"),
        ("tests.own_parts:constant", "must give one number that torch can differentiate"),
        ("tests.own_parts:share_of_first", "fails on logits and labels of a batch"),
        ("tests.own_parts:Scaled", "has parameters of its own, which nothing trains"),
        ("tests.own_parts:nothing", "`model.loss`: .* cannot be imported"),
    ],
)
def test_what_is_no_loss_is_refused(name, message):
    with pytest.raises(ConfigurationError, match=message):
        opened(name)


def test_the_test_is_by_the_same_loss_with_weights_in_single_precision():
    logits, labels = LOGITS.double().numpy(), LABELS.numpy()
    weight = torch.tensor([1.0, 2.0, 3.0])
    weighted = torch.nn.CrossEntropyLoss(weight=weight)
    expected = float(cross_entropy(LOGITS, LABELS, weight=weight))
    assert loss_and_accuracy(logits, labels, weighted)[0] == pytest.approx(expected)
    plain, accuracy = loss_and_accuracy(logits, labels)
    assert plain == float(cross_entropy(LOGITS.double(), LABELS))
    assert accuracy == np.mean(logits.argmax(axis=1) == labels)
