"""What the Gaussian mechanism with Poisson sampling spends, by the privacy loss distributions of dp-accounting.

Neighbouring are data sets of which one has one example more, or federations of which one has one client more. The
distributions are rounded to the safe side (Doroshenko et al., 2022, arXiv:2207.04380), so ε is an upper bound: at most
about 0.5% above the exact value.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.privacy.packages import import_package

_INTERVAL = 1e-3
"""The distance of the values to which privacy losses are rounded; a tenth of it takes ten times as long."""
_SPREAD = 100.0
"""Where losses spread further than this they are rounded more, or a distribution would take gigabytes; ε is large then,
and the bound is as near to it as elsewhere."""
_LEAST_NOISE, MOST_NOISE = 0.1, 1e4
"""Between these noise multipliers one is looked for."""


@dataclass
class Accountant:
    """ε of so many steps, each the sum of what was sampled, shortened to a norm, with Gaussian noise.

    Args:
        noise_multiplier: σ: the noise's standard deviation by that norm.
        sampling_rate: q: the probability with which each example, or client, is in a step's sum.
        delta: δ.
    """

    noise_multiplier: float
    sampling_rate: float
    delta: float
    _known: dict[int, float] = field(default_factory=dict, init=False, repr=False)
    _step: tuple[float, Any] = field(default=(0.0, None), init=False, repr=False)

    def epsilon(self, steps: int) -> float:
        """Return ε after so many steps; infinite where none protects with this δ.

        Raises:
            ConfigurationError: The package dp-accounting is not installed.
        """
        if not steps:
            return 0.0
        if steps not in self._known:
            spread = math.sqrt(steps) / self.noise_multiplier
            distribution = self._of_a_step(_INTERVAL * 2 ** math.ceil(math.log2(max(1.0, spread / _SPREAD))))
            self._known[steps] = float(distribution.self_compose(steps).get_epsilon_for_delta(self.delta))
        return self._known[steps]

    def _of_a_step(self, interval: float) -> Any:
        """Return the privacy loss distribution of one step, rounded to multiples of an interval."""
        if self._step[0] != interval:
            distributions = import_package("dp_accounting.pld.privacy_loss_distribution")
            made = distributions.from_gaussian_mechanism(
                self.noise_multiplier, sampling_prob=self.sampling_rate, value_discretization_interval=interval
            )
            self._step = interval, made
        return self._step[1]


def noise_for(epsilon: float, delta: float, sampling_rate: float, steps: int) -> float:
    """Return the smallest noise multiplier, of four digits, with which so many steps spend at most ε.

    Args:
        epsilon: ε, above 0.
        delta: δ.
        sampling_rate: q.
        steps: How many, from 1.

    Raises:
        ConfigurationError: No noise multiplier up to 10,000 does; or dp-accounting is not installed.
    """

    def spent(noise: float) -> float:
        return Accountant(noise, sampling_rate, delta).epsilon(steps)

    guess = sampling_rate * math.sqrt(2 * steps * math.log(1.25 / delta)) / epsilon  # rather too much
    high = min(max(guess, 2 * _LEAST_NOISE), MOST_NOISE)
    while spent(high) > epsilon:
        if high == MOST_NOISE:
            raise ConfigurationError(f"No noise multiplier up to {MOST_NOISE:g} spends at most ε = {epsilon:g}.")
        high = min(2 * high, MOST_NOISE)
    low = max(high / 2, _LEAST_NOISE)
    while low > _LEAST_NOISE and spent(low) <= epsilon:
        low, high = max(low / 2, _LEAST_NOISE), low
    if spent(low) <= epsilon:
        return low
    while high / low > 1.0001:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if spent(middle) > epsilon else (low, middle)
    digits = 3 - math.floor(math.log10(high))
    return math.ceil(high * 10**digits) / 10**digits
