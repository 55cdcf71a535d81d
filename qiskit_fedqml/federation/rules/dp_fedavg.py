"""DP-FedAvg (McMahan et al., 2018, arXiv:1710.06963, Algorithm 1): updates shortened, summed, and noise on their sum.

The denominator is the constant number of clients that a round has on average (their estimator f_f), and each update
counts the same. With an adaptive norm that is Algorithm 1 of Andrew et al. (2021, arXiv:1905.03871).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from qiskit_fedqml.config.privacy import AdaptiveNorm, PrivacyConfig
from qiskit_fedqml.federation.messages import ClientUpdate, State, States
from qiskit_fedqml.federation.states import difference, squared_norm
from qiskit_fedqml.privacy.randomness import Randomness, open_randomness

_UNITS = 2.0**39
"""So many units is the norm long in which updates are summed as whole numbers. Such a sum is exact, so that one update
changes it by itself alone, however many there are: floating-point sums round, each differently. Ten million fit."""
_HAIR = 1e-8
"""By so much shorter than the norm are long updates made, which is more than rounding takes or adds."""
_LEAST_NORM, _MOST_NORM = 1e-6, 1e6
"""Where an adaptive norm stays."""


@dataclass
class DPFedAvg:
    """Adds up shortened updates, and releases the sum with noise, in every round, of however many clients.

    An update is a client's state less the global model. What is added is at most as long as the norm, whatever a client
    sends, and nothing else of what it sends counts.

    Args:
        privacy: The `privacy` section, with ``clients``.
        clients_per_round: By what the sum is divided.
        seed: The run's seed, from which simulated noise derives.
        excess: The number of updates since the start that are not longer than the norm, less half of all.
    """

    privacy: PrivacyConfig
    clients_per_round: int
    seed: int
    takes_weights = False
    excess: float = field(default=0.0, init=False)
    _norm: float = field(init=False)
    _sum: State = field(default_factory=dict, init=False, repr=False)
    _parts: list[float] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        assert self.privacy.clients is not None
        self._options = self.privacy.clients
        self._norm = self._options.max_norm
        self._memory: States = {}

    def begin_release(self, server_step: int) -> None:
        """Say which server step begins, from 1: its noise derives from it."""
        self._server_step = server_step

    def start(self, model: State) -> None:
        """Forget the last server step's updates."""
        self._model, self._parts, self.excess = model, [], 0.0
        self._sum = {name: torch.zeros_like(tensor, dtype=torch.int64) for name, tensor in model.items()}

    def add(self, update: ClientUpdate, weight: float) -> None:
        """Add an update, shortened where it is longer than the norm; one whose norm is not finite adds nothing."""
        assert update.state is not None
        change = difference(update.state, self._model)
        norm = math.sqrt(squared_norm(change))
        self.excess += 0.5 if norm <= self._norm else -0.5
        self._parts.append(1 / self.clients_per_round if math.isfinite(norm) else 0.0)
        if math.isfinite(norm):
            most = (1 - _HAIR) * self._norm
            units = _UNITS / self._norm * min(1.0, most / norm if norm else 1.0)
            for name, tensor in change.items():
                self._sum[name] += (tensor * units).trunc().long()

    def total(self) -> State:
        """Return the sum of the shortened updates since the start, in float64, without noise: nobody may see it."""
        return {name: self._norm / _UNITS * tensor.double() for name, tensor in self._sum.items()}

    def finish(self) -> State:
        """Return the global model, moved by the mean of the updates with noise; without any, by noise alone."""
        noise = self._draws("noise on the sum of updates")
        adaptive, deviation = self._options.adaptive, self._options.noise_multiplier
        if adaptive is not None:
            deviation = noise_on_sum(deviation, adaptive.noise_on_count(self.clients_per_round))
        aggregate = {}
        for name, total in self.total().items():
            tensor = self._model[name]
            normal = torch.from_numpy(noise.normal(tensor.numel())).to(tensor.device).reshape(tensor.shape)
            noisy = total + deviation * self._norm * normal
            aggregate[name] = (tensor.double() + noisy / self.clients_per_round).to(tensor.dtype)
        if adaptive is not None:
            self._adapt(adaptive)
        return aggregate

    def parts(self) -> Sequence[float]:
        """Return each update's part: the same for all; their sum is above 1 in a round of more clients than usual."""
        return self._parts

    def recall(self, memory: States) -> None:
        """Take up the norm that the last server step has found."""
        self._memory = memory
        self._norm = float(memory["norm"]["next"]) if memory else self._options.max_norm

    def remembered(self) -> States:
        """Return the norm to which the last updates were shortened, and the next one; nothing where it is fixed."""
        return self._memory

    def _adapt(self, adaptive: AdaptiveNorm) -> None:
        """Let the norm follow the noisy part of updates that are not longer (Algorithm 1).

        As in the proof of Theorem 1, a client adds ±½, not 1 or 0, so that it changes the sum by ½; in a round of more
        or fewer clients than usual, that is also closer to the quantile.
        """
        normal = float(self._draws("noise on the number of updates").normal(1)[0])
        noisy = self.excess + adaptive.noise_on_count(self.clients_per_round) * normal
        fraction = 0.5 + noisy / self.clients_per_round
        following = self._norm * math.exp(-adaptive.learning_rate * (fraction - adaptive.quantile))
        norms = {"used": self._norm, "next": min(max(following, _LEAST_NORM), _MOST_NORM)}
        self._memory = {"norm": {name: torch.tensor(norm, dtype=torch.float64) for name, norm in norms.items()}}

    def _draws(self, purpose: str) -> Randomness:
        return open_randomness(self.privacy, self.seed, purpose, self._server_step)


def noise_on_sum(noise_multiplier: float, count_noise: float) -> float:
    """Return the noise multiplier of the sum where noisy numbers are released with it (Andrew et al., Theorem 1).

    Both together spend what one sum with ``noise_multiplier`` does.

    Args:
        noise_multiplier: z of the paper.
        count_noise: σ_b, above half of that.

    Returns:
        z_Δ = (z⁻² − (2σ_b)⁻²)^(−1/2).
    """
    return (noise_multiplier**-2 - (2 * count_noise) ** -2) ** -0.5
