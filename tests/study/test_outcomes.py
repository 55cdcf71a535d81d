from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import ttest_rel

from qiskit_fedqml.study.outcomes import (
    ACCURACY,
    LOSS,
    final_accuracy,
    last_rounds_in_words,
    settled_accuracy,
    settled_loss,
)
from qiskit_fedqml.study.study import Study


def _run(accuracies, losses):
    pairs = zip(accuracies, losses, strict=True)
    rounds = tuple(SimpleNamespace(test_accuracy=a, test_loss=b) for a, b in pairs)
    return SimpleNamespace(rounds=rounds, final=rounds[-1])


@pytest.mark.parametrize(("rounds", "last"), [(100, 10), (40, 10), (8, 2), (3, 1)])
def test_settled_figures_are_means_of_the_last_rounds(rounds, last):
    accuracies, losses = np.linspace(0.1, 0.9, rounds), np.linspace(0.7, 0.3, rounds) ** 2
    run = _run(accuracies, losses)
    assert settled_accuracy(run) == pytest.approx(accuracies[-last:].mean())
    assert settled_loss(run) == pytest.approx(losses[-last:].mean())
    assert final_accuracy(run) == accuracies[-1]


def test_differences_are_of_pairs_and_written_in_the_outcomes_units():
    losses = {"a": [0.40, 0.31, 0.52], "b": [0.45, 0.33, 0.55]}
    study = Study({(name, seed): _run([0.9], [loss]) for name in losses for seed, loss in enumerate(losses[name])})
    difference = LOSS.less(study, "a", "b")
    expected = ttest_rel(losses["a"], losses["b"]).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx(tuple(expected))
    assert LOSS.text(difference, signed=True) == "-0.033 ± 0.038"
    assert ACCURACY.text(ACCURACY.mean(study, "a")) == "90.00 ± 0.00"
    assert ACCURACY.heading_less("noiseless") == "Accuracy minus noiseless (points)"
    assert (ACCURACY.heading, LOSS.heading) == ("Accuracy (%)", "Testing loss")
    headings = ACCURACY.heading_over("last 5 rounds"), LOSS.heading_over("last round")
    assert headings == ("Accuracy, last 5 rounds (%)", "Testing loss, last round")


@pytest.mark.parametrize(
    ("lengths", "words"),
    [([20, 20], "last 5 rounds"), ([100], "last 10 rounds"), ([3], "last round"), ([5, 20], "last 1 to 5 rounds")],
)
def test_last_rounds_are_named_by_their_number(lengths, words):
    assert last_rounds_in_words(lengths) == words
