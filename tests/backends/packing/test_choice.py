"""The choice of blocks, compared with trying all choices."""

import itertools
import math
import random

import pytest
import rustworkx as rx

from qiskit_fedqml.backends.packing.choice import choose


def fits(groups, couplings, separation):
    qubits = [set(group) for group in groups]
    for a, b in itertools.combinations(qubits, 2):
        if a & b or (separation and any((u in a and v in b) or (u in b and v in a) for u, v in couplings)):
            return False
    return True


def best(groups, success, couplings, separation, most):
    """Return number and summed logarithm of the best choice, by trying all."""
    found = (0, 0.0)
    for size in range(1, len(groups) + 1):
        for some in itertools.combinations(range(len(groups)), size):
            if (most is None or size <= most) and fits([groups[k] for k in some], couplings, separation):
                found = max(found, (size, sum(success[k] for k in some)))
    return found


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("separation", [0, 1])
def test_as_many_as_possible_then_the_best(seed, separation):
    rng = random.Random(seed)
    graph = rx.undirected_gnp_random_graph(9, 0.35, seed=seed)
    couplings = [(a, b) if rng.random() < 0.5 else (b, a) for a, b in graph.edge_list()]
    groups = sorted({tuple(sorted(rng.sample(range(9), rng.choice((1, 2, 3))))) for _ in range(9)})
    success = [math.log(rng.uniform(0.5, 1)) for _ in groups]
    most = rng.choice((None, 1, 2))
    choice = choose(groups, success, couplings, separation, most)
    assert choice.is_proven
    assert fits([groups[k] for k in choice.places], couplings, separation)
    size, total = best(groups, success, couplings, separation, most)
    assert len(choice.places) == size
    assert sum(success[k] for k in choice.places) == pytest.approx(total, abs=1e-9)


def test_nothing_to_choose():
    assert choose([], [], [], 1).places == ()
