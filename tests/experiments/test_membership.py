import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from qiskit_fedqml.errors import ConfigurationError

RNG = np.random.default_rng(3)


def test_a_run_trains_on_its_members_and_tests_on_the_others(script):
    clients, test = script.memberships(size=100, seed=4)
    pixels, _ = script.pool_of(100)
    is_member = script.members_of(100, 4)
    trained = np.concatenate([data.tensors[0].numpy() for data in clients])
    assert len(trained) == is_member.sum()
    assert np.unique(trained, axis=0) == pytest.approx(np.unique(pixels[is_member], axis=0))
    assert test.tensors[0].numpy() == pytest.approx(pixels[~is_member])
    assert 30 < is_member.sum() < 70
    assert not np.array_equal(is_member, script.members_of(100, 5))


def test_more_examples_than_there_are_digits_are_refused(script):
    with pytest.raises(ConfigurationError, match="at most 719, the number of these digits, but is 720"):
        script.pool_of(720)


def test_confidence_is_the_logit_of_the_own_classs_probability(script):
    logits, labels = RNG.normal(size=(20, 4)), RNG.integers(4, size=20)
    p = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))[np.arange(20), labels]
    assert script.confidences(logits, labels) == pytest.approx(np.log(p / (1 - p)))


def test_area_is_that_of_scikit_learn_with_equal_scores_too(script):
    scores, members = np.round(RNG.normal(size=200), 1), RNG.random(200) < 0.4
    assert script.area(scores, members) == pytest.approx(roc_auc_score(members, scores))


def test_true_positives_at_a_rate_of_false_ones(script):
    scores, members = np.array([5.0, 4, 3, 2, 1, 0]), np.array([True, True, False, True, False, False])
    assert script.true_positives_at(0.0, scores, members) == pytest.approx(2 / 3)
    assert script.true_positives_at(0.34, scores, members) == 1.0
    assert script.true_positives_at(0.0, -scores, members) == 0.0


def test_likelihood_ratios_are_those_of_normal_distributions_of_the_other_runs(script):
    """Members' confidences are 1 higher; with many runs the ratio is that of N(1, 0.5) over N(0, 0.5)."""
    members = RNG.random((400, 30)) < 0.5
    scores = members + 0.5 * RNG.normal(size=members.shape)
    found = script.likelihood_ratios(scores, members)
    expected = norm.logpdf(scores, 1, 0.5) - norm.logpdf(scores, 0, 0.5)
    assert np.abs(found - expected).mean() < 0.2
    assert script.area(found, members) > 0.9


def test_a_run_is_no_shadow_of_itself(script):
    """One changed score changes the spread that is fitted for all other runs, and not that for its own."""
    members, scores = RNG.random((20, 5)) < 0.5, RNG.normal(size=(20, 5))
    changed = scores.copy()
    changed[3, 0] += 100.0
    before, after = script.likelihood_ratios(scores, members), script.likelihood_ratios(changed, members)
    assert np.array_equal(before[3, 1:], after[3, 1:])
    assert not np.isclose(before[4, 1:], after[4, 1:]).any()


def test_an_example_that_all_other_runs_have_gives_no_ratio(script):
    members = np.array([[True, False], [True, True], [True, False], [True, True]])
    assert (script.likelihood_ratios(RNG.normal(size=(4, 2)), members)[:, 0] == 0).all()
