"""The choice of disjoint blocks among candidates: an exact integer program."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.errors import BackendError

if TYPE_CHECKING:
    from scipy.optimize import LinearConstraint, OptimizeResult
    from scipy.sparse import csr_array

_SECONDS = 20.0
"""Longest search for the most blocks, and again for the best ones of as many; then what was found is taken."""


@dataclass(frozen=True)
class Choice:
    """Blocks that were chosen.

    Args:
        places: Their places among the candidates, in ascending order.
        is_proven: Whether no choice has more blocks, by the solver's certificate.
    """

    places: tuple[int, ...]
    is_proven: bool


def choose(
    groups: Sequence[tuple[int, ...]],
    log_success: Sequence[float],
    couplings: Collection[tuple[int, int]],
    separation: int,
    most: int | None = None,
) -> Choice:
    """Choose as many groups as fit on the device together, and of as many the most likely to succeed.

    Args:
        groups: Candidates, as their qubits.
        log_success: The logarithm of each candidate's success probability.
        couplings: Pairs of coupled qubits.
        separation: 0: groups are disjoint; 1: an idle qubit lies between two of them as well.
        most: The most groups, or None.

    Raises:
        BackendError: The solver failed.
    """
    from scipy.optimize import LinearConstraint  # only where there are blocks: it takes a third of a second to import

    if not groups:
        return Choice((), True)
    rows = _rows(groups, couplings, separation)
    once = LinearConstraint(rows, ub=np.ones(rows.shape[0]))  # type: ignore[call-overload,unused-ignore]
    limits = [once] if most is None else [once, LinearConstraint(np.ones((1, len(groups))), ub=most)]
    # Two programs: a bound on whole numbers of blocks is found sooner than one on blocks and success together.
    largest = _solve(-np.ones(len(groups)), limits)
    count = round(-float(largest.fun))
    as_many = LinearConstraint(np.ones((1, len(groups))), lb=count, ub=count)
    best = _solve(-np.asarray(log_success, dtype=np.float64), [once, as_many])
    return Choice(tuple(int(place) for place in np.flatnonzero(best.x > 0.5)), largest.status == 0)


def _rows(
    groups: Sequence[tuple[int, ...]], couplings: Collection[tuple[int, int]], separation: int
) -> "csr_array[np.float64]":
    """Return a row for each qubit (and each coupling) that at most one group may have (touch)."""
    from scipy.sparse import csr_array

    of_qubit: dict[int, list[int]] = {}
    for place, group in enumerate(groups):
        for qubit in group:
            of_qubit.setdefault(qubit, []).append(place)
    touching = [of_qubit[qubit] for qubit in sorted(of_qubit)]
    if separation:
        pairs = sorted({tuple(sorted(pair)) for pair in couplings})
        touching += [sorted({*of_qubit.get(a, ()), *of_qubit.get(b, ())}) for a, b in pairs]
    entries = [(row, place) for row, places in enumerate(touching) for place in places]
    where: NDArray[np.intp] = np.array(entries, dtype=np.intp).T
    return csr_array((np.ones(len(entries)), tuple(where)), shape=(len(touching), len(groups)))


def _solve(costs: NDArray[np.float64], constraints: "Sequence[LinearConstraint]") -> "OptimizeResult":
    from scipy.optimize import Bounds, milp

    result = milp(
        costs,
        integrality=np.ones(len(costs)),
        bounds=Bounds(0, 1),
        constraints=constraints,
        options={"time_limit": _SECONDS, "mip_rel_gap": 0.0},
    )
    if result.x is None:
        raise BackendError(f"No blocks could be chosen: {result.message}")
    return result
