"""Proposals between halvings of the shots: as many shots as fit with all rounds."""

from collections.abc import Callable, Sequence

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.planning.changes import Change, Machines
from qiskit_fedqml.planning.entry_changes import fewer_shots, is_of_shots, most_shots
from qiskit_fedqml.planning.proposals import Proposal

_PARTS = 16
"""An octave of shots is divided into so many steps."""


def with_finer_shots(
    proposal: Proposal,
    experiment: Experiment,
    machines: Machines,
    planned: Callable[[Sequence[Change]], Proposal | None],
) -> Proposal:
    """Return the proposal with more shots, or with somewhat fewer and all rounds, if that departs less; else itself.

    Args:
        proposal: What fits.
        experiment: What it was proposed for.
        machines: Who has which machine in it.
        planned: Plans the experiment with some changes; None if they don't fit.
    """
    halved = next((change for change in proposal.changes if is_of_shots(change)), None)
    if halved is None:
        return proposal
    others = [change for change in proposal.changes if change is not halved]
    asked = most_shots(experiment, machines)
    now = max(halved.settings.values())
    is_whole = proposal.rounds == proposal.num_rounds
    # With all rounds there is room for more shots; without, fewer shots may leave room for all rounds.
    low, high = (now, min(2 * now, asked)) if is_whole else (now // 2, now)
    step = max(1, (high - low) // _PARTS)
    counts = range(low + step, high, step)
    best, first, last = proposal, 0, len(counts) - 1
    while first <= last:  # the more shots, the fewer rounds fit
        middle = (first + last) // 2
        found = planned([*others, fewer_shots(experiment, machines, counts[middle])])
        if found is None or found.rounds < found.num_rounds:
            last = middle - 1
            continue
        best = min(best, found, key=lambda one: one.departure)
        first = middle + 1
    return best
