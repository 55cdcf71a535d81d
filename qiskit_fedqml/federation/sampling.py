"""Which clients take part in a round."""

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
