"""Which clients take part in a round."""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.privacy.randomness import open_randomness
from qiskit_fedqml.seeds import derive_seed, numpy_generator


def sample_clients(seed: int, round: int, num_clients: int, num_chosen: int, attempt: int = 1) -> list[int]:
    """Draw the clients of a round, without replacement; in the order of their ids.

    Args:
        seed: The run's seed.
        round: The round, from 1.
        num_clients: The number of clients.
        num_chosen: How many are drawn.
        attempt: How often the round was begun, from 1; each time clients are drawn again.
    """
    rng = numpy_generator(derive_seed(seed, "clients of the round", round, step=attempt - 1))
    return sorted(int(client) for client in rng.choice(num_clients, size=num_chosen, replace=False))


_REMEMBERED = 4
"""The draws of so many rounds are kept: those that are asked for again are of this round and the next."""


@dataclass(frozen=True)
class PoissonSampler:
    """Draws each client by itself, with the same probability, so that a round may have any number of them, or none.

    With the operating system's randomness, who is drawn does not follow from the run's seed; within a process a round
    has the same clients each time.

    Args:
        privacy: The `privacy` section.
        seed: The run's seed.
        num_clients: The number of clients.
        rate: The probability, above 0.
    """

    privacy: PrivacyConfig
    seed: int
    num_clients: int
    rate: float
    _drawn: OrderedDict[int, list[int]] = field(default_factory=OrderedDict, init=False, repr=False, compare=False)

    def clients_of(self, round: int) -> list[int]:
        """Return the clients of a round, in the order of their ids.

        Args:
            round: The round, from 1.
        """
        if round not in self._drawn:
            numbers = open_randomness(self.privacy, self.seed, "clients of the round", round).uniform(self.num_clients)
            self._drawn[round] = np.flatnonzero(numbers < self.rate).tolist()
            if len(self._drawn) > _REMEMBERED:
                self._drawn.popitem(last=False)
        return list(self._drawn[round])
