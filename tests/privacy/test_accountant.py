"""What is spent: against a second accountant, and against the Gaussian mechanism's exact formula."""

import math
import warnings

import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.privacy.accountant import Accountant, noise_for

SETTINGS = [
    # noise multiplier, sampling rate, steps, δ
    (1.1, 0.1, 100, 1e-5),
    (2.464, 0.25, 40, 1e-5),
    (1.0, 0.05, 200, 1e-5),
    (0.8, 0.01, 1000, 1e-6),
    (4.0, 0.5, 60, 1e-4),
    (6.0, 1.0, 25, 1e-5),
]


@pytest.mark.parametrize(("noise", "rate", "steps", "delta"), SETTINGS)
def test_epsilon_is_that_of_a_second_accountant(noise, rate, steps, delta):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from opacus.accountants import PRVAccountant

        other = PRVAccountant()
        other.history = [(noise, rate, steps)]
        expected = other.get_epsilon(delta=delta, eps_error=0.01)
    assert Accountant(noise, rate, delta).epsilon(steps) == pytest.approx(expected, rel=0.004, abs=0.011)


@pytest.mark.parametrize(("noise", "steps", "delta"), [(6.0, 25, 1e-5), (1.5, 1, 1e-5), (20.0, 400, 1e-6)])
def test_without_sampling_it_is_the_gaussian_mechanism(noise, steps, delta):
    # So many sums are one with noise σ/√steps; its exact δ(ε) is Balle and Wang's (arXiv:1805.06530, Eq. 6).
    sigma = noise / math.sqrt(steps)

    def excess(epsilon):
        first = norm.cdf(1 / (2 * sigma) - epsilon * sigma)
        return first - math.exp(epsilon) * norm.cdf(-1 / (2 * sigma) - epsilon * sigma) - delta

    exact = brentq(excess, 0.0, 100.0, xtol=1e-10)
    found = Accountant(noise, 1.0, delta).epsilon(steps)
    assert exact - 1e-9 <= found <= 1.005 * exact


def test_nothing_is_spent_before_the_first_step_and_each_step_spends_more():
    accountant = Accountant(1.1, 0.1, 1e-5)
    spent = [accountant.epsilon(steps) for steps in range(6)]
    assert spent[0] == 0
    assert spent == sorted(spent)
    assert len(set(spent)) == len(spent)


@pytest.mark.parametrize(("epsilon", "rate", "steps"), [(3.0, 0.25, 40), (0.5, 1.0, 400), (8.0, 0.1, 10)])
def test_the_noise_that_is_found_is_the_least(epsilon, rate, steps):
    noise = noise_for(epsilon, 1e-5, rate, steps)
    assert Accountant(noise, rate, 1e-5).epsilon(steps) <= epsilon
    assert Accountant(0.998 * noise, rate, 1e-5).epsilon(steps) > epsilon


def test_an_epsilon_that_no_noise_gives_is_refused():
    with pytest.raises(ConfigurationError, match=r"^No noise multiplier up to 10000 spends at most ε = 1e-06\.$"):
        noise_for(1e-6, 1e-9, 1.0, 1_000_000)
