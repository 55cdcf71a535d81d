"""Which nodes of a federation without a server are there in a step."""

from collections.abc import Collection

from qiskit_fedqml.config.gossip import GossipOptions
from qiskit_fedqml.seeds import derive_seed, numpy_generator


def left_before(seed: int, options: GossipOptions, nodes: int, step: int, left: Collection[int]) -> tuple[int, ...]:
    """Return the nodes that have left by chance before a step, in order.

    Args:
        seed: The run's seed.
        options: How nodes leave.
        nodes: How many there are.
        step: The step, from 1.
        left: Those that had left before the step before; none before the first one.
    """
    if options.leaving is None:
        return ()
    draws, gone = numpy_generator(derive_seed(seed, "nodes that leave", step)).random(nodes), set(left)
    leaves, comes = options.leaving.probability, options.leaving.return_probability
    return tuple(node for node in range(nodes) if (draws[node] >= comes if node in gone else draws[node] < leaves))


def present_in(options: GossipOptions, nodes: int, step: int, left: Collection[int]) -> list[int]:
    """Return the nodes that are there in a step, in order: those that have not left and have no stated absence.

    Args:
        options: The stated absences.
        nodes: How many nodes there are.
        step: The step, from 1.
        left: Those that have left by chance before it.
    """
    away = {*left, *(absence.node for absence in options.absences if absence.first <= step <= absence.last)}
    return [node for node in range(nodes) if node not in away]
