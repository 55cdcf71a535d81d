"""Which clients take part in a round."""

from qiskit_fedqml.seeds import derive_seed, numpy_generator


def sample_clients(seed: int, round: int, num_clients: int, num_chosen: int) -> list[int]:
    """Draw the clients of a round, without replacement; in the order of their ids."""
    rng = numpy_generator(derive_seed(seed, "clients of the round", round))
    return sorted(int(client) for client in rng.choice(num_clients, size=num_chosen, replace=False))
