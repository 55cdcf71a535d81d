"""How `fedqml init` divides data among clients, so that none is left with an example or two."""

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.config.partition import Dirichlet
from qiskit_fedqml.data.loading import partition_examples

REDRAWS = 100
"""How many times the partition of a new experiment may be drawn again."""
_ALPHAS = (1.0, 3.0, 10.0)
"""Its concentration; a larger one where clients are so many that a smaller one leaves some with an example."""
_SHARE = 4
"""Each client is to have a fourth of what it would have in equal parts, or a batch."""
_ENOUGH = 10
"""So many of as many draws must do, so that another seed's draws surely hold one that does: 0.9^100 is 0.00003."""


def chosen_partition(labels: NDArray[np.int64], num_clients: int, batch_size: int) -> tuple[Dirichlet, int]:
    """Return the partition, and how many examples each client can be given at least; 1 where no more can be asked for.

    Args:
        labels: Class indices of the training data.
        num_clients: Number of clients.
        batch_size: As many examples are enough for any client.
    """
    equal_part = len(labels) // num_clients
    wanted = min(batch_size, max(2, equal_part // _SHARE))
    for alpha in _ALPHAS if num_clients > 1 and equal_part > 2 else ():
        partition = Dirichlet(scheme="dirichlet", alpha=alpha)
        draws = (partition_examples(labels, num_clients, partition, 0, draw) for draw in range(REDRAWS))
        smallest = sorted((int(shards.sizes.min()) for shards in draws), reverse=True)
        if (fewest := min(wanted, smallest[_ENOUGH - 1])) > 1:
            return partition, fewest
    return Dirichlet(scheme="dirichlet", alpha=_ALPHAS[0]), 1
