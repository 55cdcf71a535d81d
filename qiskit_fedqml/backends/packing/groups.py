"""Connected groups of a device's qubits."""

from collections.abc import Iterator, Mapping, Sequence


def connected_groups(neighbours: Mapping[int, frozenset[int]], size: int, most: int) -> list[tuple[int, ...]] | None:
    """List all connected groups of a size (Wernicke's ESU algorithm, IEEE/ACM TCBB 3, 347, 2006).

    rustworkx's ``connected_subgraphs`` lists them too, but all of them, of which a lattice may have billions.

    Args:
        neighbours: The qubits that each qubit is coupled with.
        size: Qubits of a group, from 1.
        most: Number of groups above which there are too many.

    Returns:
        The groups, each in ascending order; None if there are more than ``most``.
    """
    found: list[tuple[int, ...]] = []
    for group in _groups(neighbours, size):
        if len(found) == most:
            return None
        found.append(group)
    return sorted(found)


def _groups(neighbours: Mapping[int, frozenset[int]], size: int) -> Iterator[tuple[int, ...]]:
    for root in sorted(neighbours):
        later = frozenset(q for q in neighbours[root] if q > root)
        yield from _extended(neighbours, (root,), later, neighbours[root] | {root}, size)


def _extended(
    neighbours: Mapping[int, frozenset[int]],
    group: tuple[int, ...],
    candidates: frozenset[int],
    reached: frozenset[int],
    size: int,
) -> Iterator[tuple[int, ...]]:
    """Yield each group that contains ``group`` and grows by ``candidates``, and by what these lead to, once."""
    if len(group) == size:
        yield tuple(sorted(group))
        return
    left: Sequence[int] = sorted(candidates)
    for place, qubit in enumerate(left):
        new = frozenset(q for q in neighbours[qubit] if q > group[0] and q not in reached)
        rest = frozenset(left[place + 1 :])
        yield from _extended(neighbours, (*group, qubit), rest | new, reached | neighbours[qubit], size)
